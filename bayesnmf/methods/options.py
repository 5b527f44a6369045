"""Checks of the options that records of methods share."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np


def require_counts(record: Any, **least: int) -> None:
    """Raise unless the named options are integers of at least the given values."""
    for name, lowest in least.items():
        value = getattr(record, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if value < lowest:
            raise ValueError(f"{name} must be at least {lowest}, not {value}")


def require_tolerance(tol: Any) -> None:
    """Raise unless `tol` is a number that is not negative."""
    if isinstance(tol, bool) or not isinstance(tol, Real):
        raise TypeError(f"tol must be a number, not {tol!r}")
    if not float(tol) >= 0:
        raise ValueError(f"tol must be 0 or more, not {tol}")
