"""From a start to a certified optimum: the maps, their acceleration, the certificate."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

from . import acceleration
from .acceleration import Factors, Mapped
from .multiplicative import update_parameters
from .observed import Improved, Observed
from .penalty import penalty, prior_terms
from .rates import at_mode

#: Steps between updates of the likelihood's parameters.
PARAMETER_STRIDE = 3
#: Share of the component's largest entry to which a locked entry is lifted.
LIFT = 1e-3


@partial(jax.jit, static_argnames=("algorithm", "log_space"))
def advance(
    model: NMF, data: Observed, state: acceleration.State, max_iter: Array, tol: Array,
    *, algorithm: str, log_space: bool,
) -> acceleration.State:  # fmt: skip
    """Go on from `state` until optimal to `tol`, stalled, or at `max_iter` steps.

    Parameters
    ----------
    algorithm : {"newton", "accelerated"}
        The map that is accelerated: block Newton steps or multiplicative updates.
    """
    step = partial(_map, model, data, algorithm, log_space)
    noise = data.rounding(model, state.accepted.parameters)
    return acceleration.accelerate(
        step, state, n_cells=data.n_cells, noise=noise, max_iter=max_iter, tol=tol
    )


@partial(jax.jit, static_argnames=("algorithm", "log_space"))
def advance_all(
    model: NMF, data: Observed, states: acceleration.State, max_iter: Array, tol: Array,
    *, algorithm: str, log_space: bool,
) -> acceleration.State:  # fmt: skip
    """Do :func:`advance` for a batch of states, stacked along the first axis of every array."""
    one = partial(advance, algorithm=algorithm, log_space=log_space)
    return jax.vmap(one, in_axes=(None, None, 0, None, None))(model, data, states, max_iter, tol)


def _map(
    model: NMF, data: Observed, algorithm: str, log_space: bool, point: Factors, n_iter: Array
) -> Mapped:
    """Update W, then H, then their scales, and now and then the likelihood's parameters."""
    W, H, parameters = point
    improve = data.improve if algorithm == "newton" else partial(_multiplicative_step, data)
    update = partial(improve, model, parameters=parameters, log_space=log_space)
    of_W = update(x=W, y=H, prior=at_mode(model, W, H).prior_W, axis=1)
    value = penalty(model, W, H, parameters, log_space=log_space) - of_W.log_density
    of_H = update(x=H, y=of_W.x, prior=at_mode(model, of_W.x, H).prior_H, axis=0)
    residual = jnp.maximum(
        scaled_residual(W, of_W.slope, H.shape[1]), scaled_residual(H, of_H.slope, W.shape[1])
    )
    new_W, new_H = balance(model, of_W.x, of_H.x, log_space)
    if parameters:
        parameters = lax.cond(
            n_iter % PARAMETER_STRIDE == 0,
            lambda: update_parameters(model, data, new_W, new_H, parameters),
            lambda: parameters,
        )
    return Mapped(Factors(new_W, new_H, parameters), value, residual)


def _multiplicative_step(
    data: Observed, model: NMF, x: Array, y: Array, parameters: dict[str, Array], prior: Prior,
    *, axis: int, log_space: bool,
) -> Improved:  # fmt: skip
    """Update one factor multiplicatively."""
    numerator, denominator = data.split(model, x, y, parameters, axis=axis)
    rate, pull = prior_terms(prior, x, log_space)
    exponent = jnp.asarray(model.likelihood.exponent, x.dtype)
    updated = model.likelihood.update(x, numerator, denominator, pull, rate, exponent)
    slope = denominator + rate - numerator - pull / _lifted(x)
    W, H = (x, y) if axis == 1 else (y, x)
    return Improved(updated, slope, data.density(model, W, H, constants=False)(parameters))


def balance(model: NMF, W: Array, H: Array, log_space: bool) -> tuple[Array, Array]:
    """Give each component the scale that minimises the priors' part of the objective.

    WH does not change with ``W_k -> c W_k``, ``H_k -> H_k / c``; the priors do, by
    ``A c + B / c - P log c``, which one quadratic equation minimises. Without priors the two
    factors get equal sums. Rates under a hyper-prior are held at their mode.
    """
    given = at_mode(model, W, H)
    (rate_W, pull_W), (rate_H, pull_H) = (
        prior_terms(prior, W, log_space) for prior in (given.prior_W, given.prior_H)
    )
    A, B = jnp.sum(rate_W * W, axis=1), jnp.sum(rate_H * H, axis=1)
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
def certificate(model: NMF, data: Observed, point: Factors, *, log_space: bool) -> Array:
    """Return the scaled optimality residual of both factors at one point."""
    W, H, _ = point
    slope_W, slope_H = _slopes(model, data, point, log_space)
    return jnp.maximum(
        scaled_residual(W, slope_W, H.shape[1]), scaled_residual(H, slope_H, W.shape[1])
    )


@partial(jax.jit, static_argnames="log_space")
def release(
    model: NMF, data: Observed, point: Factors, tol: Array, *, log_space: bool
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

    def value(point: Factors) -> Array:
        density = data.density(model, point.W, point.H)(point.parameters)
        return penalty(model, *point, log_space=log_space) - density

    return new, value(new) < value(point)


def _slopes(model: NMF, data: Observed, point: Factors, log_space: bool) -> tuple[Array, Array]:
    """Return the gradient of the objective in both factors."""
    W, H, parameters = point
    given = at_mode(model, W, H)

    def slope(x: Array, y: Array, prior: Prior, axis: int) -> Array:
        rate, pull = prior_terms(prior, x, log_space)
        return rate - pull / _lifted(x) - data.gradient(model, x, y, parameters, axis=axis)

    return slope(W, H, given.prior_W, 1), slope(H, W, given.prior_H, 0)


def _lifted(x: Array) -> Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny ** 0.5)
