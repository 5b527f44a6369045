"""Likelihoods and priors in words, and as plain values."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np


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
            values.append(f"{entry.name} = {_written(value)}")
    return f"{type(part).__name__}({', '.join(values)})"


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
