"""From a start to a certified optimum: the maps, their acceleration, the certificate."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array, off_zero, positive
from bayesnmf.methods.optimise import acceleration
from bayesnmf.methods.optimise.acceleration import Factors, Mapped
from bayesnmf.methods.optimise.multiplicative import update_parameters
from bayesnmf.methods.optimise.penalty import penalty
from bayesnmf.model import NMF
from bayesnmf.model.rates import at_optimal_rates
from bayesnmf.observed.interface import Improved, Observed
from bayesnmf.priors import Prior
from bayesnmf.priors.base import total

#: Steps between updates of the likelihood's parameters.
PARAMETER_STRIDE = 3


#: Share of the component's largest entry to which a locked entry is lifted.
LIFT = 1e-3


#: Share of an average component's mass that a component which has emptied out would get in one step.
LEAST = 0.1


@partial(jax.jit, static_argnames=("algorithm", "log_space"), donate_argnames="state")
def advance(
    model: NMF,
    data: Observed,
    state: acceleration.State,
    max_iter: Array,
    tol: Array,
    *,
    algorithm: str,
    log_space: bool,
) -> acceleration.State:
    """Continue from `state` until optimal to `tol`, stalled, or at `max_iter` steps.

    The memory of `state` is used for the state that is returned: it is many times that of the factors.

    Parameters
    ----------
    algorithm : {"newton", "accelerated"}
        The map that is accelerated: block Newton steps or multiplicative updates.
    """
    noise = data.rounding(model, state.accepted.parameters)
    step = partial(_map, model, data, noise, algorithm, log_space)
    return acceleration.accelerate(
        step, state, n_cells=data.n_cells, noise=noise, max_iter=max_iter, tol=tol
    )


@partial(jax.jit, static_argnames=("algorithm", "log_space"), donate_argnames="states")
def advance_all(
    model: NMF,
    data: Observed,
    states: acceleration.State,
    max_iter: Array,
    tol: Array,
    *,
    algorithm: str,
    log_space: bool,
) -> acceleration.State:
    """Do :func:`advance` for a batch of states, stacked along the first axis of every array."""
    one = partial(advance, algorithm=algorithm, log_space=log_space)
    return jax.vmap(one, in_axes=(None, None, 0, None, None))(model, data, states, max_iter, tol)


def _map(
    model: NMF,
    data: Observed,
    noise: Array,
    algorithm: str,
    log_space: bool,
    point: Factors,
    n_iter: Array,
) -> Mapped:
    """Update W, then H, then their scales, and now and then the likelihood's parameters."""
    W, H, parameters = point
    improve = data.improve if algorithm == "newton" else partial(_multiplicative_step, data)
    update = partial(improve, model, parameters=parameters, log_space=log_space)
    new_W, new_H, log_densities, residual = W, H, [], jnp.zeros((), W.dtype)
    if model.n_known_W < len(W):
        prior, first = at_optimal_rates(model, W, H).prior_W, model.n_known_W
        of_W = update(x=W, y=H, prior=prior.of_components(first), axis=1, first=first)
        new_W, log_densities = of_W.x, [of_W.log_density]
        residual = _residual(
            prior.of_components(first), W[first:], of_W.slope, H[first:], log_space
        )
    if model.n_known_H < len(H):
        prior, first = at_optimal_rates(model, new_W, H).prior_H, model.n_known_H
        of_H = update(x=H, y=new_W, prior=prior.of_components(first), axis=0, first=first)
        new_H, log_densities = of_H.x, [*log_densities, of_H.log_density]
        other = _residual(
            prior.of_components(first), H[first:], of_H.slope, new_W[first:], log_space
        )
        residual = jnp.maximum(residual, other)
    # The first update's density is that of the point itself.
    value = penalty(model, W, H, parameters, log_space=log_space) - log_densities[0]
    residual = _resolved(residual, value, noise, data.n_cells)
    new_W, new_H = balance(model, new_W, new_H, log_space)
    if parameters:
        parameters = lax.cond(
            n_iter % PARAMETER_STRIDE == 0,
            lambda: update_parameters(model, data, new_W, new_H, parameters),
            lambda: parameters,
        )
    return Mapped(Factors(new_W, new_H, parameters), value, residual)


def improved(model: NMF, data: Observed, point: Factors, *, log_space: bool) -> Factors:
    """Return what a block Newton step in each factor makes of a point; the likelihood's parameters stay."""
    no_update = jnp.ones((), int)  # the place in the parameters' stride
    nothing = jnp.zeros((), point.W.dtype)
    return _map(model, data, nothing, "newton", log_space, point, no_update).output


def _multiplicative_step(
    data: Observed,
    model: NMF,
    x: Array,
    y: Array,
    parameters: dict[str, Array],
    prior: Prior,
    *,
    axis: int,
    log_space: bool,
    first: int = 0,
) -> Improved:
    """Update one factor multiplicatively, but for the components before `first`."""
    parts = data.score_parts(model, x, y, parameters, axis=axis)
    free, (numerator, denominator) = x[first:], (part[first:] for part in parts)
    rate, log_coefficient = prior.penalty_terms(free, log_space)
    exponent = jnp.asarray(model.likelihood.exponent, x.dtype)
    updated = model.likelihood.update(free, numerator, denominator, log_coefficient, rate, exponent)
    updated = jnp.concatenate([x[:first], updated]) if first else updated
    slope = denominator + rate - numerator - log_coefficient / off_zero(free)
    W, H = (x, y) if axis == 1 else (y, x)
    return Improved(updated, slope, data.density(model, W, H, constants=False)(parameters))


def balance(model: NMF, W: Array, H: Array, log_space: bool) -> tuple[Array, Array]:
    """Give each component the scale that minimises the priors' part of the objective.

    WH does not change with ``W_k -> c W_k``, ``H_k -> H_k / c``; the priors do, by
    ``A c + B / c - P log c``, which one quadratic equation minimises. Without priors the two
    factors get equal sums. Rates under a hyper-prior are held where their density is largest.
    Known components have the scale that they are given in.
    """
    given, first = at_optimal_rates(model, W, H), max(model.n_known_W, model.n_known_H)
    known_W, known_H, W, H = W[:first], H[:first], W[first:], H[first:]
    if not len(W):
        return known_W, known_H
    (rate_W, pull_W), (rate_H, pull_H) = (
        prior.of_components(first).penalty_terms(W, log_space)
        for prior in (given.prior_W, given.prior_H)
    )
    A, B = jnp.sum(rate_W * W, axis=1), jnp.sum(rate_H * H, axis=1)
    P = jnp.ravel(total(pull_W, W) - total(pull_H, H))
    tiny = jnp.finfo(W.dtype).tiny
    penalised = (P + jnp.sqrt(P * P + 4 * A * B)) / jnp.maximum(2 * A, tiny)
    free = jnp.sqrt(jnp.sum(H, axis=1) / jnp.maximum(jnp.sum(W, axis=1), tiny))
    scale = jnp.where((A > 0) & (B > 0), penalised, jnp.where((A == 0) & (B == 0), free, 1.0))
    scale = jnp.where(jnp.isfinite(scale) & (scale > 0), scale, 1.0)[:, None]
    W, H = W * scale, H / scale
    return (jnp.concatenate([known_W, W]), jnp.concatenate([known_H, H])) if first else (W, H)


def scaled_residual(x: Array, slope: Array, y: Array, log_coefficient: Array) -> Array:
    """Return the largest violation of the optimality conditions, free of units.

    At an optimum ``x >= 0``, ``slope >= 0`` and one of them is 0, for every entry. Entries are
    measured in the component's largest one, slopes in nats per cell for a step of that size, and
    slopes from which the objective falls for a step of at least :func:`step_size`.
    """
    unit = jnp.max(x, axis=1, keepdims=True)
    n_cells = y.shape[1]
    rising = jnp.minimum(x / positive(unit), slope * unit / n_cells)
    falling = slope * step_size(x, y, log_coefficient) / n_cells
    return jnp.max(jnp.abs(jnp.where(slope < 0, falling, rising)))


def step_size(x: Array, y: Array, log_coefficient: Array) -> Array:
    """Return the size of a step in each component of `x`: of its largest entry, or more.

    The largest entry of a component that has emptied out says nothing. A step is then one that would
    give it the share `LEAST` of what the components hold on average: a size that goes with ``1 / y``, as
    the gradient goes with y. Under a prior that keeps entries off zero no component empties out.
    """
    mass, other = jnp.sum(x, axis=1, keepdims=True), jnp.sum(y, axis=1, keepdims=True)
    fair = jnp.sum(mass * other) / x.size
    needed = jnp.where((other > 0) & (log_coefficient == 0), LEAST * fair / positive(other), 0.0)
    return jnp.maximum(jnp.max(x, axis=1, keepdims=True), needed)


def _resolved(residual: Array, objective: Array | float, noise: Array, n_cells: Array) -> Array:
    """Return the residual in nats a cell, or in what the objective resolves where that is more.

    A relative error d of an entry changes an objective of size S by about ``d**2 S``, which rounding
    hides below the root of its precision. So counts of 1e12 converge as counts of 1 do.
    """
    size = jnp.maximum(jnp.abs(objective), noise) / n_cells
    return residual / jnp.maximum(jnp.finfo(residual.dtype).eps ** 0.5 * size, 1.0)


class Certificate(NamedTuple):
    """The scaled optimality residual of both factors at a point, and the objective there."""

    residual: Array
    objective: Array


@partial(jax.jit, static_argnames="log_space")
def certificate(
    model: NMF, data: Observed, point: Factors, size: Array | float = 0.0, *, log_space: bool
) -> Certificate:
    """Return how near to an optimum a point is.

    `size` is that of the terms of the objective that vary, whose rounding limits the residual.
    """
    W, H, parameters = point
    slope_W, slope_H = slopes(model, data, point, log_space)
    (a, b), residual = (model.n_known_W, model.n_known_H), jnp.zeros((), W.dtype)
    if a < len(W):
        prior = model.prior_W.of_components(a)
        residual = _residual(prior, W[a:], slope_W[a:], H[a:], log_space)
    if b < len(H):
        prior = model.prior_H.of_components(b)
        other = _residual(prior, H[b:], slope_H[b:], W[b:], log_space)
        residual = jnp.maximum(residual, other)
    residual = _resolved(residual, size, data.rounding(model, parameters), data.n_cells)
    return Certificate(residual, _value(model, data, point, log_space))


def _residual(prior: Prior, x: Array, slope: Array, y: Array, log_space: bool) -> Array:
    """Return the residual of what is inferred of a factor."""
    return scaled_residual(x, slope, y, prior.log_coefficient(x, log_space))


@partial(jax.jit, static_argnames="log_space")
def release(
    model: NMF, data: Observed, point: Factors, tol: Array, *, log_space: bool
) -> tuple[Factors, Array, Array]:
    """Lift entries near zero from which the objective falls.

    Return the point, the objective there, and whether that improved it. Multiplicative updates never move a zero and crawl away from almost zero.
    """
    W, H, parameters = point

    def lifted(x: Array, slope: Array, y: Array, prior: Prior, first: int) -> Array:
        unit = step_size(x, y, prior.log_coefficient(x, log_space))
        locked = (x < LIFT * unit) & (slope * unit / y.shape[1] < -tol)
        locked &= (jnp.arange(len(x)) >= first)[:, None]
        return jnp.where(locked, LIFT * unit, x)

    slope_W, slope_H = slopes(model, data, point, log_space)
    # One after the other: lifting both factors of an empty component would lift their product twice.
    new_W = lifted(W, slope_W, H, model.prior_W, model.n_known_W)
    new_H = lifted(H, slope_H, new_W, model.prior_H, model.n_known_H)
    new = Factors(new_W, new_H, parameters)
    before, after = (_value(model, data, point, log_space) for point in (point, new))
    return new, after, after < before


def _value(model: NMF, data: Observed, point: Factors, log_space: bool) -> Array:
    """Return the objective, constants of the data included."""
    density = data.density(model, point.W, point.H)(point.parameters)
    return penalty(model, *point, log_space=log_space) - density


def slopes(model: NMF, data: Observed, point: Factors, log_space: bool) -> tuple[Array, Array]:
    """Return the gradient of the objective in both factors."""
    W, H, parameters = point
    given = at_optimal_rates(model, W, H)

    def slope(x: Array, y: Array, prior: Prior, axis: int) -> Array:
        rate, log_coefficient = prior.penalty_terms(x, log_space)
        return (
            rate - log_coefficient / off_zero(x) - data.gradient(model, x, y, parameters, axis=axis)
        )

    return slope(W, H, given.prior_W, 1), slope(H, W, given.prior_H, 0)
