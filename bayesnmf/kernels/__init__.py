"""The few operations on sparse matrices that cost time: native code on CPUs, XLA elsewhere."""

from __future__ import annotations

from .compressed import Compressed, Lent, Rows, rows_of
from .sparse import (
    contract_ratio,
    contract_ratio_both,
    contract_values,
    share_products,
    sum_log,
    sweep,
)

__all__ = [
    "Compressed",
    "Lent",
    "Rows",
    "contract_ratio",
    "contract_ratio_both",
    "contract_values",
    "rows_of",
    "share_products",
    "sum_log",
    "sweep",
]
