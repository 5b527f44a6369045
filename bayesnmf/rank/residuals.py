"""The residual check at a MAP estimate: replicates are drawn there, and each is fitted again.

A fit follows the noise of its data, so data leave smaller residuals than fresh noise around the
fitted mean would. Fitted again, a replicate loses as much, and the two can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, ArrayLike
from bayesnmf.blas import one_blas_thread
from bayesnmf.data import Matrix
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods.optimise.search import Search, refit
from bayesnmf.model import NMF
from bayesnmf.model.mean import product
from bayesnmf.observed import observe
from bayesnmf.predictive.discrepancies import pearson, singular_values

#: Steps at most, and optimality residual, of the fit of a replicate, which starts near its optimum.
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
    matrix : Matrix
        The data.
    sites : mapping of str to ndarray
        The MAP estimate: W, H and the likelihood's parameters.
    search : Search
        How to search.
    seed : int
    numbers : tuple of int
        Which replicates: the same number gives the same one.
    """

    model: NMF
    matrix: Matrix
    sites: Mapping[str, np.ndarray]
    search: Search
    seed: int
    numbers: tuple[int, ...]

    @one_blas_thread()
    def run(self) -> Residuals:
        """Draw, fit, and return the statistics of each replicate."""
        with jax.enable_x64(self.matrix.dtype == np.float64):
            pairs = [self._residuals_of(number) for number in self.numbers]
        return Residuals(*np.array(pairs).T)

    def _residuals_of(self, number: int) -> Residuals:
        likelihood, observed = self.model.likelihood, self.matrix.observed
        values = jnp.asarray(self.matrix.filled(likelihood.placeholder))
        key = jax.random.fold_in(jax.random.key(self.seed), number)
        drawn = np.asarray(_draw(likelihood, *fitted(self.sites), key, values, observed))
        replicated = replace(
            self.matrix, values=np.where(observed, drawn, drawn.dtype.type(np.nan))
        )
        # In the storage that the data were fitted in, so that the compiled program is the same.
        data = observe(self.model, replicated)
        sites = refit(self.search, self.model, data, self.sites).sites
        return residuals(likelihood, sites, drawn, observed)


def residuals(
    likelihood: Likelihood, sites: Mapping[str, np.ndarray], values: ArrayLike, observed: ArrayLike
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


def fitted(sites: Mapping[str, np.ndarray]) -> tuple[Array, dict[str, Array]]:
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
