"""From a start to a certified optimum: the maps, their acceleration, the certificate."""

from __future__ import annotations

from collections.abc import Callable
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
from .multiplicative import Data, kept, log_likelihood, pull, update_parameters
from .newton import contract, half_step, product

#: Steps between updates of the likelihood's parameters.
PARAMETER_STRIDE = 3
#: Share of the component's largest entry to which a locked entry is lifted.
LIFT = 1e-3


@partial(jax.jit, static_argnames=("algorithm", "log_space"))
def advance(
    model: NMF, data: Data, state: acceleration.State, max_iter: Array, tol: Array,
    *, algorithm: str, log_space: bool,
) -> acceleration.State:  # fmt: skip
    """Go on from `state` until optimal to `tol`, stalled, or at `max_iter` steps.

    Parameters
    ----------
    algorithm : {"newton", "accelerated"}
        The map that is accelerated: block Newton steps or multiplicative updates.
    """
    factor_step = {"newton": half_step, "accelerated": _multiplicative_step}[algorithm]
    step = partial(_map, model, data, factor_step, log_space)
    return acceleration.accelerate(
        step, state, n_cells=data.values.size, max_iter=max_iter, tol=tol
    )


def _map(
    model: NMF,
    data: Data,
    factor_step: Callable[..., tuple[Array, Array]],
    log_space: bool,
    point: Factors,
    n_iter: Array,
) -> Mapped:
    """Update W, then H, then their scales, and now and then the likelihood's parameters."""
    W, H, parameters = point
    mean = cells(W, H)
    value = _objective(model, data, point, mean, log_space)
    update = partial(factor_step, model, data, parameters=parameters, log_space=log_space)
    new_W, slope_W = update(x=W, y=H, mean=mean, prior=model.prior_W, axis=1)
    new_H, slope_H = update(x=H, y=new_W, mean=cells(new_W, H), prior=model.prior_H, axis=0)
    residual = jnp.maximum(
        scaled_residual(W, slope_W, H.shape[1]), scaled_residual(H, slope_H, W.shape[1])
    )
    new_W, new_H = balance(model, new_W, new_H, log_space)
    if parameters:
        parameters = lax.cond(
            n_iter % PARAMETER_STRIDE == 0,
            lambda: update_parameters(model, data, cells(new_W, new_H), parameters),
            lambda: parameters,
        )
    return Mapped(Factors(new_W, new_H, parameters), value, residual)


def _multiplicative_step(
    model: NMF, data: Data, x: Array, y: Array, mean: Array, parameters: dict[str, Array],
    prior: Prior, *, axis: int, log_space: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Update one factor multiplicatively; return it and the gradient at the old one."""
    likelihood = model.likelihood
    parts = likelihood.split(data.values, mean, **likelihood.known, **parameters)
    numerator, denominator = (contract(y, kept(data, part), axis) for part in parts)
    rate, log_weight = prior_terms(prior, x, log_space)
    exponent = jnp.asarray(likelihood.exponent, x.dtype)
    updated = likelihood.update(x, numerator, denominator, log_weight, rate, exponent)
    return updated, denominator + rate - numerator - log_weight / _lifted(x)


def cells(W: Array, H: Array) -> Array:
    """Return WH of component-first factors, lifted off zero."""
    return _lifted(product(W, H, axis=1))


def balance(model: NMF, W: Array, H: Array, log_space: bool) -> tuple[Array, Array]:
    """Give each component the scale that minimises the priors' part of the objective.

    WH does not change with ``W_k -> c W_k``, ``H_k -> H_k / c``; the priors do, by
    ``A c + B / c - P log c``, which one quadratic equation minimises. Without priors the two
    factors get equal sums.
    """
    (rate_W, pull_W), (rate_H, pull_H) = (
        prior_terms(prior, W, log_space) for prior in (model.prior_W, model.prior_H)
    )
    A, B = rate_W * jnp.sum(W, axis=1), rate_H * jnp.sum(H, axis=1)
    P = W.shape[1] * pull_W - H.shape[1] * pull_H
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
    W, H, _ = point
    slope_W, slope_H = _slopes(model, data, point, log_space)
    return jnp.maximum(
        scaled_residual(W, slope_W, H.shape[1]), scaled_residual(H, slope_H, W.shape[1])
    )


@partial(jax.jit, static_argnames="log_space")
def release(
    model: NMF, data: Data, point: Factors, tol: Array, *, log_space: bool
) -> tuple[Factors, Array]:
    """Lift entries near zero from which the objective falls; return whether that improved it.

    Multiplicative updates never move a zero and crawl away from almost zero.
    """
    W, H, parameters = point

    def lifted(x: Array, slope: Array, n_cells: int) -> Array:
        unit = jnp.max(x, axis=1, keepdims=True)
        locked = (x < LIFT * unit) & (slope * unit / n_cells < -tol)
        return jnp.where(locked, LIFT * unit, x)

    slope_W, slope_H = _slopes(model, data, point, log_space)
    new = Factors(lifted(W, slope_W, H.shape[1]), lifted(H, slope_H, W.shape[1]), parameters)
    before, after = (_objective(model, data, p, cells(p.W, p.H), log_space) for p in (point, new))
    return new, after < before


def _slopes(model: NMF, data: Data, point: Factors, log_space: bool) -> tuple[Array, Array]:
    """Return the gradient of the objective in both factors."""
    W, H, parameters = point
    likelihood = model.likelihood
    score = likelihood.score(data.values, cells(W, H), **likelihood.known, **parameters)
    score = kept(data, score)

    def slope(x: Array, y: Array, prior: Prior, axis: int) -> Array:
        rate, log_weight = prior_terms(prior, x, log_space)
        return rate - log_weight / _lifted(x) - contract(y, score, axis)

    return slope(W, H, model.prior_W, 1), slope(H, W, model.prior_H, 0)


def prior_terms(prior: Prior, x: Array, log_space: bool) -> tuple[Array, Array]:
    """Return rate and log coefficient of the prior's part ``rate x - pull log x``."""
    return jnp.asarray(prior.rate, x.dtype), pull(prior, log_space).astype(x.dtype)


def _objective(model: NMF, data: Data, point: Factors, mean: Array, log_space: bool) -> Array:
    """Return the objective at a point whose WH is at hand, up to terms that are constant."""
    W, H, parameters = point
    likelihood = model.likelihood
    if parameters:
        total = -log_likelihood(model, data, mean, parameters)
        for name, prior in likelihood.priors.items():
            total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    else:
        kernel = likelihood.log_kernel(data.values, mean, **likelihood.known)
        total = -jnp.sum(kept(data, kernel))
    for prior, factor in ((model.prior_W, W), (model.prior_H, H)):
        rate, log_weight = prior_terms(prior, factor, log_space)
        total += jnp.sum(rate * factor) - jnp.sum(xlogy(log_weight, factor))
    return total


def _lifted(x: Array) -> Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny ** 0.5)
