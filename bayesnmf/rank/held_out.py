"""K-fold cross-validation at a MAP estimate, with the uncertainty that its curvature suggests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, off_zero
from bayesnmf.comparison.pointwise import mean_density
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods.optimise.search import Search, refit
from bayesnmf.model import NMF
from bayesnmf.observed.cells import Cells
from bayesnmf.rank.laplace import corrected_noise, draw_around, laplace_at

#: Draws around the estimate over which the density of a held-out cell is averaged.
N_DRAWS = 100


@dataclass(frozen=True)
class FoldAtMAP:
    """One refit and the cells that it has to predict; it can be sent to another process.

    Parameters
    ----------
    model : NMF
        Resolved.
    values, observed : ndarray of shape (n_rows, n_columns)
        All data, with any value of the support where missing, and which cells are observed.
    held : ndarray of bool of shape (n_rows, n_columns)
        Cells that are left out of the fit and predicted.
    sites : mapping of str to ndarray
        Where the search starts: the MAP estimate of all data.
    search : Search
        In log space.
    seed : int
    """

    model: NMF
    values: np.ndarray
    observed: np.ndarray
    held: np.ndarray
    sites: Mapping[str, np.ndarray]
    search: Search
    seed: int

    def run(self) -> np.ndarray:
        """Return the log predictive density of the held cells, in row order.

        Rows of W and columns of H are log-normal around the MAP estimate in log space. An entry of
        which no cell is left to tell has the mean of its prior and nearly its standard deviation,
        so no held-out cell is called impossible. The noise is that of the estimate, plus the noise
        that the estimate has followed.
        """
        with jax.enable_x64(self.values.dtype == np.float64):
            kept = jnp.asarray(self.observed & ~self.held)
            data = Cells(jnp.asarray(self.values), kept)
            sites = refit(self.search, self.model, data, self.sites).sites
            fitted = (self.model, self.values, np.asarray(kept), sites)
            around, rng = laplace_at(*fitted), np.random.default_rng(self.seed)
            parameters = corrected_noise(*fitted, around.n_parameters)
            W = draw_around(sites["W"], around.W, N_DRAWS, rng)
            H = draw_around(sites["H"].T, around.H, N_DRAWS, rng).swapaxes(1, 2)
            density = np.empty((int(self.held.sum()), N_DRAWS))
            for i, (w, h) in enumerate(zip(W, H, strict=True)):
                mean = (w @ h).astype(self.values.dtype)
                cells = _log_density(self.model.likelihood, mean, parameters, self.values)
                density[:, i] = np.asarray(cells)[self.held]
        return mean_density(density)


@jax.jit
def _log_density(
    likelihood: Likelihood, mean: Array, parameters: dict[str, Any], v: Array
) -> Array:
    return likelihood.log_density(v, off_zero(mean), **likelihood.known, **parameters)
