"""From a start to a certified optimum: the map, its acceleration, and the certificate."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import xlogy

from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

from . import acceleration
from .acceleration import Factors, Mapped
from .multiplicative import Data, _log_likelihood, _update_parameters, kept, pull
from .newton import contract, half_step, product


@partial(jax.jit, static_argnames="log_space")
def advance(
    model: NMF,
    data: Data,
    state: acceleration.State,
    max_iter: Array,
    tol: Array,
    *,
    log_space: bool,
) -> acceleration.State:
    """Go on from `state` until optimal to `tol`, stalled, or at `max_iter` applications."""
    step = partial(newton_map, model, data, log_space)
    return acceleration.accelerate(
        step, state, n_cells=data.values.size, max_iter=max_iter, tol=tol
    )


def newton_map(model: NMF, data: Data, log_space: bool, point: Factors, n_iter: Array) -> Mapped:
    """Update W, then H, then their scales, and once a cycle the likelihood's parameters."""
    W, H, parameters = point
    mean = cells(W, H)
    value = _objective(model, data, point, mean, log_space)
    half = partial(half_step, model, data, parameters=parameters, log_space=log_space)
    new_W, slope_W = half(x=W, y=H, mean=mean, prior=model.prior_W, axis=1)
    new_H, slope_H = half(x=H, y=new_W, mean=cells(new_W, H), prior=model.prior_H, axis=0)
    residual = jnp.maximum(
        scaled_residual(W, slope_W, H.shape[1]), scaled_residual(H, slope_H, W.shape[1])
    )
    new_W, new_H = balance(model, new_W, new_H, log_space)
    if parameters:
        parameters = lax.cond(
            n_iter % 3 == 0,
            lambda: _update_parameters(model, data, cells(new_W, new_H), parameters),
            lambda: parameters,
        )
    return Mapped(Factors(new_W, new_H, parameters), value, residual)


def cells(W: Array, H: Array) -> Array:
    """Return WH of component-first factors, lifted off zero."""
    mean = product(W, H, axis=1)
    return jnp.maximum(mean, jnp.finfo(mean.dtype).tiny ** 0.5)


def balance(model: NMF, W: Array, H: Array, log_space: bool) -> tuple[Array, Array]:
    """Give each component the scale that minimises the priors' part of the objective.

    WH does not change with ``W_k -> c W_k``, ``H_k -> H_k / c``; the priors do, by
    ``A c + B / c - P log c``, which one quadratic equation minimises. Without priors the two
    factors get equal sums.
    """
    A = jnp.asarray(model.prior_W.rate, W.dtype) * jnp.sum(W, axis=1)
    B = jnp.asarray(model.prior_H.rate, H.dtype) * jnp.sum(H, axis=1)
    P = W.shape[1] * pull(model.prior_W, log_space) - H.shape[1] * pull(model.prior_H, log_space)
    P = P.astype(W.dtype)
    tiny = jnp.finfo(W.dtype).tiny
    penalised = (P + jnp.sqrt(P * P + 4 * A * B)) / jnp.maximum(2 * A, tiny)
    free = jnp.sqrt(jnp.sum(H, axis=1) / jnp.maximum(jnp.sum(W, axis=1), tiny))
    scale = jnp.where((A > 0) & (B > 0), penalised, jnp.where((A == 0) & (B == 0), free, 1.0))
    scale = jnp.where(jnp.isfinite(scale) & (scale > 0), scale, 1.0)[:, None]
    return W * scale, H / scale


def scaled_residual(x: Array, slope: Array, n_cells: int) -> Array:
    """Return the largest violation of the optimality conditions, free of units.

    At an optimum ``x >= 0``, ``slope >= 0`` and one of them is 0, for every entry. Entries are
    measured in the component's largest one, slopes in nats per cell for a step of that size.
    """
    unit = jnp.max(x, axis=1, keepdims=True)
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.max(jnp.abs(jnp.minimum(x / jnp.maximum(unit, tiny), slope * unit / n_cells)))


@partial(jax.jit, static_argnames="log_space")
def certificate(model: NMF, data: Data, point: Factors, *, log_space: bool) -> Array:
    """Return the scaled optimality residual of both factors at one point."""
    W, H, parameters = point
    score = model.likelihood.score(data.values, cells(W, H), **model.likelihood.known, **parameters)
    score = kept(data, score)

    def residual(x: Array, y: Array, prior: Prior, axis: int) -> Array:
        lifted = jnp.maximum(x, jnp.finfo(x.dtype).tiny ** 0.5)
        log_weight = pull(prior, log_space).astype(x.dtype)
        slope = jnp.asarray(prior.rate, x.dtype) - log_weight / lifted - contract(y, score, axis)
        return scaled_residual(x, slope, y.shape[1])

    return jnp.maximum(residual(W, H, model.prior_W, 1), residual(H, W, model.prior_H, 0))


def _objective(model: NMF, data: Data, point: Factors, mean: Array, log_space: bool) -> Array:
    """Return the objective at a point whose WH is at hand; constants in the mean may be missing."""
    W, H, parameters = point
    if parameters:
        total = -_log_likelihood(model, data, mean, parameters)
        for name, prior in model.likelihood.priors.items():
            total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    else:
        kernel = model.likelihood.log_kernel(data.values, mean, **model.likelihood.known)
        total = -jnp.sum(kept(data, kernel))
    for prior, factor in ((model.prior_W, W), (model.prior_H, H)):
        total += jnp.sum(prior.rate * factor) - jnp.sum(xlogy(pull(prior, log_space), factor))
    return total
