"""Dense data: validation, missing cells and labels. Every array enters here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse

from bayesnmf.data.containers import as_float, index_of, opened
from bayesnmf.data.faults import describe_cell, refuse_unobserved
from bayesnmf.data.masks import as_mask, held_out_pattern
from bayesnmf.data.sparse_format import sound

#: Sparse input is expanded only while the dense array stays below this many bytes.
DENSE_BUDGET = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Matrix:
    """A validated data matrix with its missing cells and its names.

    Build it with :meth:`Matrix.of`; the constructor trusts its arguments.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Float32 or float64. Missing cells are NaN.
    observed : ndarray of bool of shape (n_rows, n_columns)
        True where the cell is observed.
    row_names, column_names : pandas.Index
        Labels; 0, 1, 2, … where the input had none.

    Examples
    --------
    >>> matrix = Matrix.of([[1.0, float("nan")], [3.0, 4.0]])
    >>> matrix.shape, int(matrix.observed.sum())
    ((2, 2), 3)
    """

    values: np.ndarray
    observed: np.ndarray
    row_names: pd.Index
    column_names: pd.Index

    #: Whether cells that are not stored are zeros.
    is_sparse: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        V: Any,
        mask: Any = None,
        held_out: Any = None,
        *,
        rows: Any = None,
        columns: Any = None,
        layer: str | None = None,
    ) -> Matrix:
        """Validate `V` and wrap it; a `Matrix` passes through.

        Parameters
        ----------
        V : array, DataFrame, DataArray, Polars or PyArrow table, SciPy sparse, AnnData, or Matrix
            Shape (n_rows, n_columns), rows are samples. NaN means missing. Names that it has
            become the labels of every result. Float32 stays float32; every other numeric type
            becomes float64.
        mask : array of bool of shape (n_rows, n_columns), optional
            True where a cell is observed. Combined with NaN: a cell counts when the mask is
            True and the value is not NaN. A DataFrame or DataArray is matched by its names.
        held_out : sparse or dense array of bool of shape (n_rows, n_columns), optional
            True where a cell is to be left out: the complement of a mask, which can be sparse.
            Names are matched, as those of a mask.
        rows, columns : sequence, optional
            Names of the rows and columns, where `V` has none.
        layer : str, optional
            Layer of an AnnData. None: its X.

        Returns
        -------
        Matrix

        Raises
        ------
        TypeError
            When `V` holds something other than real numbers, or is a path or a dict.
        ValueError
            When `V` is empty or not two-dimensional, holds an infinite cell, has a row or a
            column with no observed cell, is a malformed sparse matrix, has a control character in
            a name, or when `mask` has another shape or other names. The message names the first
            offending cell.
        """
        if isinstance(V, Matrix):
            if mask is held_out is rows is columns is None:
                return V
            V = V.frame()
        values, row_names, column_names = opened(V, rows, columns, layer)
        if scipy.sparse.issparse(values):
            values = _expanded(values)
        values = as_float(values, row_names, column_names)
        if values.ndim != 2:
            raise ValueError(
                f"V has {values.ndim} dimension(s); it must have two, rows (samples) by columns "
                "(features)"
            )
        if 0 in values.shape:
            raise ValueError(f"V is empty: its shape is {values.shape}")
        observed = ~np.isnan(values)
        names = (
            index_of(row_names, values.shape[0], "row"),
            index_of(column_names, values.shape[1], "column"),
        )
        if mask is not None:
            observed &= as_mask(mask, values.shape, names)
        if held_out is not None:
            observed &= held_out_pattern(held_out, values.shape, "held_out", names).toarray() == 0
        # A fresh array, so that neither the caller's edits nor a masked cell's value leak in.
        values = np.where(observed, values, np.asarray(np.nan, values.dtype))
        matrix = cls(values, observed, *names)
        matrix.refuse(np.isinf, "is infinite", "Replace it with a number, or NaN if missing")
        matrix._refuse_unobserved()
        return matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns)."""
        return self.values.shape

    @property
    def n_rows(self) -> int:
        """Number of rows (samples)."""
        return self.shape[0]

    @property
    def n_columns(self) -> int:
        """Number of columns (features)."""
        return self.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type, which sets the precision of the arithmetic."""
        return self.values.dtype

    @property
    def cells(self) -> np.ndarray:
        """The observed values, one-dimensional, in row order."""
        return self.values[self.observed]

    @property
    def n_observed(self) -> int:
        """Number of observed cells."""
        return int(self.observed.sum())

    @property
    def observed_mask(self) -> np.ndarray:
        """Which cells are observed: bool of shape (n_rows, n_columns)."""
        return self.observed

    @property
    def is_complete(self) -> bool:
        """Whether every cell is observed."""
        return bool(self.observed.all())

    def n_zeros(self) -> int:
        """Return the number of observed cells that are 0."""
        return int((self.cells == 0).sum())

    def smallest(self) -> float:
        """Return the smallest value of an observed cell."""
        return float(self.cells.min())

    def largest(self) -> float:
        """Return the largest value of an observed cell."""
        return float(self.cells.max())

    def mean(self) -> float:
        """Return the mean of the observed cells."""
        return float(self.cells.mean())

    def std(self) -> float:
        """Return the standard deviation of the observed cells."""
        return float(self.cells.std())

    def largest_size(self) -> float:
        """Return the largest absolute value of an observed cell."""
        return float(np.abs(self.cells).max())

    def observed_sum(self, values: np.ndarray) -> float:
        """Return the sum over observed cells of an array that broadcasts to the shape of V."""
        return float(np.broadcast_to(values, self.shape)[self.observed].sum())

    def filled(self, value: float) -> np.ndarray:
        """Return the values with `value` in place of every missing cell."""
        return np.where(self.observed, self.values, np.asarray(value, self.dtype))

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the cells of some rows and columns in double precision, NaN where missing."""
        return np.asarray(self.values[np.ix_(rows, columns)], np.float64)

    def column(self, j: int) -> np.ndarray:
        """Return one column in double precision, of shape (n_rows,), NaN where missing."""
        return np.asarray(self.values[:, j], np.float64)

    def without(self, held: np.ndarray) -> Matrix:
        """Return the data without some cells, True in `held`, of shape (n_rows, n_columns)."""
        return Matrix.of(self, held_out=held)

    def at_rows(self, rows: np.ndarray) -> Matrix:
        """Return the data of some rows: a mask, or positions."""
        parts = (self.values[rows], self.observed[rows], self.row_names[rows])
        matrix = Matrix(*parts, self.column_names)
        matrix._refuse_unobserved()
        return matrix

    def all_cells(self) -> np.ndarray:
        """Return the cells in double precision, NaN where missing."""
        return np.asarray(self.values, np.float64)

    def expanded(self) -> Matrix:
        """Return the data in dense storage."""
        return self

    def frame(self) -> pd.DataFrame:
        """Return the labelled values, NaN where missing."""
        return pd.DataFrame(self.values, self.row_names, self.column_names)

    def holds(self, predicate: Callable[[np.ndarray], np.ndarray]) -> bool:
        """Return whether `predicate` is True for any observed cell."""
        return bool(predicate(self.cells).any())

    def refuse(self, predicate: Callable[[np.ndarray], np.ndarray], what: str, hint: str) -> None:
        """Raise ``ValueError`` naming the first observed cell for which `predicate` is True."""
        bad = predicate(self.values) & self.observed
        if not bad.any():
            return
        row, column = (int(i) for i in np.argwhere(bad)[0])
        value, more = self.values[row, column], int(bad.sum()) - 1
        names = self.row_names, self.column_names
        raise ValueError(describe_cell(names, row, column, value, more, what, hint))

    def _refuse_unobserved(self) -> None:
        for axis, word, names in ((1, "row", self.row_names), (0, "column", self.column_names)):
            refuse_unobserved(self.observed.any(axis=axis), names, word)


def _expanded(V: Any) -> np.ndarray:
    size = 8 * math.prod(V.shape)
    if size > DENSE_BUDGET:
        raise MemoryError(
            f"this sparse matrix of shape {V.shape} would take {size / 2**30:.1f} GiB when "
            f"dense, above the budget of {DENSE_BUDGET / 2**30:.0f} GiB. Use fewer columns "
            "(features), or raise bayesnmf.data.matrix.DENSE_BUDGET."
        )
    dense: np.ndarray = sound(V).toarray()
    return dense
