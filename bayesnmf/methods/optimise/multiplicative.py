"""Multiplicative updates: majorise-minimise steps towards the MAP estimate, for any likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, ArrayLike
from bayesnmf.methods.optimise.penalty import penalty
from bayesnmf.model import NMF
from bayesnmf.model.rates import at_optimal_rates
from bayesnmf.observed.interface import Observed

#: Halvings of a step before it is given up.
MAX_HALVINGS = 30


class Point(NamedTuple):
    """Where the iteration stands: what the next step needs."""

    W: Array
    H: Array
    parameters: dict[str, Array]
    objective: Array
    exponent: Array


@partial(jax.jit, static_argnames="log_space")
def objective(
    model: NMF, data: Observed, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Array:
    """Return the negative log posterior, up to the normalising constants of the priors.

    The likelihood's own parameters enter by their density in log space, so that the estimate does
    not depend on whether one thinks of a variance, a precision or a standard deviation.
    """
    total = -data.density(model, W.T, H)(parameters)
    return total + penalty(model, W.T, H, parameters, log_space=log_space)


def first_point(
    model: NMF,
    W: ArrayLike,
    H: ArrayLike,
    parameters: Mapping[str, ArrayLike],
) -> Point:
    """Return the starting point. Its objective is infinite, which saves a program that no step needs."""
    W, H = jnp.asarray(W), jnp.asarray(H)
    values = {name: jnp.asarray(value, W.dtype) for name, value in parameters.items()}
    exponent, infinite = (np.asarray(x, W.dtype) for x in (model.likelihood.exponent, np.inf))
    return Point(W, H, values, jnp.asarray(infinite), jnp.asarray(exponent))


@partial(jax.jit, static_argnames="log_space")
def iterate(
    model: NMF, data: Observed, point: Point, *, num_steps: int | Array, log_space: bool
) -> Point:
    """Do `num_steps` iterations, each updating W, then H, then the likelihood's parameters.

    No iteration increases the objective: by majorisation where the likelihood proves it, else
    by halving the exponent of the update.
    """
    inferred = [
        name
        for name, known in (("W", model.n_known_W), ("H", model.n_known_H))
        if known < model.n_components
    ]

    def step(_: int, point: Point) -> Point:
        for name in inferred:
            point = _update_factor(model, data, point, name, log_space)
        parameters = update_parameters(model, data, point.W.T, point.H, point.parameters)
        return point._replace(parameters=parameters)

    W, H, parameters, _, exponent = jax.lax.fori_loop(0, num_steps, step, point)
    value = objective(model, data, W, H, parameters, log_space=log_space)
    return Point(W, H, parameters, value, exponent)


@jax.jit
def root_divergence(model: NMF, data: Observed, point: Point) -> Array:
    """Return the root of twice the divergence of the data from WH, without penalties.

    The divergence is the log density at a mean equal to the data minus that at WH: the
    Kullback-Leibler, half the squared Frobenius, the Itakura-Saito one.
    """
    perfect = data.saturated(model, point.parameters)
    loss = perfect - data.density(model, point.W.T, point.H)(point.parameters)
    return jnp.sqrt(2.0 * jnp.maximum(loss, 0.0))


def _update_factor(model: NMF, data: Observed, point: Point, name: str, log_space: bool) -> Point:
    likelihood, (W, H) = model.likelihood, (point.W, point.H)
    given = at_optimal_rates(model, W.T, H)
    x, y, axis, prior = (W.T, H, 1, given.prior_W) if name == "W" else (H, W.T, 0, given.prior_H)
    first = model.n_known_W if name == "W" else model.n_known_H
    parts = data.score_parts(model, x, y, point.parameters, axis=axis)
    free, (numerator, denominator) = x[first:], (part[first:] for part in parts)
    rate, log_coefficient = prior.of_components(first).penalty_terms(free, log_space)

    def candidate(exponent: Array) -> Array:
        updated = likelihood.update(free, numerator, denominator, log_coefficient, rate, exponent)
        updated = jnp.concatenate([x[:first], updated]) if first else updated
        return updated.T if name == "W" else updated

    if likelihood.majorises:
        return _moved(point, name, candidate(point.exponent))

    def value(factor: Array) -> Array:
        factors = {"W": W, "H": H, name: factor}
        return objective(model, data, **factors, parameters=point.parameters, log_space=log_space)

    current = getattr(point, name)
    before = value(current)
    exponent, updated = _halve_until_no_worse(candidate, value, point.exponent, current, before)
    moved = _moved(point, name, updated)
    return moved._replace(exponent=jnp.minimum(2.0 * exponent, 1.0))


def _moved(point: Point, name: str, factor: Array) -> Point:
    return point._replace(W=factor) if name == "W" else point._replace(H=factor)


def _halve_until_no_worse(
    candidate: Callable[[Array], Array],
    value: Callable[[Array], Array],
    size: Array,
    current: Array,
    before: Array,
) -> tuple[Array, Array]:
    """Halve `size` until ``value(candidate(size))`` is no worse than `before`; else stay."""

    def too_far(state: tuple[int | Array, Array, Array]) -> Array:
        halvings, _, proposal = state
        return (halvings < MAX_HALVINGS) & ~(value(proposal) <= before)

    def halve(
        state: tuple[int | Array, Array, Array],
    ) -> tuple[int | Array, Array, Array]:
        halvings, size, _ = state
        return halvings + 1, 0.5 * size, candidate(0.5 * size)

    before_any: tuple[int | Array, Array, Array] = (0, size, candidate(size))
    halvings, size, proposal = jax.lax.while_loop(too_far, halve, before_any)
    return size, jnp.where(halvings < MAX_HALVINGS, proposal, current)


def update_parameters(
    model: NMF, data: Observed, W: Array, H: Array, parameters: dict[str, Array]
) -> dict[str, Array]:
    """Take one safeguarded Newton step in the logarithm of each inferred parameter.

    The factors are component first.
    """
    if not parameters:
        return parameters
    density = data.density(model, W, H)
    for name, prior in model.likelihood.priors.items():
        value = partial(_parameter_objective, density, prior, parameters, name)
        parameters = {**parameters, name: jnp.exp(_newton_step(value, jnp.log(parameters[name])))}
    return parameters


def _parameter_objective(
    density: Callable[[dict[str, Array]], Array],
    prior: Any,
    parameters: dict[str, Array],
    name: str,
    log_parameter: Array,
) -> Array:
    """Return the objective as a function of the logarithm of one parameter."""
    x = jnp.exp(log_parameter)
    return -density({**parameters, name: x}) - prior.log_prob(x) - log_parameter


def _newton_step(value: Callable[[Array], Array], current: Array) -> Array:
    """Take a safeguarded Newton step in one unknown.

    Derivatives are central differences: three evaluations of the density cost a fraction of its
    digamma and trigamma functions, and the error of order ``spacing**2`` moves the optimum by
    far less than its curvature lets one see.
    """
    spacing = jnp.finfo(current.dtype).eps ** 0.25
    # In one batch, or the density would be compiled three times over.
    here, above, below = jax.vmap(value)(current + spacing * jnp.array([0, 1, -1], current.dtype))
    slope = (above - below) / (2 * spacing)
    curvature = (above - 2 * here + below) / spacing**2
    # Where the objective is not convex, |curvature| still gives a descent direction.
    step = jnp.clip(-slope / jnp.abs(curvature), -1.0, 1.0)
    step = jnp.where(jnp.isfinite(step), step, -jnp.sign(slope))

    def candidate(size: Array) -> Array:
        return current + size * step

    return _halve_until_no_worse(candidate, value, jnp.ones_like(current), current, here)[1]
