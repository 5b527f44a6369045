"""A sparse matrix of observed cells, most of them zero, that is never expanded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse

from bayesnmf.data.alignment import aligned
from bayesnmf.data.containers import index_of, opened
from bayesnmf.data.faults import describe_cell, refuse_unobserved
from bayesnmf.data.masks import missing_pattern
from bayesnmf.data.matrix import Matrix
from bayesnmf.data.sparse_format import sound


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A validated sparse matrix; cells that are not stored are observed zeros.

    Build it with :meth:`SparseMatrix.of`; the constructor trusts its arguments.

    Parameters
    ----------
    stored : scipy.sparse.csr_array of shape (n_rows, n_columns)
        Non-zero observed cells, sorted, without duplicates; in single precision where that
        loses nothing, as for counts.
    held_out : scipy.sparse.csr_array of shape (n_rows, n_columns), optional
        1 at every missing cell; none of them is stored. None: every cell is observed.
    row_names, column_names : pandas.Index
        Labels; 0, 1, 2, … where none were given.

    Examples
    --------
    >>> matrix = SparseMatrix.of(scipy.sparse.csr_array(np.diag([1.0, 2.0])))
    >>> matrix.shape, matrix.n_observed, matrix.mean()
    ((2, 2), 4, 0.75)
    """

    stored: scipy.sparse.csr_array
    held_out: scipy.sparse.csr_array | None
    row_names: pd.Index
    column_names: pd.Index

    #: Whether cells that are not stored are zeros.
    is_sparse: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        V: Any,
        mask: Any = None,
        held_out: Any = None,
        *,
        rows: Any = None,
        columns: Any = None,
    ) -> SparseMatrix:
        """Validate a SciPy sparse matrix and wrap it; duplicates are summed.

        Parameters
        ----------
        V : scipy.sparse matrix or array of shape (n_rows, n_columns)
            A stored NaN means missing; cells that are not stored are zeros.
        mask : array of bool of shape (n_rows, n_columns), optional
            True where a cell is observed.
        held_out : sparse or dense array of bool of shape (n_rows, n_columns), optional
            True where a cell is to be left out, whether stored in V or not.
        rows, columns : sequence, optional
            Names of the rows and columns, by which labelled tables are matched.

        Raises
        ------
        TypeError
            When `V` holds something other than real numbers.
        ValueError
            When `V` is empty or malformed, holds an infinite cell, or has a row or a column
            with no observed cell.
        """
        if 0 in V.shape:
            raise ValueError(f"V is empty: its shape is {V.shape}")
        _, *given = opened(V, rows, columns)
        row_names, column_names = map(index_of, given, V.shape, ("row", "column"))
        stored = sound(V)
        # A copy, so that the caller's own matrix stays as it is.
        stored = scipy.sparse.csr_array(stored, dtype=np.float64, copy=V.format == "csr")
        stored.sum_duplicates()
        missing = missing_pattern(stored, mask, held_out, (row_names, column_names))
        stored.data[np.isnan(stored.data)] = 0.0  # noted as missing, and NaN times 0 is NaN
        if missing is not None:
            stored = scipy.sparse.csr_array(stored.multiply(_complement(stored, missing)))
        stored.eliminate_zeros()
        stored.sort_indices()
        matrix = cls(_narrowed(stored), missing, row_names, column_names)
        matrix.refuse(np.isinf, "is infinite", "Replace it with a number, or NaN if missing")
        matrix._refuse_unobserved()
        return matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns)."""
        return self.stored.shape

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
        """Float64: the arithmetic on sparse matrices is double."""
        return np.dtype(np.float64)

    @cached_property
    def stored_columns(self) -> scipy.sparse.csr_array:
        """The stored cells by columns, of shape (n_columns, n_rows)."""
        return _by_columns(self.stored)

    @cached_property
    def held_out_columns(self) -> scipy.sparse.csr_array | None:
        """The held-out cells by columns."""
        return None if self.held_out is None else _by_columns(self.held_out)

    @property
    def n_observed(self) -> int:
        """Number of observed cells, zeros included."""
        held = 0 if self.held_out is None else self.held_out.nnz
        return self.n_rows * self.n_columns - held

    @property
    def observed_mask(self) -> np.ndarray:
        """Which cells are observed: bool of shape (n_rows, n_columns)."""
        observed = np.ones(self.shape, bool)
        if self.held_out is not None:
            observed[self.held_out.nonzero()] = False
        return observed

    @property
    def is_complete(self) -> bool:
        """Whether every cell is observed."""
        return self.held_out is None

    def n_zeros(self) -> int:
        """Return the number of observed cells that are 0."""
        return self.n_observed - self.stored.nnz

    def smallest(self) -> float:
        """Return the smallest value of an observed cell."""
        return float(self.stored.data.min(initial=0.0 if self._has_zeros() else np.inf))

    def largest(self) -> float:
        """Return the largest value of an observed cell."""
        return float(self.stored.data.max(initial=0.0 if self._has_zeros() else -np.inf))

    def mean(self) -> float:
        """Return the mean of the observed cells."""
        return float(self.stored.data.sum(dtype=np.float64) / self.n_observed)

    def std(self) -> float:
        """Return the standard deviation of the observed cells."""
        mean = self.mean()
        squares = np.sum((self.stored.data - np.float64(mean)) ** 2)
        squares += (self.n_observed - self.stored.nnz) * mean**2
        return float(np.sqrt(squares / self.n_observed))

    def largest_size(self) -> float:
        """Return the largest absolute value of an observed cell."""
        return float(np.abs(self.stored.data).max(initial=0.0))

    def observed_sum(self, values: np.ndarray) -> float:
        """Return the sum over observed cells of an array that broadcasts to the shape of V."""
        total = values.sum() * (self.n_rows * self.n_columns / values.size)
        if self.held_out is not None:
            total -= np.broadcast_to(values, self.shape)[self.held_out.nonzero()].sum()
        return float(total)

    def holds(self, predicate: Callable[[np.ndarray], np.ndarray]) -> bool:
        """Return whether `predicate` is True for any observed cell."""
        return bool(predicate(self.stored.data).any()) or (
            self._has_zeros() and bool(predicate(np.zeros(1))[0])
        )

    def refuse(self, predicate: Callable[[np.ndarray], np.ndarray], what: str, hint: str) -> None:
        """Raise ``ValueError`` naming the first observed cell for which `predicate` is True."""
        bad = np.flatnonzero(predicate(self.stored.data))
        if bad.size:
            row = int(np.searchsorted(self.stored.indptr, bad[0], side="right")) - 1
            column, value = int(self.stored.indices[bad[0]]), self.stored.data[bad[0]]
        elif self._has_zeros() and predicate(np.zeros(1))[0]:
            (row, column), value = self._first_zero(), 0.0
            bad = np.zeros(self.n_observed - self.stored.nnz)
        else:
            return
        names = self.row_names, self.column_names
        raise ValueError(describe_cell(names, row, column, value, len(bad) - 1, what, hint))

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the cells of some rows and columns in double precision, NaN where missing."""
        cells = self.stored[rows][:, columns].toarray().astype(np.float64)
        if self.held_out is not None:
            cells[self.held_out[rows][:, columns].nonzero()] = np.nan
        return cells

    def column(self, j: int) -> np.ndarray:
        """Return one column in double precision, of shape (n_rows,), NaN where missing."""
        cells = self.stored_columns[[j]].toarray()[0].astype(np.float64)
        if self.held_out_columns is not None:
            cells[self.held_out_columns[[j]].nonzero()[1]] = np.nan
        return cells

    def without(self, held: np.ndarray) -> SparseMatrix:
        """Return the data without some cells, True in `held`, of shape (n_rows, n_columns)."""
        missing = held if self.held_out is None else held | ~self.observed_mask
        matrix = SparseMatrix.of(self.stored, held_out=missing)
        return replace(matrix, row_names=self.row_names, column_names=self.column_names)

    def at_rows(self, rows: np.ndarray) -> SparseMatrix:
        """Return the data of some rows: a mask, or positions."""
        part = SparseMatrix.of(scipy.sparse.csr_array(self.stored[rows]))
        held = None if self.held_out is None else scipy.sparse.csr_array(self.held_out[rows])
        names = {"row_names": self.row_names[rows], "column_names": self.column_names}
        matrix = replace(part, held_out=held, **names)
        matrix._refuse_unobserved()
        return matrix

    def all_cells(self) -> scipy.sparse.csr_array:
        """Return the stored cells in double precision, with NaN stored where missing."""
        stored = self.stored.astype(np.float64)
        return stored if self.held_out is None else stored + self.held_out * np.nan

    def expanded(self) -> Matrix:
        """Return the data in dense storage, if they fit :data:`bayesnmf.data.matrix.DENSE_BUDGET`."""
        return replace(
            Matrix.of(self.all_cells()), row_names=self.row_names, column_names=self.column_names
        )

    def _has_zeros(self) -> bool:
        return self.stored.nnz < self.n_observed

    def _first_zero(self) -> tuple[int, int]:
        """Return the first observed cell that is not stored."""
        for row in range(self.n_rows):
            taken = self.stored.indices[slice(*self.stored.indptr[row : row + 2])]
            if self.held_out is not None:
                held = self.held_out.indices[slice(*self.held_out.indptr[row : row + 2])]
                taken = np.union1d(taken, held)
            free = np.setdiff1d(np.arange(self.n_columns), taken)
            if free.size:
                return row, int(free[0])
        raise AssertionError("called with a zero cell")

    def _refuse_unobserved(self) -> None:
        if self.held_out is None:
            return
        for axis, word, names in ((1, "row", self.row_names), (0, "column", self.column_names)):
            count = np.asarray(self.held_out.sum(axis=axis)).ravel()
            refuse_unobserved(count < self.shape[axis], names, word)


#: What a method is given. Both follow :class:`bayesnmf.data.interface.Storage`.
type AnyMatrix = Matrix | SparseMatrix


def _complement(
    stored: scipy.sparse.csr_array, missing: scipy.sparse.csr_array
) -> scipy.sparse.csr_array:
    """Return ones at the stored cells that are not missing."""
    ones = scipy.sparse.csr_array(stored, copy=True)
    ones.data = np.ones_like(stored.data)
    return ones - ones.multiply(missing)


def _by_columns(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    columns = matrix.T.tocsr()
    return aligned(columns, (columns.dtype, columns.indices.dtype))


def _narrowed(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Halve the memory of values and indices where that loses nothing."""
    with np.errstate(over="ignore"):
        values = matrix.data.astype(np.float32)
    exact = np.array_equal(values, matrix.data, equal_nan=True)
    small = max(matrix.nnz, *matrix.shape) < 2**31
    return aligned(matrix, (np.float32 if exact else np.float64, np.int32 if small else np.int64))
