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
from typing import Any

import jax
import numpy as np
from scipy.special import logsumexp

from bayesnmf.comparison.densities import nmf_density, plain, program_density, split_known
from bayesnmf.data import AnyMatrix
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.data.labels import matched
from bayesnmf.model import Measure, Model
from bayesnmf.posterior.requirements import require_draws, require_model, warn_of_modes
from bayesnmf.posterior.result import Fit, original_factors

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
        Draws and their model; a mode has none, and is refused.
    measure : {"counting", "lebesgue"}, optional
        What densities refer to. None: the likelihood's own measure. "counting" gives a continuous
        likelihood of counts the probability of the unit interval around each count.
    wanted : CellBlocks, optional
        Cells to evaluate. None: the observed cells of the fit.

    Raises
    ------
    ValueError
        For a mode, a model that is gone, data outside the support, and a measure that the
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

    def __post_init__(self) -> None:
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

    def tiles(self, size: int | None = None) -> Iterator[Tile]:
        """Yield the wanted cells tile by tile, each cell once.

        Parameters
        ----------
        size : int, optional
            Numbers (draws x cells) in a tile. None: ``TILE_SIZE``.

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
        whole = self.model.nmf is None
        evaluate = (self._program_tile if whole else self._nmf_tile)(n_high, n_wide)
        for column in range(0, n_columns, n_wide):
            for row in range(0, n_rows, n_high):
                wanted = self.cells.observed[row : row + n_high, column : column + n_wide]
                if not wanted.any():
                    continue
                with jax.enable_x64(True):
                    *densities, finite = (np.asarray(x) for x in evaluate(row, column))
                rows, columns = np.nonzero(wanted)
                densities = [x[rows, columns] for x in densities]
                finite = finite[rows, columns]
                self._refuse_undefined(row + rows, column + columns, finite, densities[-1])
                yield Tile(row + rows, column + columns, densities[-1], densities[0])

    # -- NMF ------------------------------------------------------------------------------------

    def _nmf_tile(self, n_high: int, n_wide: int) -> Any:
        """Return a function of the first row and column; draws come last in every array."""
        model = self.model.nmf
        assert model is not None
        posterior = self.fit.tree["posterior"].dataset
        W, H = (posterior[name].to_numpy() for name in ("W", "H"))
        W, H = W.reshape(-1, *W.shape[2:]), H.reshape(-1, *H.shape[2:])
        drawn = {
            name: plain(posterior[name].to_numpy().reshape(-1)) for name in model.likelihood.priors
        }
        likelihood, known = split_known(model.likelihood)
        per_cell = {name: np.broadcast_to(x, self.cells.shape) for name, x in known.items()}
        mass = self.discretised
        held: dict[int, np.ndarray] = {}

        def evaluate(row: int, column: int) -> Any:
            # Positions past the edge repeat the last one, so that all tiles have one shape.
            i = np.minimum(np.arange(row, row + n_high), W.shape[1] - 1)
            j = np.minimum(np.arange(column, column + n_wide), H.shape[2] - 1)
            if column not in held:
                held.clear()
                held[column] = plain(np.moveaxis(H[:, :, j], 0, -1))
            v = self.cells.block(i, j)
            v = np.where(np.isnan(v), likelihood.placeholder, v)
            given = {name: np.asarray(x[np.ix_(i, j)], float) for name, x in per_cell.items()}
            return nmf_density(
                likelihood,
                plain(np.moveaxis(W[:, i], 0, -1)),
                held[column],
                v,
                drawn,
                given,
                mass=mass,
            )

        return evaluate

    # -- programs -------------------------------------------------------------------------------

    def _program_draws(self, draws: slice) -> dict[str, np.ndarray]:
        """Return the program's sites as they were drawn, before the scale of H was moved."""
        sites = {}
        for name, draw in self.fit.tree["posterior"].data_vars.items():
            values = draw.to_numpy()
            sites[str(name)] = values.reshape(-1, *values.shape[2:])[draws]
        W, H = original_factors(self.fit)
        sites |= {"W": W[draws], "H": H[draws]}
        return sites

    def _program_tile(self, n_high: int, n_wide: int) -> Any:
        """Return a function of the first row and column.

        A program cannot be run on a part of its rows, so every tile runs the whole of it.
        """
        sites = self._program_draws(slice(None))
        cells = self.model.cells(self.cells.dense())
        n_rows, n_columns = self.cells.shape

        def evaluate(row: int, column: int) -> Any:
            i = np.minimum(np.arange(row, row + n_high), n_rows - 1)
            j = np.minimum(np.arange(column, column + n_wide), n_columns - 1)
            return program_density(cells, sites, i, j)

        return evaluate

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
        if self.own_measure == "counting":
            return
        if self.model.nmf is None:
            raise ValueError(
                f"{self.model.title} gives V a density, which cannot be compared with the probability "
                "of a count: compare it with continuous likelihoods, or write its site V as counts"
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


def jacobian(log_jacobian: Any, matrix: AnyMatrix) -> np.ndarray:
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
