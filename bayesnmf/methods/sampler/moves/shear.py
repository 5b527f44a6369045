"""Shear moves: ``W_l += t W_k``, ``H_k -= t H_l``, which leave WH as it is, under exponential priors.

For a pair of components t may lie in ``[-min_i W_il / W_ik, min_j H_kj / H_lj]``, where all
entries stay non-negative; its density there is that of the priors, an exponential one.
"""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.target import Position
from bayesnmf.model import NMF


def shear_move(model: NMF, position: Position, uniform: Array) -> Position:
    """Shear disjoint random pairs of free components.

    Parameters
    ----------
    model : NMF
        Gives the priors, of shape 1.
    position : Position
        Where the chain is; with one free component it stays.
    uniform : array of shape (2, component)
        Uniform random numbers: the first row pairs components, the second draws from pairs.

    Returns
    -------
    Position
        The same WH, with mass moved between the components of each pair.
    """
    known = max(model.n_known_W, model.n_known_H)
    n_pairs = (position.W.shape[0] - known) // 2
    if n_pairs == 0:
        return position
    order = known + jnp.argsort(uniform[0, known:])
    first, second = order[:n_pairs], order[n_pairs : 2 * n_pairs]
    # W[second] takes from W[first]; H[first] gives to H[second].
    takes = (position.W[second], position.W[first])
    gives = (position.H[first], position.H[second])
    lower = -jnp.exp(jnp.min(takes[0] - takes[1], axis=1))
    upper = jnp.exp(jnp.min(gives[0] - gives[1], axis=1))
    rate = _shear_rate(model, position, first, second)
    t = truncated_exponential(uniform[1, :n_pairs], rate, lower, upper)
    return position._replace(
        W=position.W.at[second].set(_sheared(*takes, t)),
        H=position.H.at[first].set(_sheared(*gives, -t)),
    )


def _shear_rate(model: NMF, position: Position, first: Array, second: Array) -> Array:
    """Return by how much the log prior falls, per unit of t, in its linear terms."""
    W, H = position.W, position.H
    rate_W, rate_H = (
        _of_components(prior.terms(x)[1], x)
        for prior, x in ((model.prior_W, W), (model.prior_H, H))
    )
    rate = jnp.sum(rate_W[second] * jnp.exp(W[first]), axis=1)
    return rate - jnp.sum(rate_H[first] * jnp.exp(H[second]), axis=1)


def _of_components(term: Array, x: Array) -> Array:
    """Return a prior's term with a row for every component of `x`."""
    return jnp.broadcast_to(term, (len(x), term.shape[1]))


def _sheared(x: Array, other: Array, t: Array) -> Array:
    """Return the logarithm of ``e^x + t e^other``."""
    # At the very end of the interval rounding could give zero or less.
    least = jnp.finfo(x.dtype).eps - 1.0
    return x + jnp.log1p(jnp.maximum(t[:, None] * jnp.exp(other - x), least))


def truncated_exponential(uniform: Array, rate: Array, lower: Array, upper: Array) -> Array:
    """Draw from the density proportional to ``exp(-rate t)`` on an interval.

    Parameters
    ----------
    uniform : array
        Uniform random numbers.
    rate : array of the same shape
        Of either sign, or zero.
    lower, upper : array of the same shape
        Ends of the interval.

    Returns
    -------
    array
        Draws by the inverse distribution function, measured from the likelier end so that a
        steep density keeps its digits.

    Examples
    --------
    >>> one = jnp.ones(2)
    >>> draws = truncated_exponential(jnp.array([0.1, 0.9]), 50 * one, -one, one)
    >>> bool(jnp.all((draws >= -1) & (draws < 0)))
    True
    """
    steepness = jnp.abs(rate) * (upper - lower)
    flat = steepness < jnp.finfo(rate.dtype).eps
    safe = jnp.where(flat, 1.0, steepness)
    share = jnp.where(flat, uniform, -jnp.log1p(uniform * jnp.expm1(-safe)) / safe)
    distance = share * (upper - lower)
    return jnp.where(rate > 0, lower + distance, upper - distance)
