"""What the priors add to the objective: for every entry ``rate x - c log x``."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.model.rates import at_optimal_rates, conditional


def penalty(
    model: NMF, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Array:
    """Return the priors' part of the objective; the factors are component first.

    Rates under a hyper-prior maximise their density given the factors.
    """
    total = jnp.zeros((), W.dtype)
    given = at_optimal_rates(model, W, H)
    parts = ((given.prior_W, W, model.n_known_W), (given.prior_H, H, model.n_known_H))
    for prior, factor, first in parts:
        total += prior.of_components(first).penalty(factor[first:], log_space)
    for name, (shape, rate) in conditional(model, W, H).items():
        hyper_rate = jnp.asarray(model.hyper_priors[name].rate, W.dtype)
        total += jnp.sum(hyper_rate * shape / rate - shape * jnp.log(shape / rate))
    for name, prior in model.likelihood.priors.items():
        total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    return total
