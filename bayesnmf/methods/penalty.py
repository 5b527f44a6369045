"""What a prior adds to the objective: ``rate x - pull log x`` for every entry."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.likelihoods._base import Array
from bayesnmf.priors import Prior


def prior_terms(prior: Prior, x: Array, log_space: bool) -> tuple[Array, Array]:
    """Return rate and pull in the precision of `x`.

    The pull is ``shape - 1``, or ``shape`` when the mode is sought in log space, whose Jacobian
    adds one. A prior with shape below 1 has infinite density at 0, so its mode is always sought
    in log space, where it is finite and positive.
    """
    shape = jnp.asarray(prior.shape, x.dtype)
    pull = shape if log_space else jnp.where(shape < 1.0, shape, shape - 1.0)
    return jnp.asarray(prior.rate, x.dtype), pull
