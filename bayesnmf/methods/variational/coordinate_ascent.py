"""Coordinate ascent for Poisson counts: every step is the best distribution of one block given the others.

Counts are sums of independent Poisson counts of the components. Given how they go to the components, entries have gamma
distributions; given those, the counts of a cell are multinomial in proportion to the exponentials of the mean
logarithms. A step allocates the counts, which one visit of every cell does for both factors, then takes W, H
and the scales of the components. Its bound never falls. Steps are accelerated like those of MAP.

References
----------
Cemgil, A. T. (2009). Bayesian inference for nonnegative matrix factorisation models. Computational Intelligence
and Neuroscience 2009, 785152. doi:10.1155/2009/785152
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Thread
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf import compilation
from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods import Poisson
from bayesnmf.methods.optimise import acceleration
from bayesnmf.methods.optimise.accelerated_search import memory_of
from bayesnmf.methods.optimise.acceleration import Factors, Mapped
from bayesnmf.methods.optimise.initial import Start
from bayesnmf.methods.variational.gamma_factors import (
    RATE_H,
    RATE_W,
    Means,
    balanced,
    divergence,
    given_rates,
    means_of,
)
from bayesnmf.methods.variational.information import Pair, information_at, lifted, solve
from bayesnmf.model import NMF
from bayesnmf.model.completion import put_known
from bayesnmf.observed.interface import Additive, Allocation
from bayesnmf.priors import Prior
from bayesnmf.progress import Progress

#: Accelerated steps before the first Newton step: at most so many, and no more once a chunk of them raises the bound less than
#: this, in nats a cell.
PATIENCE, CHUNK, NEAR = 200, 20, 1e-5


#: Differences of points that the acceleration remembers: with more, a step costs more than it gains.
MEMORY = 4


#: Share of its length that a Newton step keeps when it has to be shortened, and how often that may happen.
SHRINK, MAX_SHRINKAGES = 0.3, 4


#: Share of the prior's part of Newton's system that other terms may take away.
MOST_TAKEN = 0.95


#: A Newton step changes no logarithm of a shape by more than this.
LONGEST = 2.0


class Ascent(NamedTuple):
    """Where coordinate ascent ended.

    Attributes
    ----------
    point : Factors
        Shapes of all entries, component first, and their rates among the parameters.
    elbo : float
        The bound there, constants of the data included.
    n_iter : int
    converged : bool
    """

    point: Factors
    elbo: float
    n_iter: int
    converged: bool


def serves(model: NMF) -> bool:
    """Return whether the posterior of a model can be approximated by coordinate ascent."""
    return isinstance(model.likelihood, Poisson)


@jax.jit
def ended(model: NMF, point: Factors) -> tuple[Means, NMF]:
    """Return the means of a point, and the model given those of the rates."""
    means = means_of(model, point)
    return means, given_rates(model, means).model


class State(NamedTuple):
    """A point, its image under one plain step, and the bound at the point, without constants of the data."""

    point: Factors
    image: Factors
    bound: Array


def ascend(
    model: NMF,
    data: Additive,
    start: Start,
    *,
    max_iter: int,
    tol: float,
    progress: Progress,
    compiling: Iterable[Thread] = (),
) -> Ascent:
    """Climb from W and H by accelerated steps, then by Newton steps until one gains no more than `tol` nats a cell."""
    W, H = put_known(model, *(np.maximum(x, np.finfo(x.dtype).tiny) for x in start))
    point = first(model, data, jnp.asarray(W.T), jnp.asarray(H))
    n_cells = float(data.n_cells)
    memory = min(memory_of(point, data), MEMORY)
    state = acceleration.first_state(point, jnp.asarray(np.inf, point.W.dtype), memory)
    n_iter, bound, rise, patience = 0, -np.inf, np.inf, min(PATIENCE, max_iter - 1)
    while n_iter < patience and rise > NEAR * n_cells:
        n_iter = min(n_iter + CHUNK, patience)
        state = accelerated(model, data, state, np.asarray(n_iter))
        rise, bound = -float(state.objective) - bound, -float(state.objective)
        progress.note(f"step {n_iter}, ELBO {bound:.6g}")
    for thread in compiling:
        thread.join()
    at, rise = start_at(state.accepted), np.inf
    while n_iter < max_iter and rise > tol * n_cells:
        before, n_iter = float(at.bound), n_iter + 1
        at = newton_step(model, data, at)
        rise = float(at.bound) - before
        progress.note(f"step {n_iter}, ELBO {float(at.bound):.6g}")
    elbo = float(at.bound) + data.constant(model)
    return Ascent(at.point, elbo, n_iter, bool(rise <= tol * n_cells and np.isfinite(elbo)))


def start_at(point: Factors) -> State:
    """Return the state from which Newton steps begin: the first is two plain ones."""
    return State(point, point, jnp.asarray(-np.inf, point.W.dtype))


def compile_beside(model: NMF, data: Additive, matrix: AnyMatrix) -> list[Thread]:
    """Compile Newton's step in threads, while the caller takes accelerated ones."""
    k, dtype = model.n_components, jnp.zeros((), matrix.dtype).dtype
    W, H = (jax.ShapeDtypeStruct((k, n), dtype) for n in matrix.shape)
    point, number = jax.eval_shape(first, model, data, W, H), jax.ShapeDtypeStruct((), dtype)
    state: Any = State(point, point, number)  # type: ignore[arg-type]
    return compilation.compile_beside(
        lambda: direction.lower(model, data, state),
        lambda: stepped.lower(model, data, point, (W, H), number),
    )


@jax.jit
def first(model: NMF, data: Additive, W: Array, H: Array) -> Factors:
    """Return the distributions whose means are W and H, component first."""
    given = given_rates(model, Means(W, H, W, H)).model
    rate_W = _rate(given.prior_W, data.exposed(model, H, axis=1), model.n_known_W)
    rate_H = _rate(given.prior_H, data.exposed(model, W, axis=0), model.n_known_H)
    return Factors(W * rate_W, H * rate_H, {RATE_W: rate_W, RATE_H: rate_H})


@partial(jax.jit, donate_argnames="state")
def accelerated(
    model: NMF, data: Additive, state: acceleration.State, max_iter: Array
) -> acceleration.State:
    """Continue plain steps, accelerated, until there are `max_iter` of them."""
    dtype = state.objective.dtype
    options = {"noise": jnp.zeros((), dtype), "tol": jnp.asarray(-1.0, dtype)}

    def step(point: Factors, n_iter: Array) -> Mapped:
        image, bound = _map(model, data, point)
        return Mapped(image, -bound, jnp.ones((), dtype))

    return acceleration.accelerate(step, state, n_cells=data.n_cells, max_iter=max_iter, **options)


def newton_step(model: NMF, data: Additive, state: State) -> State:
    """Take a step of all shapes at once, towards where a plain step leads to after many.

    It is shortened until the bound, after one plain step, has not fallen.
    """
    step, none = direction(model, data, state), np.zeros((), state.bound.dtype)
    begin = state.point._replace(parameters=state.image.parameters)
    for tries in range(MAX_SHRINKAGES + 1):
        # At last two plain steps, which lower nothing but by rounding.
        size = none + SHRINK**tries if tries < MAX_SHRINKAGES else none
        point, _ = stepped(model, data, begin, step, size)
        new = State(point, *stepped(model, data, point, step, none))
        if new.bound >= state.bound:
            return new
    return state


@jax.jit
def direction(model: NMF, data: Additive, state: State) -> Pair:
    """Return Newton's step in the logarithms of the shapes.

    With shapes A and their image A' under a plain step, ``log A' - log A`` has to vanish. When the logarithms of shapes go by
    d, mean logarithms go by ``y = g d`` with ``g = A psi'(A)``, and images by ``(A' - P) y`` with P the information
    at the exponentials of the mean logarithms. So ``(P + A' / g - A') y = A' (log A' - log A)``.
    """
    (point, image, _), means = state, means_of(model, state.point)
    given = given_rates(model, means).model
    at = information_at(given, data, means.log_W, means.log_H, {})
    rights, gains, lifts = [], [], []
    priors = given.prior_W, given.prior_H
    for begin, end, prior, free in zip(point[:2], image[:2], priors, at.free, strict=True):
        old, new = (jnp.where(free > 0, x, 1.0) for x in (begin, end))
        gains.append(old * _trigamma(old))
        rights.append(new * (jnp.log(new) - jnp.log(old)))
        # Far from the optimum the system need not be positive definite: it keeps a share of the prior's part.
        least = -MOST_TAKEN * jnp.where(free > 0, prior.shape_term(old), 0.0)
        lifts.append(jnp.maximum(new / gains[-1] - new, least))
    y_W, y_H = solve(model, data, lifted(at, lifts[0], lifts[1]), (rights[0], rights[1]), {})
    return y_W / gains[0], y_H / gains[1]


@jax.jit
def stepped(
    model: NMF, data: Additive, point: Factors, step: Pair, size: Array
) -> tuple[Factors, Array]:
    """Return what a plain step makes of a point that has gone a part of a step, and the bound before it."""
    W, H = (
        x * jnp.exp(jnp.clip(size * d, -LONGEST, LONGEST))
        for x, d in zip(point[:2], step, strict=True)
    )
    return _map(model, data, point._replace(W=W, H=H))


def _trigamma(x: Array) -> Array:
    """Return the derivative of the digamma function, to eight digits."""
    total = jnp.zeros_like(x)
    for shift in range(6):
        total += 1.0 / (x + shift) ** 2
    far = 1.0 / (x + 6.0)
    return total + far * (1.0 + far * (0.5 + far * (1 / 6 + far**2 * (-1 / 30 + far**2 / 42))))


def _map(model: NMF, data: Additive, point: Factors) -> tuple[Factors, Array]:
    """Allocate the counts, then take W, then H, then the components' scales; return that, and the bound before."""
    means = means_of(model, point)
    given = given_rates(model, means).model
    allocated = data.allocate(model, means.log_W, means.log_H)
    bound = _bound(model, data, point, means, allocated)
    a, b = model.n_known_W, model.n_known_H
    W = _shape(given.prior_W, means.log_W * allocated.of_W, point.W, a)
    H = _shape(given.prior_H, means.log_H * allocated.of_H, point.H, b)
    rate_W = _rate(given.prior_W, data.exposed(model, means.H, axis=1), a)
    rate_H = _rate(given.prior_H, data.exposed(model, W / rate_W, axis=0), b)
    return balanced(given, Factors(W, H, {RATE_W: rate_W, RATE_H: rate_H})), bound


def _shape(prior: Prior, counts: Array, old: Array, first: int) -> Array:
    """Return the shapes of a factor's entries, given the counts that went to them."""
    free = prior.of_components(first).shape_term(counts) + counts[first:]
    return jnp.concatenate([old[:first], free]) if first else free


def _rate(prior: Prior, exposed: Array, first: int) -> Array:
    """Return the rates of a factor's entries, given what a unit of each is expected to add."""
    free = prior.of_components(first).terms(exposed)[1] + exposed[first:]
    return jnp.concatenate([jnp.ones((first, free.shape[1]), free.dtype), free]) if first else free


def _bound(
    model: NMF, data: Additive, point: Factors, means: Means, allocated: Allocation
) -> Array:
    """Return the bound without constants of the data."""
    given = given_rates(model, means)
    bound = allocated.log_sum - jnp.sum(means.W * data.exposed(model, means.H, axis=1))
    for prior, shape, rate, first in (
        (given.model.prior_W, point.W, point.parameters[RATE_W], model.n_known_W),
        (given.model.prior_H, point.H, point.parameters[RATE_H], model.n_known_H),
    ):
        bound -= divergence(prior.of_components(first), shape[first:], rate[first:])
    return bound - given.divergence
