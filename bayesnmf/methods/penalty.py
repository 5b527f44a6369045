"""What the priors add to the objective: for every entry ``rate x - pull log x``."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import xlogy

from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

from .rates import at_mode, conditional


def prior_terms(prior: Prior, x: Array, log_space: bool) -> tuple[Array, Array]:
    """Return rate and pull in the precision of `x`, which is component first.

    The pull is ``shape - 1``, or ``shape`` when the mode is sought in log space, whose Jacobian
    adds one. A prior with shape below 1 has infinite density at 0, so its mode is always sought
    in log space, where it is finite and positive.
    """
    rate = jnp.asarray(prior.rate, x.dtype)
    return (rate[:, None] if rate.ndim else rate), log_coefficient(prior, x, log_space)


def log_coefficient(prior: Prior, x: Array, log_space: bool) -> Array:
    """Return the pull of :func:`prior_terms`, which no rate enters."""
    shape = jnp.asarray(prior.shape, x.dtype)
    return shape if log_space else jnp.where(shape < 1.0, shape, shape - 1.0)


def penalty(
    model: NMF, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Array:
    """Return the priors' part of the objective; the factors are component first.

    Rates under a hyper-prior are at their mode given the factors.
    """
    total = jnp.zeros((), W.dtype)
    given = at_mode(model, W, H)
    for prior, factor in ((given.prior_W, W), (given.prior_H, H)):
        rate, pull = prior_terms(prior, factor, log_space)
        total += jnp.sum(rate * factor - xlogy(pull, factor))
    for name, (shape, rate) in conditional(model, W, H).items():
        hyper_rate = jnp.asarray(model.hyper_priors[name].rate, W.dtype)
        total += jnp.sum(hyper_rate * shape / rate - shape * jnp.log(shape / rate))
    for name, prior in model.likelihood.priors.items():
        total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    return total
