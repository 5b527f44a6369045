"""The model: a likelihood and two priors (NMF), or any NumPyro program with sites W, H and V."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayesnmf.model.interface import CellDistribution, Description, Measure, Model
from bayesnmf.model.nmf import NMF
from bayesnmf.model.program import Program

__all__ = [
    "NMF",
    "CellDistribution",
    "Description",
    "Measure",
    "Model",
    "ModelLike",
    "Program",
    "as_model",
]


#: A model, or a NumPyro program that becomes one.
type ModelLike = Model | Callable[..., Any]


def as_model(model: ModelLike) -> Model:
    """Return `model` if it is one, or wrap a plain function as a :class:`Program`."""
    if isinstance(model, Model):
        return model
    if callable(model):
        return Program(model)
    raise TypeError(
        f"model must be a bayesnmf.NMF, a loaded zoo model or a NumPyro program, not "
        f"{type(model).__name__}"
    )
