"""The data of a fit some rows at a time, with the distribution of their cells at one draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
import numpyro.distributions as dist
import scipy.sparse

from bayesnmf.arrays import Array
from bayesnmf.model import CellDistribution
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.cells import cell_distribution

#: Cells in a block at most, unless one row has more.
BLOCK_CELLS = 2**20


#: Cells at which calibration is judged; a fixed random subset of larger data.
MAX_CALIBRATED = 2000


#: Some rows as they are kept: sparse where the data are.
type Stored = np.ndarray | scipy.sparse.csr_array


@dataclass(frozen=True)
class RowBlock:
    """Some rows of the data.

    Parameters
    ----------
    number : int
    rows : ndarray of int of shape (height,)
        Positions in the matrix; past its end the last one is repeated.
    cells : CellDistribution
        The distribution of these rows, as a function of one draw.
    at : pair of ndarrays of int of shape (n,)
        Rows (of the block) and columns of the cells at which calibration is judged, the last
        one repeated so that all blocks have as many.
    n_at : int
        How many of them are no repetition.
    n_rows : int
        How many rows are no repetition.
    """

    number: int
    rows: np.ndarray
    cells: CellDistribution
    at: tuple[np.ndarray, np.ndarray]
    n_at: int
    n_rows: int

    def distributions(self, draws: dict[str, np.ndarray]) -> dist.Distribution:
        """Return the distribution of the cells of these rows at some draws of all sites.

        Its parameters have one more dimension in front, for the draws.
        """
        return _distributions(self.cells, self.cells.sites_at_rows(draws, self.rows))


@dataclass(frozen=True)
class RowBlocks:
    """The data of a fit in blocks of rows, all of one shape.

    A program cannot be run on a part of its rows, so its block is the whole matrix.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @cached_property
    def data(self) -> Stored:
        """The data in double precision, NaN where missing; sparse where they were fitted so."""
        matrix = self.fit.matrix
        if self.fit.model is not None and self.fit.model.nmf is not None:
            # A quasi-likelihood fits fractions, but replicates only counts.
            self.fit.model.nmf.likelihood.check(matrix)
        return matrix.all_cells()

    @cached_property
    def mean(self) -> float:
        """The mean of the observed cells, which stands in for missing ones."""
        return float(self.fit.matrix.mean())

    @property
    def height(self) -> int:
        """Number of rows in a block."""
        n_rows, n_columns = self.data.shape
        if not cell_distribution(self.fit).splits_rows:
            return n_rows
        n_blocks = -(-n_rows // max(BLOCK_CELLS // n_columns, 1))
        return -(-n_rows // n_blocks)

    def dense(self, block: RowBlock, stored: Stored) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a block, and which of them are observed."""
        values = _as_dense(stored)
        observed = ~np.isnan(values)
        observed[block.n_rows :] = False
        return np.where(observed, values, self.mean), observed

    def kept(self, values: np.ndarray) -> Stored:
        """Return some rows in the storage of the data."""
        return scipy.sparse.csr_array(values) if scipy.sparse.issparse(self.data) else values

    @property
    def n_together(self) -> int:
        """Number of draws whose cells are held at the same time."""
        return max(BLOCK_CELLS // (self.height * self.data.shape[1]), 1)

    @cached_property
    def blocks(self) -> list[RowBlock]:
        """All blocks, from the first row to the last."""
        n_rows, height, cells = self.data.shape[0], self.height, cell_distribution(self.fit)
        starts = range(0, n_rows, height)
        at = [self._calibrated(start, MAX_CALIBRATED // len(starts) + 1) for start in starts]
        most = max(len(rows) for rows, _ in at)
        return [
            RowBlock(
                number,
                rows := np.minimum(np.arange(start, start + height), n_rows - 1),
                cells.at_rows(rows),
                _padded(at[number], most),
                len(at[number][0]),
                min(height, n_rows - start),
            )
            for number, start in enumerate(starts)
        ]

    def stored(self) -> Iterator[tuple[RowBlock, Stored]]:
        """Yield every block with its data."""
        for block in self.blocks:
            yield block, self.data[block.rows]

    def _calibrated(self, start: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows, from the first of a block, and columns of its calibrated cells."""
        stored = self.data[start : start + self.height]
        values = _as_dense(stored)
        rows, columns = np.nonzero(~np.isnan(values))
        if len(rows) > most:
            rng = np.random.default_rng(start)
            kept = np.sort(rng.choice(len(rows), most, replace=False))
            rows, columns = rows[kept], columns[kept]
        return rows, columns


def _as_dense(stored: Stored) -> np.ndarray:
    return stored if isinstance(stored, np.ndarray) else stored.toarray()


@jax.jit
def _distributions(cells: CellDistribution, draws: dict[str, Array]) -> dist.Distribution:
    return jax.lax.map(cells, draws)


def _padded(at: tuple[np.ndarray, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (np.pad(x, (0, size - len(x)), mode="edge") for x in at)
    return rows, columns
