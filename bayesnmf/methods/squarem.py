"""SQUAREM: squared extrapolation of a monotone fixed-point map, with a safeguard that is free.

From x0, x1 = F(x0) and x2 = F(x1), with r = x1 - x0 and v = (x2 - x1) - r, the point
``x0 - 2 a r + a**2 v``, a = -|r| / |v|, jumps along the slowest direction of convergence. The map
returns the objective of its *input*, so the value of an extrapolated point is known as soon as
the next step from it is taken; where it is worse than x1 that step is dropped and x2 taken.

References
----------
Varadhan, R. and Roland, C. (2008). Simple and globally convergent methods for accelerating the
convergence of any EM algorithm. Scandinavian Journal of Statistics 35, 335-353.
doi:10.1111/j.1467-9469.2007.00585.x
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.likelihoods._base import Array

#: An extrapolated entry keeps at least this share of the plain one, so that none hits zero.
KEEP = 0.1
#: Factor by which the longest step grows when it is reached, and shrinks when a step is dropped.
GROWTH = 4.0
#: Cycles without a representable improvement after which the iteration has stalled.
MAX_STALLED = 5


class Factors(NamedTuple):
    """Both factors, component first, and the likelihood's inferred parameters."""

    W: Array
    H: Array
    parameters: dict[str, Array]


class Mapped(NamedTuple):
    """Output of the map, with the objective and the optimality residual of its input."""

    output: Factors
    objective: Array
    residual: Array


class State(NamedTuple):
    """Where the iteration stands; `accepted` is the best point so far."""

    accepted: Factors
    current: Factors
    base: Factors
    first: Factors
    phase: Array
    length: Array
    longest: Array
    objective: Array
    residual: Array
    stalled: Array
    n_iter: Array


def start(point: Factors, objective: Array) -> State:
    """Return the state before the first cycle."""
    zero = jnp.asarray(0)
    infinite = jnp.asarray(jnp.inf, point.W.dtype)
    one = jnp.ones_like(objective)
    return State(
        point, point, point, point, zero, one, GROWTH * one, objective, infinite, zero, zero
    )


def accelerate(
    step: Callable[[Factors, Array], Mapped], state: State, *, max_iter: Array, tol: Array
) -> State:
    """Apply the map until the residual is below `tol`, it stalls, or `max_iter` is reached.

    Parameters
    ----------
    step : callable
        ``step(point, phase)``, the monotone map; `phase` is 0 once a cycle.
    state : State
        From :func:`start`, or from an earlier call to go on.
    max_iter, tol : scalar
        Applications of the map at most, over all calls; the residual to reach.
    """

    def unfinished(state: State) -> Array:
        return (state.n_iter < max_iter) & (state.residual > tol) & (state.stalled < MAX_STALLED)

    def advance(state: State) -> State:
        mapped = step(state.current, state.phase)
        moved = lax.switch(state.phase, (_first, _second, _third), state, mapped)
        return moved._replace(phase=(state.phase + 1) % 3, n_iter=state.n_iter + 1)

    return lax.while_loop(unfinished, advance, state)


def _first(state: State, mapped: Mapped) -> State:
    """Start a cycle at an accepted point."""
    improved = state.objective - mapped.objective
    resolution = 4 * jnp.finfo(improved.dtype).eps * jnp.abs(mapped.objective)
    stalled = jnp.where(improved > resolution, 0, state.stalled + 1)
    return state._replace(
        accepted=mapped.output, current=mapped.output, base=state.current, first=mapped.output,
        objective=mapped.objective, residual=mapped.residual, stalled=stalled,
    )  # fmt: skip


def _second(state: State, mapped: Mapped) -> State:
    """Take the second plain step and extrapolate."""
    extrapolated, length = _extrapolate(state.base, state.first, mapped.output, state.longest)
    return state._replace(
        accepted=mapped.output, current=extrapolated, length=length, objective=mapped.objective,
        residual=mapped.residual,
    )  # fmt: skip


def _third(state: State, mapped: Mapped) -> State:
    """Take the step from the extrapolated point, or drop it where that point was worse."""
    better = mapped.objective <= state.objective
    accepted = jax.tree.map(
        lambda new, old: jnp.where(better, new, old), mapped.output, state.accepted
    )
    grown = jnp.where(state.length >= state.longest, GROWTH * state.longest, state.longest)
    shrunk = jnp.maximum(state.length / GROWTH, 1.0)
    return state._replace(
        accepted=accepted, current=accepted, longest=jnp.where(better, grown, shrunk),
        objective=jnp.where(better, mapped.objective, state.objective),
        residual=jnp.where(better, mapped.residual, state.residual),
    )  # fmt: skip


def _extrapolate(
    base: Factors, first: Factors, second: Factors, longest: Array
) -> tuple[Factors, Array]:
    """Return the squared extrapolation of both factors, kept non-negative, and its length."""
    pairs = list(zip(base[:2], first[:2], second[:2], strict=True))
    steps = [(f - b, (s - f) - (f - b)) for b, f, s in pairs]
    size, bend = (sum(jnp.sum(part[i] ** 2) for part in steps) for i in (0, 1))
    ratio = jnp.sqrt(size / jnp.maximum(bend, jnp.finfo(longest.dtype).tiny))
    length = jnp.clip(ratio, 1.0, longest)
    factors = [
        jnp.maximum(b + 2 * length * r + length**2 * v, KEEP * s)
        for (b, _, s), (r, v) in zip(pairs, steps, strict=True)
    ]
    return Factors(factors[0], factors[1], second.parameters), length
