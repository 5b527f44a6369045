"""The residual check at a mode: replicates are drawn there, and each is fitted again.

A fit follows the noise of its data, so data leave smaller residuals than fresh noise around the
fitted mean would. Fitted again, a replicate loses as much, and the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, ArrayLike
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods.optimise.search import Search, refit
from bayesnmf.model import NMF
from bayesnmf.model.mean import product
from bayesnmf.observed.cells import Cells
from bayesnmf.predictive.discrepancies import pearson, singular_values

#: Steps at most, and optimality residual, of the fit of a replicate, which starts next to its mode.
MAX_ITER, TOL = 200, 1e-3


class Residuals(NamedTuple):
    """Two statistics of a Pearson residual, of one matrix or of many replicates."""

    singular_value: np.ndarray
    dispersion: np.ndarray


@dataclass(frozen=True)
class Replicates:
    """Some replicates to draw and fit; it can be sent to another process.

    Parameters
    ----------
    model : NMF
        Resolved.
    values, observed : ndarray of shape (n_rows, n_columns)
        The data, with any value of the support where missing, and which cells are observed.
    sites : dict of str to ndarray
        The mode of the data: W, H and the likelihood's parameters.
    search : Search
        How to search.
    seed : int
    numbers : tuple of int
        Which replicates: the same number gives the same one.
    """

    model: NMF
    values: np.ndarray
    observed: np.ndarray
    sites: dict[str, np.ndarray]
    search: Search
    seed: int
    numbers: tuple[int, ...]

    def run(self) -> Residuals:
        """Draw, fit, and return the statistics of each replicate."""
        with jax.enable_x64(self.values.dtype == np.float64):
            key, observed = jax.random.key(self.seed), jnp.asarray(self.observed)
            mean, parameters = fitted(self.sites)
            pairs = []
            for number in self.numbers:
                drawn = _draw(
                    self.model.likelihood,
                    mean,
                    parameters,
                    jax.random.fold_in(key, number),
                    jnp.asarray(self.values),
                    observed,
                )
                mode = refit(self.search, self.model, Cells(drawn, observed), self.sites)
                pairs.append(residuals(self.model.likelihood, mode.sites, drawn, observed))
        return Residuals(*np.array(pairs).T)


def residuals(
    likelihood: Likelihood, sites: dict[str, np.ndarray], values: ArrayLike, observed: ArrayLike
) -> Residuals:
    """Return the leading singular value and the mean square of the Pearson residual."""
    both = _residuals(likelihood, *fitted(sites), jnp.asarray(values), jnp.asarray(observed))
    return Residuals(*(np.asarray(x) for x in both))


def p_value(observed: float, replicated: np.ndarray) -> float:
    """Return the share of replicates at least as large, the data counted as one of them.

    Of data that are exchangeable with the replicates it is below any level at most as often as the
    level says; the replicates' mean is a fitted one, so this holds nearly.

    Examples
    --------
    >>> p_value(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    return float((1 + np.sum(replicated >= observed)) / (1 + len(replicated)))


def fitted(sites: dict[str, np.ndarray]) -> tuple[Array, dict[str, Array]]:
    """Return WH and the likelihood's parameters."""
    parameters = {name: jnp.asarray(x) for name, x in sites.items() if name not in ("W", "H")}
    return product(jnp.asarray(sites["W"]), jnp.asarray(sites["H"])), parameters


@jax.jit
def _residuals(
    likelihood: Likelihood, mean: Array, parameters: dict[str, Array], v: Array, observed: Array
) -> tuple[Array, Array]:
    cells = likelihood.distribution(mean, **likelihood.known, **parameters)
    residual = pearson(v, observed, cells)
    count = jnp.sum(observed).astype(v.dtype)
    return singular_values(residual, 1)[0], jnp.sum(residual**2) / count


@jax.jit
def _draw(
    likelihood: Likelihood,
    mean: Array,
    parameters: dict[str, Array],
    key: Array,
    v: Array,
    observed: Array,
) -> Array:
    cells = likelihood.distribution(mean, **likelihood.known, **parameters)
    return jnp.where(observed, cells.sample(key).astype(v.dtype), v)
