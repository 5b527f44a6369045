"""Acceleration of a monotone fixed-point map, with a safeguard that is free.

Far from the optimum, squared extrapolation (SQUAREM): from x0, x1 = F(x0) and x2 = F(x1), with
r = x1 - x0 and v = (x2 - x1) - r, the point ``x0 + 2 a r + a**2 v``, a = |r| / |v|, jumps along the
slowest direction of convergence. Near it, Anderson acceleration: the combination of the last
images F(x_i) whose residuals F(x_i) - x_i, combined alike, are smallest, a secant method on all
of W and H. The first takes the larger strides, the second converges where the first crawls.

The map returns the objective of its *input*, so the value of an extrapolated point is known as
soon as the next step from it is taken; where it is worse than the point before, that step is
dropped and the plain image taken.

References
----------
Varadhan, R. and Roland, C. (2008). Simple and globally convergent methods for accelerating the
convergence of any EM algorithm. Scandinavian Journal of Statistics 35, 335-353.
doi:10.1111/j.1467-9469.2007.00585.x

Walker, H. F. and Ni, P. (2011). Anderson acceleration for fixed-point iterations. SIAM Journal on
Numerical Analysis 49, 1715-1735. doi:10.1137/10078356X
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.likelihoods._base import Array

#: Differences of points that Anderson acceleration remembers, where memory allows.
MEMORY = 10
#: Relative ridge on the least-squares problem of the combination.
RIDGE = 1e-10
#: Factor by which the longest SQUAREM step grows when reached, and shrinks when dropped.
GROWTH = 4.0
#: SQUAREM gives way to Anderson when a cycle improves the objective by less, in nats a cell.
NEAR = 1e-4
#: An extrapolated entry keeps at least this share of the plain image, so that none hits zero.
KEEP = 0.1
#: Steps in a row without a representable improvement after which the iteration has stalled.
MAX_STALLED = 30


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


class Memory(NamedTuple):
    """The last point and its image, and a ring of differences between successive ones."""

    point: Array
    image: Array
    images: Array
    residuals: Array
    count: Array


class Stride(NamedTuple):
    """SQUAREM's place in its cycle of three steps, and the lengths of its steps."""

    phase: Array
    length: Array
    longest: Array
    objective: Array


class State(NamedTuple):
    """Where the iteration stands; `accepted` is the best point so far."""

    accepted: Factors
    current: Factors
    extrapolated: Array
    near: Array
    stride: Stride
    memory: Memory
    objective: Array
    residual: Array
    stalled: Array
    n_iter: Array


@partial(jax.jit, static_argnames="memory")
def start(point: Factors, objective: Array, memory: int = MEMORY) -> State:
    """Return the state before the first step, which will remember `memory` differences."""
    flat = _flatten(point)
    ring = jnp.zeros((memory, flat.size), flat.dtype)
    # Of definite type: a weak one would compile the loop again when it goes on.
    one, zero, no = jnp.ones((), flat.dtype), jnp.zeros((), int), jnp.zeros((), bool)
    infinite = one * jnp.inf
    return State(
        point, point, no, no, Stride(zero, one, GROWTH * one, infinite),
        Memory(flat, flat, ring, ring, zero - 1), objective, infinite, zero, zero,
    )  # fmt: skip


def accelerate(
    step: Callable[[Factors, Array], Mapped], state: State, *, n_cells: Array, noise: Array,
    max_iter: Array, tol: Array,
) -> State:  # fmt: skip
    """Apply the map until the residual is below `tol`, it stalls, or `max_iter` is reached.

    Parameters
    ----------
    step : callable
        ``step(point, n_iter)``, the monotone map.
    state : State
        From :func:`start`, or from an earlier call to go on.
    n_cells : scalar
        Number of cells that the objective sums over.
    noise : scalar
        Size of terms that cancel in the objective, and so of its rounding.
    max_iter, tol : scalar
        Applications of the map at most, over all calls; the residual to reach.
    """

    def unfinished(state: State) -> Array:
        return (state.n_iter < max_iter) & (state.residual > tol) & (state.stalled < MAX_STALLED)

    def advance(state: State) -> State:
        mapped = step(state.current, state.n_iter)
        # A plain image cannot be worse but for rounding; only an extrapolation is refused.
        allowed = state.objective + _resolution(state.objective, noise)
        refused = state.extrapolated & ~(mapped.objective <= allowed)
        state = state._replace(n_iter=state.n_iter + 1)
        accept = partial(_accept, small=NEAR * n_cells, noise=noise)
        return lax.cond(refused, _refuse, accept, state, mapped)

    return lax.while_loop(unfinished, advance, state)


def _refuse(state: State, mapped: Mapped) -> State:
    """Go back to the last plain image, with shorter strides and an empty memory."""
    del mapped
    stride = state.stride._replace(
        phase=jnp.zeros_like(state.stride.phase),
        longest=jnp.maximum(state.stride.length / GROWTH, 1.0),
    )
    return state._replace(
        current=state.accepted, extrapolated=jnp.zeros_like(state.extrapolated), stride=stride,
        memory=state.memory._replace(count=jnp.full_like(state.memory.count, -1)),
    )  # fmt: skip


def _accept(state: State, mapped: Mapped, *, small: Array, noise: Array) -> State:
    """Remember the step and propose the next point, mostly by extrapolation."""
    gain = state.objective - mapped.objective
    state = state._replace(
        accepted=mapped.output, objective=mapped.objective, residual=mapped.residual,
        stalled=jnp.where(gain > _resolution(mapped.objective, noise), 0, state.stalled + 1),
        memory=_remember(state.memory, _flatten(state.current), _flatten(mapped.output)),
    )  # fmt: skip
    return lax.cond(state.near, _combine, lambda s: _stride(s, small), state)


def _stride(state: State, small: Array) -> State:
    """Propose SQUAREM's next point: two plain images, then a jump."""
    stride, memory = state.stride, state.memory
    started, ended = stride.phase == 0, stride.phase == 2
    jump, length = _square(memory, stride.longest)
    jumps = stride.phase == 1
    proposal = jnp.where(jumps, jump, memory.image)
    reached = ended & (stride.length >= stride.longest)
    return state._replace(
        current=_unflatten(proposal, state.accepted),
        extrapolated=jumps,
        near=started & (stride.objective - state.objective < small),
        stride=Stride(
            (stride.phase + 1) % 3,
            jnp.where(jumps, length, stride.length),
            jnp.where(reached, GROWTH * stride.longest, stride.longest),
            jnp.where(started, state.objective, stride.objective),
        ),
    )


def _square(memory: Memory, longest: Array) -> tuple[Array, Array]:
    """Return SQUAREM's extrapolation from the last two steps, and its length."""
    # The last difference in the ring is between this step and the one before.
    slot = (memory.count - 1) % len(memory.images)
    change = lax.dynamic_index_in_dim(memory.images, slot, keepdims=False)
    bend = lax.dynamic_index_in_dim(memory.residuals, slot, keepdims=False)
    first = memory.image - change
    step = change - bend
    tiny = jnp.finfo(change.dtype).tiny
    ratio = jnp.sqrt(jnp.sum(step**2) / jnp.maximum(jnp.sum(bend**2), tiny))
    length = jnp.clip(ratio, 1.0, longest)
    jump = (first - step) + 2 * length * step + length**2 * bend
    return jnp.maximum(jump, KEEP * memory.image), length


def _combine(state: State) -> State:
    """Propose Anderson's combination of images with the smallest combined residual."""
    memory = state.memory
    used = (jnp.arange(len(memory.images)) < memory.count).astype(memory.image.dtype)
    bends = memory.residuals * used[:, None]
    gram = bends @ bends.T
    ridge = RIDGE * jnp.trace(gram) + jnp.finfo(gram.dtype).tiny
    # Unused rows are zero; a one on their diagonal keeps the system regular.
    system = gram + jnp.diag(ridge + (1.0 - used))
    weights = jnp.linalg.solve(system, bends @ (memory.image - memory.point)) * used
    combined = memory.image - weights @ memory.images
    combined = jnp.where(jnp.isfinite(combined), combined, memory.image)
    proposal = jnp.maximum(combined, KEEP * memory.image)
    return state._replace(
        current=_unflatten(proposal, state.accepted), extrapolated=memory.count > 0
    )


def _remember(memory: Memory, point: Array, image: Array) -> Memory:
    """Add the difference to the last step, where there is one, and replace that step."""
    slot = jnp.maximum(memory.count, 0) % len(memory.images)
    change = image - memory.image
    bend = change - (point - memory.point)
    images = lax.dynamic_update_index_in_dim(memory.images, change, slot, 0)
    residuals = lax.dynamic_update_index_in_dim(memory.residuals, bend, slot, 0)
    # The first step after a restart has no predecessor: its slot is written but not counted.
    return Memory(point, image, images, residuals, memory.count + 1)


def _resolution(objective: Array, noise: Array) -> Array:
    """Return the rounding error of a sum of this size, or of terms of the size of `noise`."""
    return 4 * jnp.finfo(objective.dtype).eps * jnp.maximum(jnp.abs(objective), noise)


def _flatten(point: Factors) -> Array:
    return jnp.concatenate([point.W.ravel(), point.H.ravel()])


def _unflatten(flat: Array, like: Factors) -> Factors:
    W, H = flat[: like.W.size], flat[like.W.size :]
    return Factors(W.reshape(like.W.shape), H.reshape(like.H.shape), like.parameters)
