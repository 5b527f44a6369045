"""Published models as NumPyro programs, and the contract that they keep."""

from __future__ import annotations

from bayesnmf.zoo.contract import check_contract
from bayesnmf.zoo.load import list_models, load_model

__all__ = ["check_contract", "list_models", "load_model"]
