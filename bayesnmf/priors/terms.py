"""What a prior adds to a density and to its derivatives."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.priors import Prior


def prior_terms(prior: Prior, x: Array, log_space: bool) -> tuple[Array, Array]:
    """Return rate and pull in the precision of `x`, which is component first.

    The pull is ``shape - 1``, or ``shape`` when the mode is sought in log space, whose Jacobian
    adds one. A prior with shape below 1 has infinite density at 0, so its mode is always sought
    in log space, where it is finite and positive.
    """
    rate = jnp.asarray(prior.rate, x.dtype)
    return (rate[:, None] if rate.ndim else rate), log_coefficient_of(prior, x, log_space)


def log_coefficient_of(prior: Prior, x: Array, log_space: bool) -> Array:
    """Return the pull of :func:`prior_terms`, which no rate enters."""
    shape = jnp.asarray(prior.shape, x.dtype)
    return shape if log_space else jnp.where(shape < 1.0, shape, shape - 1.0)


def terms(prior: Prior, like: Array) -> tuple[Array, Array]:
    """Return the prior's shape and rate as arrays that broadcast against (component, row)."""
    rate = jnp.asarray(prior.rate, like.dtype).reshape(-1, 1)
    return jnp.asarray(prior.shape, like.dtype).reshape(1, 1), rate


def log_slope(prior: Prior, w: Array, gradient: Array) -> Array:
    """Return the gradient of the log posterior in ``log w``, given the log likelihood's in w."""
    shape, rate = terms(prior, w)
    return shape + w * (gradient - rate)


def prior_changes(prior: Prior, x: Array, new_x: Array) -> Array:
    """Return the change of the log prior density of every ``log w``."""
    shape, rate = terms(prior, x)
    return shape * (new_x - x) - rate * (jnp.exp(new_x) - jnp.exp(x))
