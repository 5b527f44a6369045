"""Cells of data, dense or sparse, that are expanded a block at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesnmf.data.memory import require_dense
from bayesnmf.data.sparse import AnyMatrix

#: Cells that are expanded at once where blocks of rows are asked for.
BLOCK_SIZE = 2**22


@dataclass(frozen=True, eq=False)
class CellBlocks:
    """Cells of a matrix in double precision, NaN where they are missing or not wanted.

    Parameters
    ----------
    matrix : Matrix or SparseMatrix
    wanted : ndarray of bool of shape (n_rows, n_columns), optional
        Cells to look at, among the observed ones. None: all of them.

    Examples
    --------
    >>> import scipy.sparse
    >>> from bayesnmf.data import SparseMatrix
    >>> cells = CellBlocks(SparseMatrix.of(scipy.sparse.csr_array(np.diag([1.0, 2.0]))))
    >>> cells.block(np.array([1]), np.array([0, 1])).tolist()
    [[0.0, 2.0]]
    """

    matrix: AnyMatrix
    wanted: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns)."""
        return self.matrix.shape

    @cached_property
    def observed(self) -> np.ndarray:
        """Which cells are observed and wanted: bool of shape (n_rows, n_columns)."""
        if self.matrix.is_sparse:
            require_dense(
                self.shape, "a number for every cell of V", "Score the fit of fewer rows or columns"
            )
        observed = self.matrix.observed_mask
        return observed if self.wanted is None else observed & self.wanted

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the cells of some rows and columns."""
        values = self.matrix.block(rows, columns)
        return np.where(self.observed[np.ix_(rows, columns)], values, np.nan)

    def row(self, i: int) -> np.ndarray:
        """Return one row, of shape (n_columns,)."""
        return self.block(np.array([i]), np.arange(self.shape[1]))[0]

    def column(self, j: int) -> np.ndarray:
        """Return one column, of shape (n_rows,)."""
        return np.where(self.observed[:, j], self.matrix.column(j), np.nan)

    def dense(self) -> np.ndarray:
        """Return all cells, for small data."""
        return self.block(*(np.arange(size) for size in self.shape))

    def digests(self) -> tuple[str, str]:
        """Return what tells the mask and the values from others, whatever the storage."""
        mask, values = hashlib.sha256(), hashlib.sha256()
        for rows in self._row_blocks():
            observed = self.observed[rows]
            mask.update(observed.tobytes())
            # Adding zero makes a negative zero positive: they are the same number.
            cells = self.block(rows, np.arange(self.shape[1]))[observed] + 0.0
            values.update(cells.tobytes())
        return mask.hexdigest()[:16], values.hexdigest()[:16]

    def _row_blocks(self) -> Iterator[np.ndarray]:
        n_rows, n_columns = self.shape
        size = max(BLOCK_SIZE // n_columns, 1)
        for row in range(0, n_rows, size):
            yield np.arange(row, min(row + size, n_rows))
