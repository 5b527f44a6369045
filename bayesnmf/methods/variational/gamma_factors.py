"""Independent gamma distributions of all entries of W and H, and their part of the bound."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from bayesnmf.arrays import Array
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.model import NMF
from bayesnmf.model.rates import conditional
from bayesnmf.priors import Prior
from bayesnmf.priors.base import total

#: Where the rates of W's and of H's entries stand among a point's parameters.
RATE_W, RATE_H = "rate of W", "rate of H"


class Means(NamedTuple):
    """Whole factors, component first: what is known stands as it is.

    Attributes
    ----------
    W, H : array
        Means.
    log_W, log_H : array
        Exponentials of the mean logarithms, which are lower.
    """

    W: Array
    H: Array
    log_W: Array
    log_H: Array


def means_of(model: NMF, point: Factors) -> Means:
    """Return the means of a point: the shapes of all entries, and their rates.

    A known entry is there as its own shape, with a rate of 1.
    """
    parts = []
    for shape, rate, first in (
        (point.W, point.parameters[RATE_W], model.n_known_W),
        (point.H, point.parameters[RATE_H], model.n_known_H),
    ):
        mean = shape / rate
        log_mean = jnp.exp(digamma(shape[first:])) / rate[first:]
        parts += [mean, jnp.concatenate([mean[:first], log_mean]) if first else log_mean]
    W, log_W, H, log_H = parts
    return Means(W, H, log_W, log_H)


class Given(NamedTuple):
    """The model given the rates' means, and what else the rates add to the divergence from the prior."""

    model: NMF
    divergence: Array


def given_rates(model: NMF, means: Means) -> Given:
    """Return the model at the means of the components' rates, whose distributions are the best given the factors.

    ``E log b`` is lower than ``log E b``, which every entry's prior feels, and the rates have a divergence
    from their own prior.
    """
    rates, divergence = {}, jnp.zeros((), means.W.dtype)
    for name, (shape, rate) in conditional(model, means.W, means.H).items():
        hyper = model.hyper_priors[name]
        gap = jnp.log(shape) - digamma(shape)
        # shape - hyper.shape is the sum of the shapes of the entries that have this rate.
        divergence += jnp.sum(jnp.broadcast_to((shape - hyper.shape) * gap, rate.shape))
        divergence += jnp.sum(_divergence(shape, rate, hyper.shape, hyper.rate))
        rates[name] = jnp.broadcast_to(shape / rate, rate.shape)
    return Given(model.with_rates(rates), divergence)


def divergence(prior: Prior, shape: Array, rate: Array) -> Array:
    """Return the Kullback-Leibler divergence of gamma distributions of a factor's entries from their prior."""
    prior_shape, prior_rate = prior.terms(shape)
    return jnp.sum(_divergence(shape, rate, prior_shape, prior_rate))


def _divergence(shape: Array, rate: Array, prior_shape: Array, prior_rate: Array) -> Array:
    """Return the divergence of each gamma distribution from another."""
    return (
        (shape - prior_shape) * digamma(shape)
        - gammaln(shape)
        + gammaln(prior_shape)
        + prior_shape * (jnp.log(rate) - jnp.log(prior_rate))
        + shape * (prior_rate / rate - 1.0)
    )


def balanced(model: NMF, point: Factors) -> Factors:
    """Give each component the scale at which the bound is highest.

    The expected log likelihood does not change with ``W_k -> c W_k``, ``H_k -> H_k / c``. The divergence
    changes by ``A c + B / c - P log c``, with A and B what the priors' rates cost and P the difference of
    the sums of their shapes. Known components have the scale that they are given in.
    """
    first = max(model.n_known_W, model.n_known_H)
    if first == model.n_components:
        return point
    rate_W, rate_H = point.parameters[RATE_W], point.parameters[RATE_H]
    W, H = point.W[first:] / rate_W[first:], point.H[first:] / rate_H[first:]
    (shape_W, prior_W), (shape_H, prior_H) = (
        prior.of_components(first).terms(x) for prior, x in ((model.prior_W, W), (model.prior_H, H))
    )
    A, B = jnp.sum(prior_W * W, axis=1, keepdims=True), jnp.sum(prior_H * H, axis=1, keepdims=True)
    P = total(shape_W, W) - total(shape_H, H)
    scale = (P + jnp.sqrt(P * P + 4.0 * A * B)) / (2.0 * A)
    scale = jnp.where(jnp.isfinite(scale) & (scale > 0), scale, 1.0)
    rates = {
        RATE_W: jnp.concatenate([rate_W[:first], rate_W[first:] / scale]),
        RATE_H: jnp.concatenate([rate_H[:first], rate_H[first:] * scale]),
    }
    return point._replace(parameters=rates)
