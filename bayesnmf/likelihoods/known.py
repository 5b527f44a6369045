"""Known parameters of a likelihood as arrays over the cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.data.labels import matched


def in_shape(what: str, value: Any, matrix: AnyMatrix) -> np.ndarray:
    """Return a known parameter as an array of two dimensions that broadcasts to the shape of V.

    A labelled table is put in the order of V's names. One value a row may be of shape (n_rows, 1) or (n_rows,), one a column of shape (1, n_columns)
    or (n_columns,).

    Raises
    ------
    ValueError
        When it has other names or another shape, or one dimension where V has as many rows as columns.

    Examples
    --------
    >>> in_shape("the exposure", [2.0, 3.0, 4.0], Matrix.of(np.ones((3, 2)))).shape
    (3, 1)
    """
    array = np.asarray(matched(value, matrix.row_names, matrix.column_names, what))
    n_rows, n_columns = shape = matrix.shape
    if array.ndim == 1:
        if len(array) == n_rows == n_columns > 1:
            raise ValueError(
                f"{what} has shape {array.shape}, and V has as many rows as columns. Give one value a "
                f"row as an array of shape ({n_rows}, 1), one value a column as (1, {n_columns})"
            )
        array = array[:, None] if len(array) == n_rows else array[None, :]
    if array.ndim > 2 or any(
        n not in (1, size) for n, size in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(
            f"{what} has shape {np.shape(value)}, but V has shape {shape}. Give one value a cell, or "
            f"one a row, of shape ({n_rows}, 1)"
        )
    return array


def known_array(what: str, value: np.ndarray, matrix: AnyMatrix) -> np.ndarray:
    """Return a known parameter as algorithms need it; 1 where a missing cell has none.

    Beside dense data it has the shape of V. Beside sparse data it has one value a row or a column.

    Parameters
    ----------
    what : str
        The parameter, for errors.
    value : ndarray
        As :func:`in_shape` returns it.
    matrix : Matrix or SparseMatrix
    """
    array = np.asarray(value, matrix.dtype)
    unknown = np.isnan(array)
    if isinstance(matrix, Matrix):
        array = np.broadcast_to(array, matrix.shape)
        unknown = np.isnan(array) & matrix.observed
    elif min(array.shape) > 1:
        raise ValueError(f"{what} is given for every cell, which needs dense data: V is sparse")
    if unknown.any():
        row, column = (int(i) for i in np.argwhere(unknown)[0])
        raise ValueError(f"{what} is NaN at the observed cell V[{row}, {column}]")
    return np.where(np.isnan(array), np.asarray(1.0, matrix.dtype), array)
