"""The full check of a sparse matrix, before compiled code follows its indices.

SciPy checks the indices of a sparse matrix only in part, and its compiled routines trust them:
an index out of range reads or writes memory outside the arrays. Everything sparse that enters
the package passes through here first, and only NumPy looks at it until it has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse

#: Most rows, and most columns: beyond this the index of the rows alone would take gigabytes.
MOST_SIDE = 2**28


def sound(V: Any, word: str = "V") -> scipy.sparse.csr_array:
    """Return a SciPy sparse matrix in rows, after a full check of its indices.

    Parameters
    ----------
    V : scipy.sparse matrix or array of shape (n_rows, n_columns)
        Of any format. It is left as it is.
    word : str, default "V"
        What it is, for the error.

    Returns
    -------
    csr_array
        May share memory with `V` where that has rows too. Duplicates are not summed.

    Raises
    ------
    ValueError
        When `V` has not two dimensions, or its arrays contradict each other or its shape.
    TypeError
        When it holds something other than real numbers.
    MemoryError
        When a side is above :data:`MOST_SIDE`.

    Examples
    --------
    >>> V = scipy.sparse.csr_array([[0.0, 2.0]])
    >>> V.indices[0] = 7
    >>> sound(V)
    Traceback (most recent call last):
    ValueError: V is a malformed csr matrix: column index 7 is outside 0 to 1. Build it again from its cells: scipy.sparse.coo_array((values, (rows, columns)), shape)
    """
    if V.ndim != 2:
        raise ValueError(
            f"{word} has {V.ndim} dimension(s); it must have two, rows (samples) by columns "
            "(features)"
        )
    _refuse(lambda: _no_array(V), word, V.format)
    if V.dtype.kind not in "biuf":
        raise TypeError(f"{word} has dtype {V.dtype}; it must hold real numbers")
    _refuse_long(V.shape, word)
    _refuse(partial(_FAULTS[V.format], V), word, V.format)
    if V.format == "csr" and V.dtype != np.float16:
        return scipy.sparse.csr_array((V.data, V.indices, V.indptr), V.shape)
    if V.dtype.kind in "iu" or V.dtype == np.float16:
        # SciPy has no routines for half precision, and sums duplicates of integers in their own
        # type, where they wrap.
        V = V.astype(np.float64)
    return scipy.sparse.csr_array(V)


def from_rows(parts: tuple[np.ndarray, ...], shape: Any, word: str) -> scipy.sparse.csr_array:
    """Build a matrix from stored values, column indices and row ends, which are checked first."""
    _refuse_long(shape, word)
    values, indices, indptr = parts
    _refuse(lambda: _compressed(values, indices, indptr, shape, "row", "column"), word, "csr")
    return scipy.sparse.csr_array(parts, shape)


def from_cells(
    values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: Any, word: str
) -> scipy.sparse.csr_array:
    """Build a matrix from stored coordinates, which are checked first."""
    _refuse_long(shape, word)
    _refuse(lambda: _coordinates(values, rows, columns, shape), word, "coo")
    return scipy.sparse.csr_array((values, (rows, columns)), shape)


def _refuse(find: Callable[[], str | None], word: str, kind: str) -> None:
    """Raise ``ValueError`` with the fault that `find` finds, if any."""
    try:
        fault = find()
    except (AttributeError, TypeError, ValueError, IndexError, OverflowError) as error:
        fault = f"its arrays cannot be understood ({error})"
    if fault:
        raise ValueError(
            f"{word} is a malformed {kind} matrix: {fault}. Build it again from its cells: "
            "scipy.sparse.coo_array((values, (rows, columns)), shape)"
        )


def _refuse_long(shape: Any, word: str) -> None:
    if max(shape) > MOST_SIDE:
        raise MemoryError(
            f"{word} has shape {tuple(map(int, shape))}, above {MOST_SIDE} on a side: its factors "
            "would not fit into memory"
        )


# -- what is wrong with each format ------------------------------------------------------------


def _no_array(V: Any) -> str | None:
    """Return that the values are no array, from which even their type is taken."""
    values = getattr(V, "data", None)
    if V.format == "dok" or isinstance(values, np.ndarray):
        return None
    return f"its values are a {type(values).__name__}, not an array"


def _range(name: str, index: np.ndarray, size: int) -> str | None:
    """Return what is wrong with an array of indices below `size`."""
    if index.ndim != 1:
        return f"the {name} indices have {index.ndim} dimensions, not one"
    if index.dtype.kind not in "iu":
        return f"the {name} indices have dtype {index.dtype}, not an integer one"
    if index.size and (index.min() < 0 or index.max() >= size):
        wrong = index.min() if index.min() < 0 else index.max()
        return f"{name} index {wrong} is outside 0 to {size - 1}"
    return None


def _compressed(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: Any, major: str, minor: str
) -> str | None:
    """Return what is wrong with a matrix in compressed rows or columns; shape (major, minor)."""
    if indptr.ndim != 1 or indptr.dtype.kind not in "iu" or len(indptr) != shape[0] + 1:
        return (
            f"indptr has shape {indptr.shape} and dtype {indptr.dtype}, not {shape[0] + 1} integers"
        )
    if len(indices) != len(data):
        return f"it has {len(indices)} {minor} indices for {len(data)} values"
    if indptr[0] != 0:
        return f"indptr starts with {indptr[0]}, not 0"
    if (indptr[1:] < indptr[:-1]).any():
        where = int(np.argmax(indptr[1:] < indptr[:-1]))
        return f"indptr decreases at {major} {where}"
    if indptr[-1] != len(indices):
        return f"indptr ends with {indptr[-1]}, but {len(indices)} values are stored"
    return _range(minor, indices, shape[1])


def _coordinates(data: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: Any) -> str | None:
    if not (len(rows) == len(columns) == len(data)) or np.ndim(data) != 1:
        return f"it has {len(rows)} row and {len(columns)} column indices for {len(data)} values"
    return _range("row", rows, shape[0]) or _range("column", columns, shape[1])


def _csr(V: Any) -> str | None:
    if V.data.ndim != 1:
        return f"its values have {V.data.ndim} dimensions, not one"
    return _compressed(V.data, V.indices, V.indptr, V.shape, "row", "column")


def _csc(V: Any) -> str | None:
    if V.data.ndim != 1:
        return f"its values have {V.data.ndim} dimensions, not one"
    return _compressed(V.data, V.indices, V.indptr, V.shape[::-1], "column", "row")


def _bsr(V: Any) -> str | None:
    if V.data.ndim != 3 or 0 in V.data.shape[1:]:
        return f"its blocks have shape {V.data.shape}"
    height, width = V.data.shape[1:]
    if V.shape[0] % height or V.shape[1] % width:
        return f"blocks of {height} x {width} do not fill a matrix of shape {V.shape}"
    blocks = (V.shape[0] // height, V.shape[1] // width)
    return _compressed(V.data, V.indices, V.indptr, blocks, "block row", "block column")


def _coo(V: Any) -> str | None:
    rows, columns = V.coords
    return _coordinates(V.data, np.asarray(rows), np.asarray(columns), V.shape)


def _dia(V: Any) -> str | None:
    offsets = np.asarray(V.offsets)
    if V.data.ndim != 2 or len(V.data) != len(offsets):
        return f"it has {len(offsets)} offsets for diagonals of shape {V.data.shape}"
    if len(np.unique(offsets)) != len(offsets):
        return "an offset stands there twice"
    # A diagonal's offset, shifted so that it counts from 0 like an index.
    wrong = _range("diagonal", offsets + (V.shape[0] - 1), sum(V.shape) - 1)
    return f"an offset is outside {1 - V.shape[0]} to {V.shape[1] - 1}" if wrong else None


def _lil(V: Any) -> str | None:
    if V.rows.shape != (V.shape[0],) or V.data.shape != (V.shape[0],):
        return f"it has {len(V.rows)} lists of indices and {len(V.data)} of values"
    if not all(type(part) is list for part in chain(V.rows, V.data)):
        return "a row is not a list"
    if any(len(row) != len(values) for row, values in zip(V.rows, V.data, strict=True)):
        return "a row has not as many values as indices"
    return _range("column", np.array([*chain.from_iterable(V.rows)] or [0]), V.shape[1])


def _dok(V: Any) -> str | None:
    keys = np.array([*V.keys()] or [(0, 0)])
    if keys.ndim != 2 or keys.shape[1] != 2:
        return "a key is not a pair of indices"
    return _range("row", keys[:, 0], V.shape[0]) or _range("column", keys[:, 1], V.shape[1])


_FAULTS: dict[str, Callable[[Any], str | None]] = {
    "csr": _csr,
    "csc": _csc,
    "bsr": _bsr,
    "coo": _coo,
    "dia": _dia,
    "lil": _lil,
    "dok": _dok,
}
