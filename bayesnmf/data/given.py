"""Values that users give to models: positive numbers, arrays of them, labelled tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesnmf.data.labels import is_labelled


def require_positive(what: str, value: Any) -> Any:
    """Return `value`, a single number as a plain float, if it is None or positive and finite.

    In arrays NaN is allowed, for missing cells.
    """
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # nested lists of unequal length
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":  # NumPy would read the text "0.5" as a number
        given = f"an array of {array.dtype}" if array.ndim else repr(value)
        raise TypeError(f"{what} must be a positive number or an array of them, not {given}")
    bad = ~((array > 0) & np.isfinite(array))
    if array.ndim:
        bad &= ~np.isnan(array)
    if bad.any():
        where = f" at {tuple(int(i) for i in np.argwhere(bad)[0])}" if array.ndim else ""
        raise ValueError(f"{what} must be positive and finite, not {array[bad].flat[0]:g}{where}")
    return value if array.ndim else float(array)


def same_value(a: Any, b: Any) -> bool:
    """Return whether two fields are equal, NaN counting as equal to NaN in arrays."""
    if is_labelled(a) or is_labelled(b):
        return type(a) is type(b) and bool(a.equals(b))
    if np.ndim(a) or np.ndim(b):
        return np.array_equal(a, b, equal_nan=True)
    return bool(a == b)
