"""The containers that V may be, and a sentence for each that it may not be."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data.annotated import is_annotated, unpacked
from bayesnmf.data.faults import label, shown
from bayesnmf.data.tables import as_frame, is_table


class Annotated(Protocol):
    """An AnnData, as far as it is used."""

    @property
    def X(self) -> Any:
        """The main matrix, of shape (n_obs, n_vars)."""

    @property
    def layers(self) -> Any:
        """Further matrices of that shape, by name."""

    @property
    def obs_names(self) -> pd.Index:
        """Names of the observations, which are the rows."""

    @property
    def var_names(self) -> pd.Index:
        """Names of the variables, which are the columns."""


class Table(Protocol):
    """A table of Polars or PyArrow, as far as it is used."""

    @property
    def columns(self) -> Any:
        """The columns, or their names."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""


#: What V may be: an array, a labelled table, SciPy's sparse storage, or an AnnData.
type MatrixLike = (
    ArrayLike
    | pd.DataFrame
    | xr.DataArray
    | scipy.sparse.sparray
    | scipy.sparse.spmatrix
    | Annotated
    | Table
)


#: Characters that no file of results can hold: controls, but for tab and line ends, and halves
#: of surrogate pairs.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


#: What the kinds of NumPy types that are not numbers hold.
_KINDS = {"M": "dates", "m": "durations", "V": "records of several fields", "c": "complex numbers"}


def refuse_foreign(V: Any) -> None:
    """Raise ``TypeError`` for an object that is no matrix: the path of a file, or a dict.

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


def index_of(names: Any, size: int, word: str) -> pd.Index:
    """Return names as an index, 0, 1, 2, … where there are none."""
    if names is None:
        return pd.RangeIndex(size)
    index = pd.Index(names)
    require_writable(index, word)
    return index


def opened(
    V: Any, rows: Any = None, columns: Any = None, layer: str | None = None
) -> tuple[Any, pd.Index | None, pd.Index | None]:
    """Split a container into its values and its row and column names (None: unnamed).

    Parameters
    ----------
    V : container
        What :func:`bayesnmf.fit` takes.
    rows, columns : sequence, optional
        Names, for a container that has none.
    layer : str, optional
        Layer of an AnnData.

    Returns
    -------
    values : ndarray or SciPy sparse matrix
        Not checked, and a sparse matrix in whatever format it has.
    row_names, column_names : pandas.Index or None

    Raises
    ------
    ValueError
        When V has names of its own, when there are more or fewer names than rows or columns, and for
        an AnnData without the layer.
    TypeError
        For an object that is no matrix, and a layer of what is no AnnData.
    """
    if layer is not None and not is_annotated(V):
        raise TypeError(f"layer={layer!r} is for an AnnData, but V is a {type(V).__name__}")
    values, *own = _parts(V, layer)
    names = [
        _names_of(word, given, known, values, axis)
        for axis, (word, given, known) in enumerate(
            zip(("rows", "columns"), (rows, columns), own, strict=True)
        )
    ]
    return values, names[0], names[1]


def _parts(V: Any, layer: str | None) -> tuple[Any, Any, Any]:
    """Return values and the names that a container has itself."""
    V = as_frame(V) if is_table(V) else V
    if isinstance(V, (pd.DataFrame, xr.DataArray)):
        return V.to_numpy(), *_own_names(V)
    if hasattr(V, "all_cells"):  # a SparseMatrix
        return V.all_cells(), V.row_names, V.column_names
    if is_annotated(V):
        return unpacked(V, layer)
    return V if scipy.sparse.issparse(V) else _plain_array(V), None, None


def _own_names(V: pd.DataFrame | xr.DataArray) -> tuple[Any, Any]:
    if isinstance(V, pd.DataFrame):
        return V.index, V.columns
    rows, columns = V.dims if V.ndim == 2 else (None, None)
    return V.indexes.get(rows), V.indexes.get(columns)


def _plain_array(V: Any) -> np.ndarray:
    if isinstance(V, np.ma.MaskedArray):
        refuse_kind(np.ma.getdata(V))
        # np.asarray would bring the masked values back.
        return np.where(np.ma.getmaskarray(V), np.nan, np.ma.getdata(V))
    refuse_foreign(V)
    try:
        return np.asarray(V)
    except ValueError:
        raise ValueError("V is a nested sequence whose rows differ in length") from None


def _names_of(
    word: str, given: Any, own: pd.Index | None, values: Any, axis: int
) -> pd.Index | None:
    """Return the names that were given, or those that V has."""
    if given is None or values.ndim != 2:
        return own
    if own is not None and not own.equals(pd.RangeIndex(len(own))):
        raise ValueError(
            f"{word}= is for data without names, but the {word} of V have names: {label(own, 0)}, …"
        )
    names = pd.Index(given)
    if len(names) != values.shape[axis]:
        raise ValueError(f"{word} has {len(names)} names, but V has {values.shape[axis]} {word}")
    return names


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
