"""Multiplicative updates: majorise-minimise steps towards the mode, for any likelihood."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from bayesnmf.data import Matrix
from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF, product
from bayesnmf.priors import Prior

#: Halvings of a step before it is given up.
MAX_HALVINGS = 30


class Point(NamedTuple):
    """Where the iteration stands: what the next step needs."""

    W: Array
    H: Array
    parameters: dict[str, Array]
    objective: Array
    exponent: Array


class Data(NamedTuple):
    """Cells with any value of the support where missing, and the mask of observed ones.

    The mask is None for a complete matrix, whose arithmetic then has no selects.
    """

    values: Array
    observed: Array | None


def data_of(model: NMF, matrix: Matrix) -> Data:
    """Return the cells of `matrix` as this model's likelihood can be evaluated at."""
    values = jnp.asarray(matrix.filled(model.likelihood.placeholder))
    return Data(values, None if matrix.observed.all() else jnp.asarray(matrix.observed))


def kept(data: Data, cells: Array) -> Array:
    """Return `cells` with 0 where missing."""
    return cells if data.observed is None else jnp.where(data.observed, cells, 0.0)


def pull(prior: Prior, log_space: bool) -> Array:
    """Return the coefficient of ``log w`` in the log posterior.

    It is ``shape - 1``, or ``shape`` when the mode is sought in log space, whose Jacobian adds
    one. A prior with shape below 1 has infinite density at 0, so its mode is always sought in
    log space, where it is finite and positive.
    """
    shape = jnp.asarray(prior.shape, float)
    return shape if log_space else jnp.where(shape < 1.0, shape, shape - 1.0)


@partial(jax.jit, static_argnames="log_space")
def objective(
    model: NMF, data: Data, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Array:
    """Return the negative log posterior, up to the normalising constants of the priors.

    The likelihood's own parameters enter by their density in log space, so that the mode does
    not depend on whether one thinks of a variance, a precision or a standard deviation.
    """
    total = -log_likelihood(model, data, product(W, H), parameters)
    for prior, factor in ((model.prior_W, W), (model.prior_H, H)):
        total += jnp.sum(prior.rate * factor - xlogy(pull(prior, log_space), factor))
    for name, prior in model.likelihood.priors.items():
        total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    return total


def start(
    model: NMF, data: Data, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Point:
    """Return the starting point, with the likelihood's parameters fitted to its mean."""
    W, H = jnp.asarray(W), jnp.asarray(H)
    parameters = {name: jnp.asarray(value, W.dtype) for name, value in parameters.items()}
    value = objective(model, data, W, H, parameters, log_space=log_space)
    exponent = jnp.asarray(model.likelihood.exponent, W.dtype)
    return Point(W, H, parameters, value, exponent)


@partial(jax.jit, static_argnames=("num_steps", "log_space"))
def iterate(model: NMF, data: Data, point: Point, *, num_steps: int, log_space: bool) -> Point:
    """Do `num_steps` iterations, each updating W, then H, then the likelihood's parameters.

    No iteration increases the objective: by majorisation where the likelihood proves it, else
    by halving the exponent of the update.
    """

    def step(_: int, point: Point) -> Point:
        point = _update_factor(model, data, point, "W", log_space)
        point = _update_factor(model, data, point, "H", log_space)
        mean = product(point.W, point.H)
        parameters = update_parameters(model, data, mean, point.parameters)
        value = objective(model, data, point.W, point.H, parameters, log_space=log_space)
        return point._replace(parameters=parameters, objective=value)

    return jax.lax.fori_loop(0, num_steps, step, point)


@jax.jit
def root_divergence(model: NMF, data: Data, point: Point) -> Array:
    """Return the root of twice the divergence of the data from WH, without penalties.

    The divergence is the log density at a mean equal to the data minus that at WH: the
    Kullback-Leibler, half the squared Frobenius, the Itakura-Saito one.
    """
    likelihood, mean = model.likelihood, product(point.W, point.H)
    parameters = {**likelihood.known, **point.parameters}
    perfect = likelihood.saturated(data.values, **parameters)
    loss = perfect - likelihood.log_density(data.values, mean, **parameters)
    return jnp.sqrt(2.0 * jnp.maximum(jnp.sum(kept(data, loss)), 0.0))


def log_likelihood(model: NMF, data: Data, mean: Array, parameters: dict[str, Array]) -> Array:
    """Return the log density of the observed cells."""
    likelihood = model.likelihood
    cells = likelihood.log_density(data.values, mean, **likelihood.known, **parameters)
    return jnp.sum(kept(data, cells))


def _update_factor(model: NMF, data: Data, point: Point, name: str, log_space: bool) -> Point:
    likelihood, (W, H) = model.likelihood, (point.W, point.H)
    parts = likelihood.split(data.values, product(W, H), **likelihood.known, **point.parameters)
    seen = [kept(data, part) for part in parts]
    if name == "W":
        factor, prior = W, model.prior_W
        numerator, denominator = (part @ H.T for part in seen)
    else:
        factor, prior = H, model.prior_H
        numerator, denominator = (W.T @ part for part in seen)
    rate = jnp.asarray(prior.rate, factor.dtype)
    log_weight = pull(prior, log_space).astype(factor.dtype)

    def candidate(exponent: Array) -> Array:
        return likelihood.update(factor, numerator, denominator, log_weight, rate, exponent)

    if likelihood.majorises:
        return point._replace(**{name: candidate(point.exponent)})

    def value(factor: Array) -> Array:
        factors = {"W": W, "H": H, name: factor}
        return objective(model, data, **factors, parameters=point.parameters, log_space=log_space)

    before = value(factor)
    exponent, updated = _halve_until_no_worse(candidate, value, point.exponent, factor, before)
    return point._replace(**{name: updated}, exponent=jnp.minimum(2.0 * exponent, 1.0))


def _halve_until_no_worse(
    candidate: Callable[[Array], Array], value: Callable[[Array], Array],
    size: Array, current: Array, before: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Halve `size` until ``value(candidate(size))`` is no worse than `before`; else stay."""

    def too_far(state: tuple[Array, Array, Array]) -> Array:
        halvings, _, proposal = state
        return (halvings < MAX_HALVINGS) & ~(value(proposal) <= before)

    def halve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        halvings, size, _ = state
        return halvings + 1, 0.5 * size, candidate(0.5 * size)

    halvings, size, proposal = jax.lax.while_loop(too_far, halve, (0, size, candidate(size)))
    return size, jnp.where(halvings < MAX_HALVINGS, proposal, current)


def update_parameters(
    model: NMF, data: Data, mean: Array, parameters: dict[str, Array]
) -> dict[str, Array]:
    """Take one safeguarded Newton step in the logarithm of each inferred parameter."""
    for name in model.likelihood.priors:
        updated = _newton_step(
            partial(_parameter_objective, model, data, mean, parameters, name),
            jnp.log(parameters[name]),
        )
        parameters = {**parameters, name: jnp.exp(updated)}
    return parameters


def _parameter_objective(
    model: NMF, data: Data, mean: Array, parameters: dict[str, Array], name: str,
    log_parameter: Array,
) -> Array:  # fmt: skip
    """Return the objective as a function of the logarithm of one parameter."""
    x = jnp.exp(log_parameter)
    log_prior = model.likelihood.priors[name].log_prob(x) + log_parameter
    return -log_likelihood(model, data, mean, {**parameters, name: x}) - log_prior


def _newton_step(value: Callable[[Array], Array], current: Array) -> Array:
    """Take a safeguarded Newton step in one unknown.

    Derivatives are central differences: three evaluations of the density cost a fraction of its
    digamma and trigamma functions, and the error of order ``spacing**2`` moves the optimum by
    far less than its curvature lets one see.
    """
    spacing = jnp.finfo(current.dtype).eps ** 0.25
    here, above, below = value(current), value(current + spacing), value(current - spacing)
    slope = (above - below) / (2 * spacing)
    curvature = (above - 2 * here + below) / spacing**2
    # Where the objective is not convex, |curvature| still gives a descent direction.
    step = jnp.clip(-slope / jnp.abs(curvature), -1.0, 1.0)
    step = jnp.where(jnp.isfinite(step), step, -jnp.sign(slope))

    def candidate(size: Array) -> Array:
        return current + size * step

    return _halve_until_no_worse(candidate, value, jnp.ones_like(current), current, here)[1]
