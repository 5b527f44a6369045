"""The log density of every cell at every draw, one tile of the matrix at a time.

Draws x rows x columns would not fit into memory: 2,000 draws of a 5,000 x 2,000 matrix take
160 GB. A tile holds all draws of a few rows and columns, and what is computed from it (WAIC, LOO, a
predictive density) is one number a cell.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from bayesnmf.comparison.densities import Densities, densities_of
from bayesnmf.data import AnyMatrix
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.data.labels import matched
from bayesnmf.model import Measure, Model
from bayesnmf.posterior.requirements import require_draws, require_model, warn_of_modes
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import Progress, Silent

#: Numbers (draws x cells) in a tile; a few arrays of this size are alive at once.
TILE_SIZE = 2**22


@dataclass(frozen=True)
class Tile:
    """All draws of the log density on some rows and columns.

    Parameters
    ----------
    rows, columns : ndarray of int
        Positions in the matrix.
    values : ndarray of float64 of shape (n_cells, draw)
        Log densities of the wanted cells on the measure asked for.
    fitted : ndarray of float64 of shape (n_cells, draw)
        Their log densities in the posterior. The same array, unless a continuous likelihood is
        scored on counts: then importance ratios follow this one.
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    fitted: np.ndarray


@dataclass(frozen=True)
class Pointwise:
    """The log density of cells under the draws of a fit.

    Parameters
    ----------
    fit : Fit
        Draws and their model; a MAP estimate has none, and is refused.
    measure : {"counting", "lebesgue"}, optional
        What densities refer to. None: the likelihood's own measure. "counting" gives a continuous
        likelihood of counts the probability of the unit interval around each count.
    wanted : CellBlocks, optional
        Cells to evaluate. None: the observed cells of the fit.
    one_draw : bool, default False
        Whether a MAP estimate may stand for one draw.

    Raises
    ------
    ValueError
        For a MAP estimate, a model that is gone, data outside the support, and a measure that the
        likelihood does not have.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(4, 3, 1, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=50, num_samples=30), progress=False)
    >>> [tile.values.shape for tile in Pointwise(fit).tiles()]
    [(12, 30)]
    """

    fit: Fit
    measure: Measure | None = None
    wanted: CellBlocks | None = None
    one_draw: bool = False

    def __post_init__(self) -> None:
        if not self.one_draw:
            require_draws(self.fit)
        if self.measure not in (None, "counting", "lebesgue"):
            raise ValueError(
                f"unknown measure {self.measure!r}; valid: counting, lebesgue, or None for the "
                "likelihood's own"
            )
        self._require_single_cells()
        with jax.enable_x64(True):
            self.model.check(self.matrix, draws=True)
        if self.measure == "counting":
            self._require_counts()
        elif self.measure == "lebesgue" and self.own_measure == "counting":
            raise ValueError(
                f"{self.model.title} describes counts, which have no density: use measure='counting'"
            )

    @property
    def model(self) -> Model:
        """The model, which a saved fit may have lost."""
        return require_model(self.fit, "a log density")

    @cached_property
    def matrix(self) -> AnyMatrix:
        """The data of the fit, as they were fitted."""
        return self.fit.matrix

    @cached_property
    def cells(self) -> CellBlocks:
        """Cells to evaluate, of which a tile is expanded at once."""
        return CellBlocks(self.matrix) if self.wanted is None else self.wanted

    @property
    def n_draws(self) -> int:
        """Number of draws, over all chains."""
        sizes = self.fit.tree["posterior"].sizes
        return sizes["chain"] * sizes["draw"]

    @cached_property
    def own_measure(self) -> Measure:
        """The measure to which the likelihood's density refers."""
        return self.model.base_measure(self.matrix)

    @property
    def discretised(self) -> bool:
        """Whether a continuous likelihood is scored by the mass that it gives to counts."""
        return self.measure == "counting" and self.own_measure == "lebesgue"

    def tiles(self, size: int | None = None, *, progress: Progress | None = None) -> Iterator[Tile]:
        """Yield the wanted cells tile by tile, each cell once.

        Parameters
        ----------
        size : int, optional
            Numbers (draws x cells) in a tile. None: ``TILE_SIZE``.
        progress : Progress, optional
            What shows how many tiles are done.

        Raises
        ------
        ValueError
            When a log density is not finite; the message names the cell.
        """
        width = max((TILE_SIZE if size is None else size) // self.n_draws, 1)
        n_rows, n_columns = self.cells.shape
        # Nearly square, so that each draw of a factor read is used several times.
        n_wide = min(n_columns, max(width // n_rows, int(width**0.5), 1))
        n_high = min(n_rows, max(width // n_wide, 1))
        kind = densities_of(self.model)
        densities = kind(self.fit, self.model, self.cells, mass=self.discretised)
        corners = [(i, j) for j in range(0, n_columns, n_wide) for i in range(0, n_rows, n_high)]
        for row, column in (progress or Silent()).over(corners, "densities"):
            rows, columns = np.arange(row, row + n_high), np.arange(column, column + n_wide)
            if self.cells.observed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any():
                yield self._tile(densities, rows, columns)

    def _tile(self, densities: Densities, rows: np.ndarray, columns: np.ndarray) -> Tile:
        wanted = self.cells.observed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Positions past the edge repeat the last one, so that all tiles have one shape.
        i, j = (
            np.minimum(x, n - 1) for x, n in zip((rows, columns), self.cells.shape, strict=True)
        )
        with jax.enable_x64(True):
            *values, finite = (
                np.asarray(x)[: len(wanted), : wanted.shape[1]] for x in densities.at(i, j)
            )
        fitted, scored = values[0][wanted], values[-1][wanted]
        scored = fitted if len(values) == 1 else scored
        rows, columns = (
            x + corner for x, corner in zip(np.nonzero(wanted), (rows[0], columns[0]), strict=True)
        )
        self._refuse_undefined(rows, columns, finite[wanted], scored)
        return Tile(rows, columns, scored, fitted)

    # -- refusals -------------------------------------------------------------------------------

    def _require_single_cells(self) -> None:
        if self.model.has_joint_cells(self.matrix):
            raise ValueError(
                f"the site 'V' of {self.model.name} has events of several cells, so no cell of it "
                "can be left out"
            )

    def _require_counts(self) -> None:
        self.matrix.refuse(
            lambda values: (values < 0) | (values != np.round(values)),
            "is not a count, so it has no mass on the counting measure",
            "Compare densities (measure='lebesgue') of continuous likelihoods instead",
        )
        if self.discretised and not self.model.gives_mass:
            raise ValueError(
                f"{self.model.title} gives V a density, which cannot be compared with the probability "
                "of a count: compare it with continuous likelihoods, or let it describe counts"
            )

    def _refuse_undefined(
        self, rows: np.ndarray, columns: np.ndarray, finite: np.ndarray, values: np.ndarray
    ) -> None:
        if finite.all():
            return
        cell = int(np.argmin(finite))
        what = "NaN" if np.isnan(values[cell]).any() else "infinite"
        count = int((~np.isfinite(values[cell])).sum())
        raise ValueError(
            f"the log likelihood of V[{rows[cell]}, {columns[cell]}]"
            f"{self._labels(rows[cell], columns[cell])} is {what} at {count} of "
            f"{values.shape[1]} draws ({int((~finite).sum())} such cell(s) in its tile): check "
            "that cell, and that the fit has converged"
        )

    def _labels(self, row: int, column: int) -> str:
        indexes = self.fit.tree["posterior"].dataset.indexes
        return f" (row {indexes['row'][row]}, column {indexes['column'][column]})"


def jacobian(log_jacobian: ArrayLike, matrix: AnyMatrix) -> np.ndarray:
    """Return the log derivative of the fitted data in the original ones, cell by cell.

    A labelled table is matched by its names with those of the data.
    """
    shape, names = matrix.shape, (matrix.row_names, matrix.column_names)
    values = np.asarray(matched(log_jacobian, *names, "log_jacobian"), float)
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(
            f"log_jacobian has shape {values.shape}, but V has shape {shape}"
        ) from None


#: Fewer draws than this give estimates that are mostly noise.
FEW_DRAWS = 100


def warn_of_draws(pointwise: Pointwise) -> None:
    """Warn of chains in several modes, and of few draws."""
    warn_of_modes(pointwise.fit, stacklevel=4)
    if pointwise.n_draws < FEW_DRAWS:
        warnings.warn(
            f"{pointwise.n_draws} draws are few: estimates from fewer than {FEW_DRAWS} are mostly "
            "noise",
            stacklevel=3,
        )


def mean_density(log_likelihood: np.ndarray) -> np.ndarray:
    """Return the log of the mean density over draws, which are the last axis."""
    return logsumexp(log_likelihood, axis=-1) - np.log(log_likelihood.shape[-1])
