"""The mixture of leave-one-out posteriors: one set of draws from which any cell can be left out."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import numpyro
from numpyro import handlers
from scipy.special import logsumexp

from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.comparison.psis import psis_loo
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.methods import Method
from bayesnmf.model import Model, Program
from bayesnmf.posterior import fitting
from bayesnmf.posterior.requirements import require_whole
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import Progress


def mixture_program(model: Model, rows: np.ndarray, columns: np.ndarray) -> Program:
    r"""Return the program of :math:`p(\theta \mid V) \sum_i 1 / p(v_i \mid \theta)`.

    Up to a constant it is the mixture of the posteriors without cell i, over the given cells.

    Parameters
    ----------
    model : NMF or Program
        With every default resolved.
    rows, columns : ndarray of int of shape (n_cells,)
        Cells of the mixture.

    Returns
    -------
    Program
        With the sites of `model`.
    """

    def mixture(V: Any = None, shape: tuple[int, int] | None = None) -> None:
        with handlers.trace() as sites:
            model(V, shape=shape)
        site = sites["V"]
        cells = site["fn"].log_prob(site["value"])[rows, columns]
        numpyro.factor("leave_one_out", jax.nn.logsumexp(-cells))

    return Program(mixture)


def mixture_loo(
    pointwise: Pointwise,
    cells: np.ndarray,
    method: Method,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:
    r"""Leave out cells with draws from the mixture of the posteriors without them.

    The ratio of the posterior without cell i to the mixture is at most a constant, so its
    variance is finite whatever the posterior.

    Parameters
    ----------
    pointwise : Pointwise
        The fit and the measure.
    cells : ndarray of bool of shape (n_rows, n_columns)
        Cells to leave out.
    method : MCMC
        How the mixture is drawn from.
    seed : int
    progress : Progress, optional
        What shows how far the run has come.

    Returns
    -------
    elpd, k : ndarray of shape (n_cells,), in row order
        Or None where the chains did not converge: the modes of the mixture are then too far
        apart to walk between, and their weights unknown.

    References
    ----------
    Silva, L. A. and Zanella, G. (2024). Robust leave-one-out cross-validation for
    high-dimensional Bayesian models. Journal of the American Statistical Association 119,
    2369-2381. doi:10.1080/01621459.2023.2257893
    """
    fit, rows_columns = pointwise.fit, np.nonzero(cells)
    V = fit.V.to_numpy()
    program = mixture_program(pointwise.model, *rows_columns)
    mixed = require_whole(
        fitting.fit_silently(V, program, method, seed=seed, progress=progress or False)
    )
    if not mixed.converged:
        return None
    values, fitted = _densities_of_cells(
        Pointwise(
            Fit(mixed.tree, fit.model), pointwise.measure, CellBlocks(pointwise.matrix, cells)
        ),
        cells,
    )
    log_ratio = -fitted - logsumexp(-fitted, axis=0)
    elpd = logsumexp(log_ratio + values, axis=1) - logsumexp(log_ratio, axis=1)
    return elpd, psis_loo(-log_ratio)[1]


def _densities_of_cells(pointwise: Pointwise, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities of some cells, in row order, as scored and as fitted."""
    order = np.full(cells.shape, -1)
    order[cells] = np.arange(cells.sum())
    values = np.empty((int(cells.sum()), pointwise.n_draws))
    fitted = np.empty_like(values)
    for tile in pointwise.tiles():
        values[order[tile.rows, tile.columns]] = tile.values
        fitted[order[tile.rows, tile.columns]] = tile.fitted
    return values, fitted
