"""Pareto-smoothed importance sampling, for all cells of a tile at once.

The numbers are those of ``arviz_stats``, whose own routine takes the cells one by one. Here the
tail of every cell is found by a partial sort, and the generalised Pareto fits of all cells are
one compiled array program.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from bayesnmf.arrays import Array

#: Fewer draws leave a tail of five or less, whose first quartile is its threshold: no fit.
MIN_DRAWS = 30


#: Tails are padded to a multiple of this, so that fits of similar efficiency share a compilation.
TAIL_STEP = 64


#: Strength and centre of the prior on k, in draws (Vehtari et al. 2024).
PRIOR_WEIGHT, PRIOR_K = 10.0, 0.5


def good_k(n_draws: int) -> float:
    """Return the k above which an estimate from `n_draws` draws is not reliable.

    Examples
    --------
    >>> round(good_k(1000), 3), good_k(4000)
    (0.667, 0.7)
    """
    return min(1.0 - 1.0 / math.log10(n_draws), 0.7) if n_draws > 1 else 0.7


def psis_loo(
    log_likelihood: np.ndarray, reff: float = 1.0, predicted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Estimate leave-one-out log predictive densities by smoothed importance sampling.

    The posterior without a cell is the posterior times :math:`1 / p(v | \theta)`. The largest of
    these ratios are replaced by quantiles of a generalised Pareto distribution fitted to them,
    whose shape k tells how far the estimate can be trusted.

    Parameters
    ----------
    log_likelihood : ndarray of float64 of shape (n_cells, n_draws)
        Finite log densities.
    reff : float, default 1.0
        Effective draws a draw, which sets the length of the tail.
    predicted : ndarray of float64 of shape (n_cells, n_draws), optional
        Log densities to be averaged, where they are not those of the posterior: the mass of a
        count under a model that was fitted by its density.

    Returns
    -------
    elpd : ndarray of shape (n_cells,)
        Log predictive density of each cell given all others.
    k : ndarray of shape (n_cells,)
        Pareto shape. Infinite where none can be fitted (ArviZ has NaN, which no threshold flags);
        0 where the tail is constant, and so as light as can be.

    Raises
    ------
    ValueError
        For fewer than 30 draws.

    References
    ----------
    Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed importance
    sampling. Journal of Machine Learning Research 25(72), 1-58.
    https://jmlr.org/papers/v25/19-556.html

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(3, 1000))
    >>> elpd, k = psis_loo(-0.5 * draws**2)
    >>> elpd.shape, k.shape
    ((3,), (3,))
    """
    n_draws = log_likelihood.shape[1]
    if n_draws < MIN_DRAWS:
        raise ValueError(
            f"leave-one-out needs at least {MIN_DRAWS} draws to fit the tail of the importance "
            f"ratios, and there are {n_draws}. Draw more"
        )
    n_tail = _tail_length(n_draws, reff)
    split = n_draws - n_tail
    lowest = log_likelihood.min(axis=1)
    ratios = lowest[:, None] - log_likelihood  # log ratios, the largest of them 0
    ratios, predicted = _with_tail_last(ratios, predicted, split)
    tail, cutoff = ratios[:, split:], ratios[:, split - 1]
    weights, k = _smoothed(tail, cutoff)
    if predicted is None:
        # The product of an unsmoothed ratio and the density is 1, up to the common factor.
        top = np.logaddexp(logsumexp(weights - tail, axis=1), np.log(split)) + lowest
    else:
        body = logsumexp(ratios[:, :split] + predicted[:, :split], axis=1)
        top = np.logaddexp(logsumexp(weights + predicted[:, split:], axis=1), body)
    body = np.log(np.exp(ratios[:, :split], out=ratios[:, :split]).sum(axis=1))
    return top - np.logaddexp(logsumexp(weights, axis=1), body), k


def _with_tail_last(
    ratios: np.ndarray, predicted: np.ndarray | None, split: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the ratios of each cell with the largest last, in order, and `predicted` likewise."""
    if predicted is None:
        ratios.partition(split - 1, axis=1)
        ratios[:, split:].sort(axis=1)
        return ratios, None
    order = np.argpartition(ratios, split - 1, axis=1)
    tail = np.take_along_axis(ratios, order[:, split:], axis=1)
    inner = np.argsort(tail, axis=1)
    order[:, split:] = np.take_along_axis(order[:, split:], inner, axis=1)
    return tuple(np.take_along_axis(x, order, axis=1) for x in (ratios, predicted))  # type: ignore[return-value]


def _smoothed(tail: np.ndarray, cutoff: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed log ratios of every tail, and k.

    Tails are padded, and cells repeated up to a power of two, so that tiles with different numbers
    of observed cells share a compilation.
    """
    n_cells, n_tail = tail.shape
    more = (1 << (n_cells - 1).bit_length()) - n_cells
    cutoff = np.pad(cutoff, (0, more), mode="edge")
    tail = np.pad(tail, ((0, more), (0, 0)), mode="edge")
    tail = np.pad(tail, ((0, 0), (0, -n_tail % TAIL_STEP)))
    with jax.enable_x64(True):
        smoothed, k = (np.asarray(x) for x in _smooth_tails(tail, cutoff, np.int64(n_tail)))
    return smoothed[:n_cells, :n_tail], k[:n_cells]


def _tail_length(n_draws: int, reff: float) -> int:
    """Return how many of the largest ratios are smoothed: ArviZ's rule."""
    if n_draws * reff > 225:
        return int(3 * math.sqrt(n_draws / reff))
    return n_draws // 5


@jax.jit
def _smooth_tails(tail: Array, cutoff: Array, n_tail: Array) -> tuple[Array, Array]:
    """Replace sorted log ratios by the logs of fitted quantiles; return them and k."""
    inside = _first_entries(tail.shape, n_tail)
    threshold = jnp.exp(cutoff)[:, None]
    excess = jnp.where(inside, jnp.exp(tail) - threshold, 0.0)
    k, sigma = _fit_pareto(excess, n_tail)
    position = jnp.arange(0.5, tail.shape[1], dtype=tail.dtype) / n_tail.astype(tail.dtype)
    log_rest = jnp.log1p(-jnp.where(position < 1, position, 0.0))[None]
    shape = jnp.where(k == 0, 1.0, k)[:, None]
    rise = jnp.where((k == 0)[:, None], -log_rest, jnp.expm1(-shape * log_rest) / shape)
    quantiles = jnp.log(threshold + sigma[:, None] * rise)
    usable = jnp.isfinite(k) & (sigma > 0)
    # Smoothing must not make any weight larger than the largest one drawn, which is 1.
    smoothed = jnp.where(usable[:, None], jnp.minimum(quantiles, 0.0), tail)
    last = jnp.take_along_axis(tail, jnp.full((len(tail), 1), n_tail - 1), axis=1)
    constant = (last - tail[:, :1])[:, 0] < jnp.finfo(tail.dtype).tiny
    return (
        jnp.where(constant[:, None], tail, smoothed),
        jnp.where(constant, 0.0, jnp.where(usable, k, jnp.inf)),
    )


def _fit_pareto(excess: Array, n_tail: Array) -> tuple[Array, Array]:
    """Fit a generalised Pareto distribution to each row: the estimate of Zhang and Stephens.

    Shape k and scale sigma are functions of ``b = -k / sigma``, which gets its posterior mean on a
    grid. Zhang, J. and Stephens, M. A. (2009). A new and efficient estimation method for the
    generalized Pareto distribution. Technometrics 51, 316-325. doi:10.1198/tech.2009.08017
    """
    n = n_tail.astype(excess.dtype)
    inside = _first_entries(excess.shape, n_tail)
    n_grid = 30 + jnp.floor(jnp.sqrt(n))
    grid = jnp.arange(1, 31 + math.isqrt(excess.shape[1]), dtype=excess.dtype)
    column = partial(jnp.take_along_axis, excess, axis=1)
    quartile = jnp.floor(n / 4 + 0.5).astype(n_tail.dtype) - 1
    first = column(jnp.full((len(excess), 1), quartile))
    last = column(jnp.full((len(excess), 1), n_tail - 1))
    b = (1.0 - jnp.sqrt(n_grid / (grid - 0.5)))[None] / (3.0 * first) + 1.0 / last
    k = _mean_log1p(-b[:, :, None] * excess[:, None, :], inside[:, None, :], n)
    log_weight = n * (jnp.log(-b / k) - k - 1.0)
    log_weight = jnp.where((grid <= n_grid)[None], log_weight, -jnp.inf)
    weight = jnp.exp(log_weight - jax.nn.logsumexp(log_weight, axis=1, keepdims=True))
    weight = jnp.where(weight >= 10 * jnp.finfo(weight.dtype).eps, weight, 0.0)
    b = jnp.where(weight > 0, b, 0.0)
    b_mean = jnp.sum(b * weight, axis=1) / jnp.sum(weight, axis=1)
    k = _mean_log1p(-b_mean[:, None] * excess, inside, n)
    sigma = -k / b_mean
    k = (n * k + PRIOR_WEIGHT * PRIOR_K) / (n + PRIOR_WEIGHT)
    # A quartile at the threshold itself: the tail is nothing like a Pareto distribution.
    return jnp.where(first[:, 0] > excess[:, 0], k, jnp.nan), sigma


def _mean_log1p(x: Array, inside: Array, n: Array) -> Array:
    return jnp.sum(jnp.where(inside, jnp.log1p(x), 0.0), axis=-1) / n


def _first_entries(shape: tuple[int, ...], n: Array) -> Array:
    """Return which entries of each row are among the first `n`."""
    return jnp.broadcast_to((jnp.arange(shape[1]) < n)[None], shape)
