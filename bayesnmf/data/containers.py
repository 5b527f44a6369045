"""The containers that V may be, and a sentence for each that it may not be."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data.faults import label, shown

#: What V may be: an array, a labelled table, or SciPy's sparse storage.
type MatrixLike = (
    ArrayLike | pd.DataFrame | xr.DataArray | scipy.sparse.sparray | scipy.sparse.spmatrix
)


#: Characters that no file of results can hold: controls, but for tab and line ends, and halves
#: of surrogate pairs.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


#: What the kinds of NumPy types that are not numbers hold.
_KINDS = {"M": "dates", "m": "durations", "V": "records of several fields", "c": "complex numbers"}


def refuse_foreign(V: Any) -> None:
    """Raise ``TypeError`` for an object that holds a matrix but is none: a path, a dict, AnnData.

    Examples
    --------
    >>> refuse_foreign("counts.csv")
    Traceback (most recent call last):
    TypeError: V is the name of a file, 'counts.csv', not its content: give bayesnmf.data.files.read('counts.csv')
    """
    if isinstance(V, (str, bytes, os.PathLike)):
        path = repr(os.fspath(V)[:200])
        raise TypeError(
            f"V is the name of a file, {path}, not its content: give bayesnmf.data.files.read({path})"
        )
    if isinstance(V, Mapping):
        keys = ", ".join(repr(key)[:40] for key in list(V)[:3])
        more = ", …" if len(V) > 3 else ""
        raise TypeError(
            f"V is a {type(V).__name__} with the keys {keys or 'none'}{more}, not a matrix: give "
            "one of its values, or pandas.DataFrame(V) if each holds a column"
        )
    if all(hasattr(V, name) for name in ("X", "obs_names", "var_names")):
        raise TypeError(
            f"V is a {type(V).__name__}, which holds a matrix among other things: give V.to_df() "
            "for labelled data, or V.X"
        )


def refuse_kind(values: np.ndarray) -> None:
    """Raise ``TypeError`` for an array of dates, durations, complex numbers or records."""
    if values.dtype.kind in _KINDS:
        held = _KINDS[values.dtype.kind]
        hint = ""
        if values.dtype.kind in "mM":
            hint = ". Convert them to numbers of one unit, or pass them as the index"
        raise TypeError(f"V has dtype {values.dtype}; it must hold real numbers, not {held}{hint}")


def require_writable(names: pd.Index, word: str) -> None:
    """Raise ``ValueError`` when a label holds a character that no file of results can hold."""
    if names.dtype.kind in "biufM":
        return
    texts = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in names]
    # All at once first, which is quick: names are almost always good.
    if not _UNWRITABLE.search("\n".join(texts)):
        return
    where, text = next((i, text) for i, text in enumerate(texts) if _UNWRITABLE.search(text))
    found = _UNWRITABLE.search(text)
    assert found is not None
    raise ValueError(
        f"the name of {word} {where}, {text[:40]!r}, holds the character U+{ord(found[0]):04X}, "
        "which files of results cannot hold. Rename it"
    )


def unwrapped(V: Any) -> tuple[np.ndarray, Any, Any]:
    """Split a container into its array and its row and column names (None: unnamed)."""
    if isinstance(V, np.ma.MaskedArray):
        refuse_kind(np.ma.getdata(V))
        # np.asarray would bring the masked values back.
        return np.where(np.ma.getmaskarray(V), np.nan, np.ma.getdata(V)), None, None
    if isinstance(V, pd.DataFrame):
        return V.to_numpy(), V.index, V.columns
    if isinstance(V, xr.DataArray):
        if V.ndim != 2:
            return V.to_numpy(), None, None
        rows, columns = (V.indexes.get(dim) for dim in V.dims)
        return V.to_numpy(), rows, columns
    refuse_foreign(V)
    try:
        return np.asarray(V), None, None
    except ValueError:
        raise ValueError("V is a nested sequence whose rows differ in length") from None


def as_float(values: np.ndarray, row_names: Any, column_names: Any) -> np.ndarray:
    """Convert to float32 or float64, or say which cell is not a number."""
    if values.dtype == np.float32:
        return values
    if values.dtype.kind in "biuf":
        with np.errstate(over="ignore"):  # a long double may overflow, and is refused as infinite
            return values.astype(np.float64)
    refuse_kind(values)
    # NumPy would read the text "1.5" as a number.
    if values.dtype.kind == "O" and not any(isinstance(x, (str, bytes)) for x in values.flat):
        # Mixed columns of a DataFrame arrive as objects; None and pandas.NA mean missing.
        try:
            return np.where(pd.isna(values), np.nan, values).astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            pass
    _refuse_other_values(values, row_names, column_names)
    raise TypeError(f"V has dtype {values.dtype}; it must hold real numbers")


def _refuse_other_values(values: np.ndarray, row_names: Any, column_names: Any) -> None:
    """Raise an error that names the first cell which is not a real number."""
    for position, value in np.ndenumerate(values):
        if _is_real(value):
            continue
        where = ", ".join(str(i) for i in position)
        names = ""
        if row_names is not None and column_names is not None and len(position) == 2:
            row, column = position
            names = f" (row {label(row_names, row)}, column {label(column_names, column)})"
        if isinstance(value, int):
            raise ValueError(
                f"V[{where}]{names} is an integer above 1e308, the largest number that can be "
                "computed with. Divide V by a constant."
            )
        raise TypeError(
            f"V[{where}] = {shown(value)}{names} is not a real number. Drop columns of text, "
            "or pass them as the index."
        )


def _is_real(value: Any) -> bool:
    if not isinstance(value, (int, float, np.number)) or isinstance(value, np.complexfloating):
        return False
    try:
        float(value)
    except (OverflowError, TypeError):
        return False
    return True
