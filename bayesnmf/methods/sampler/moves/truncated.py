"""Gibbs draws of factors under Gaussian noise and exponential priors, from Gram matrices.

Given all else an entry of W is normal, truncated at zero: with ``G = H H'``, ``C = V H'`` and the
precision tau, its mean is ``(C_ik - sum_{l != k} W_il G_lk - b / tau) / G_kk`` and its variance
``1 / (tau G_kk)``. All rows of a component are drawn at once; the cells are met once a half sweep.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtr, ndtri

from bayesnmf.arrays import Array
from bayesnmf.observed.interface import Gram
from bayesnmf.observed.products import contract
from bayesnmf.priors import Prior

#: Standard deviations from which the tail is inverted by Mills' ratio.
FAR = 4.0


#: Terms of the continued fraction of Mills' ratio: from `FAR` on it is exact to 1e-10.
N_TERMS = 16


def truncated_move(
    data: Gram,
    x: Array,
    y: Array,
    sigma: Array,
    prior: Prior,
    uniform: Array,
    *,
    axis: int,
    first: int = 0,
) -> Array:
    """Draw every entry of a factor given the other entries, but for components before `first`.

    Parameters
    ----------
    data : Gram
        Complete: no cell is missing.
    x : array of shape (component, row)
        Logarithms of the factor.
    y : array of shape (component, column)
        The other factor, not its logarithms.
    sigma : array
        Standard deviation of the noise, the same in every cell.
    prior : Prior
        Exponential, with one rate or a rate a component, of the components from `first` on.
    uniform : array of shape (component - first, row)
        Uniform random numbers.
    axis : int
        Axis of V that the other factor runs along: 1 to move W, 0 to move H.

    Returns
    -------
    array of shape (component, row)
        Logarithms of the new factor.

    References
    ----------
    Schmidt, M. N., Winther, O. and Hansen, L. K. (2009). Bayesian non-negative matrix
    factorization. ICA 2009, LNCS 5441, 540-547. doi:10.1007/978-3-642-00599-2_68
    """
    n_components = x.shape[0]
    if first == n_components:
        return x
    variance = sigma * sigma
    # In units of one over the variance, so that what is left of them is a plain residual.
    targets, rate = data.project(y, axis=axis), prior.terms(x)[1]
    targets = targets.at[first:].add(-variance * rate) if first else targets - variance * rate
    gram = contract(y, y, 1)
    # Even an all-zero row of the other factor leaves a proper draw: that of the prior.
    least = jnp.finfo(x.dtype).tiny ** 0.25

    def draw(k: Array, w: Array) -> Array:
        row = lax.dynamic_index_in_dim(gram, k, keepdims=False)
        own = lax.dynamic_index_in_dim(w, k, keepdims=False)
        squares = jnp.maximum(row[k], least)
        residual = lax.dynamic_index_in_dim(targets, k, keepdims=False) - row @ w + row[k] * own
        u = lax.dynamic_index_in_dim(uniform, k - first, keepdims=False)
        std = sigma / jnp.sqrt(squares)
        entry = std * truncated_normal(u, -residual / (squares * std))
        return lax.dynamic_update_index_in_dim(w, entry, k, 0)

    drawn = jnp.log(lax.fori_loop(first, n_components, draw, jnp.exp(x)))
    return jnp.concatenate([x[:first], drawn[first:]]) if first else drawn


def truncated_normal(uniform: Array, lower: Array) -> Array:
    """Draw the excess of a standard normal variable over `lower`, given that it exceeds it.

    By inversion, in the upper tail: near the centre with the normal distribution function, far
    out with Mills' ratio R, solving ``lower s + s**2 / 2 + log R(lower) - log R(lower + s) = E``
    for the excess s itself, with E exponential. So no digits are lost however far.

    Parameters
    ----------
    uniform : array
        Uniform random numbers.
    lower : array of the same shape
        Point of truncation.

    Returns
    -------
    array
        Positive.

    Examples
    --------
    >>> bool(jnp.abs(truncated_normal(jnp.array(0.5), jnp.array(1e6)) - jnp.log(2) / 1e6) < 1e-9)
    True
    """
    tiny = jnp.finfo(lower.dtype).tiny
    tail = jnp.maximum(1.0 - uniform, jnp.finfo(lower.dtype).eps / 2)
    near_lower = jnp.minimum(lower, FAR)
    near = -ndtri(tail * ndtr(-near_lower)) - near_lower
    far_lower = jnp.maximum(lower, FAR)
    return jnp.maximum(jnp.where(lower < FAR, near, _far(-jnp.log(tail), far_lower)), tiny)


def _far(exponential: Array, lower: Array) -> Array:
    """Return the excess whose tail probability is ``exp(-exponential)``."""
    start = _mills(lower)
    # The root of the quadratic part, then Newton steps.
    excess = 2.0 * exponential / (lower + jnp.sqrt(lower * lower + 2.0 * exponential))
    for _ in range(3):
        ratio = _mills(lower + excess)
        value = excess * (lower + 0.5 * excess) + jnp.log(start / ratio) - exponential
        excess = jnp.maximum(excess - value * ratio, 0.0)
    return excess


def _mills(t: Array) -> Array:
    """Return ``(1 - Phi(t)) / phi(t)`` by Laplace's continued fraction.

    References
    ----------
    Abramowitz, M. and Stegun, I. A. (1964). Handbook of mathematical functions, 26.2.14.
    """
    value = t
    for k in range(N_TERMS, 0, -1):
        value = t + k / value
    return 1.0 / value
