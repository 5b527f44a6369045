"""Likelihoods and priors in words, and as plain values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesnmf.markup import fragment
from bayesnmf.model.interface import Description
from bayesnmf.priors import Prior

if TYPE_CHECKING:
    from bayesnmf.model.nmf import NMF


def described(part: Any) -> str:
    """Write a likelihood or a prior with its fields.

    Examples
    --------
    >>> from bayesnmf.priors import Gamma
    >>> described(Gamma(0.5, rate=Gamma(2.0)))
    'Gamma(shape = 0.5, rate = Gamma(shape = 2, rate = inferred))'
    """
    values = []
    for entry in fields(part):
        value = getattr(part, entry.name)
        # An exposure that is not given is none.
        if not (value is None and entry.name == "exposure"):
            written = "entry by entry" if _is_table(part, value) else _written(value)
            values.append(f"{entry.name} = {written}")
    return f"{type(part).__name__}({', '.join(values)})"


def _is_table(part: Any, value: Any) -> bool:
    return isinstance(part, Prior) and bool(np.ndim(value))


def _written(value: Any) -> str:
    if value is None:
        return "inferred"
    if np.ndim(value):
        lines = {(False, True): "row by row", (True, False): "column by column"}
        return f"given {lines.get(tuple(n == 1 for n in np.shape(value)), 'cell by cell')}"
    if hasattr(value, "__dataclass_fields__"):
        return described(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def recorded(part: Any) -> dict[str, Any]:
    """Return a likelihood or a prior as plain values; a per-cell array is named, not included.

    Examples
    --------
    >>> from bayesnmf.priors import Gamma
    >>> recorded(Gamma(0.5, rate=2.0))
    {'name': 'gamma', 'shape': 0.5, 'rate': 2.0}
    """
    values = {entry.name: getattr(part, entry.name) for entry in fields(part)}
    return {"name": part.name, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):  # the hyper-prior of a rate
        return recorded(value)
    return "array" if np.ndim(value) else value


def recorded_nmf(model: NMF) -> dict[str, Any]:
    """Return an NMF as plain values; arrays are named or counted, not included."""
    return {
        "n_components": model.n_components,
        "likelihood": recorded(model.likelihood),
        "prior_W": recorded(model.prior_W),
        "prior_H": recorded(model.prior_H),
        "known": {"W": model.n_known_W, "H": model.n_known_H},
    }


def described_nmf(model: NMF) -> Description:
    """Return an NMF in words."""
    parts = {
        "likelihood": described(model.likelihood),
        "prior of W": described(model.prior_W),
        "prior of H": described(model.prior_H),
    }
    for factor, number in (("W", model.n_known_W), ("H", model.n_known_H)):
        if number:
            parts[f"known components of {factor}"] = str(number)
    formula = f"V ~ {type(model.likelihood).__name__}(W H)"
    return Description(formula, model.likelihood.description, parts)


def html_of(model: NMF) -> str:
    """Return an NMF as a notebook shows it."""
    said = described_nmf(model)
    parts = {"components": str(model.n_components), **said.parts}
    table = pd.DataFrame({"": parts.values()}, index=list(parts))
    return fragment("NMF", said.formula, said.words, table)
