"""The model: a likelihood and two priors (NMF), or any NumPyro program with sites W, H and V."""

from __future__ import annotations

from typing import Any

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.model.nmf import NMF
from bayesnmf.model.program import Program

__all__ = ["NMF", "Model", "Program", "as_model"]


type Model = NMF | Program


def as_model(model: Any) -> Model:
    """Return `model` if it is one, or wrap a plain function as a :class:`Program`."""
    if isinstance(model, (NMF, Program)):
        return model
    if callable(model):
        return Program(model)
    raise TypeError(
        f"model must be a bayesnmf.NMF, a loaded zoo model or a NumPyro program, not "
        f"{type(model).__name__}"
    )


def own_measure(model: Model, matrix: AnyMatrix) -> str:
    """Return the measure to which a model's density refers, before it is fitted."""
    if isinstance(model, NMF):
        return model.likelihood.base_measure
    assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
    return "counting" if model._trace(matrix)["V"]["fn"].support.is_discrete else "lebesgue"


def name_of(model: Model) -> str:
    """Return the name of a likelihood or of a program."""
    return model.likelihood.name if isinstance(model, NMF) else model.name
