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

from bayesnmf.arrays import Array

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
    """The last residual, and rings of differences between successive images and residuals.

    A residual is what one step changes, image minus point. W and H are side by side, as :func:`joined`
    puts them, which makes half as many operations to compile.
    """

    residual: Array
    images: Array
    residuals: Array
    n_stored: Array


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
def first_state(point: Factors, objective: Array, memory: int = MEMORY) -> State:
    """Return the state before the first step, which will remember `memory` differences.

    All of it is in memory of its own, which the loop may write over.
    """
    accepted, current = (jax.tree.map(jnp.copy, point) for _ in range(2))
    objective = jnp.copy(objective)
    zeros = jnp.zeros_like(joined(point))
    ring = jnp.zeros((memory, *zeros.shape), zeros.dtype)
    # Of definite type: a weak one would compile the loop again when it continues.
    one, zero, no = jnp.ones((), point.W.dtype), jnp.zeros((), int), jnp.zeros((), bool)
    infinite = one * jnp.inf
    return State(
        accepted,
        current,
        no,
        no,
        Stride(zero, one, GROWTH * one, infinite),
        Memory(zeros, ring, ring, zero - 1),
        objective,
        infinite,
        zero,
        zero,
    )


def accelerate(
    step: Callable[[Factors, Array], Mapped],
    state: State,
    *,
    n_cells: Array,
    noise: Array,
    max_iter: Array,
    tol: Array,
) -> State:
    """Apply the map until the residual is below `tol`, it stalls, or `max_iter` is reached.

    Parameters
    ----------
    step : callable
        ``step(point, n_iter)``, the monotone map.
    state : State
        From :func:`first_state`, or from an earlier call to continue.
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
        state = state._replace(n_iter=state.n_iter + 1, memory=_remember(state, mapped, refused))
        state = _accept(state, mapped, refused, noise)
        return _propose(state, refused, small=NEAR * n_cells)

    return lax.while_loop(unfinished, advance, state)


def _remember(state: State, mapped: Mapped, refused: Array) -> Memory:
    """Add the differences to the last step; after a refusal nothing counts as remembered.

    They are written in any case, for the rings are large and a branch would copy them.
    """
    memory = state.memory
    slot = jnp.maximum(memory.n_stored, 0) % len(memory.images)
    output = joined(mapped.output)
    residual = output - joined(state.current)
    put = partial(lax.dynamic_update_index_in_dim, index=slot, axis=0)
    images = put(memory.images, output - joined(state.accepted))
    residuals = put(memory.residuals, residual - memory.residual)
    # The first step after a restart has no predecessor: its slot is written but not counted.
    return Memory(residual, images, residuals, jnp.where(refused, -1, memory.n_stored + 1))


def _accept(state: State, mapped: Mapped, refused: Array, noise: Array) -> State:
    """Take the image as the best point so far, unless it was refused."""
    log_density_change = state.objective - mapped.objective
    stalled = jnp.where(
        log_density_change > _resolution(mapped.objective, noise), 0, state.stalled + 1
    )
    new = (mapped.output, mapped.objective, mapped.residual, stalled)
    old = (state.accepted, state.objective, state.residual, state.stalled)
    kept = jax.tree.map(lambda x, y: jnp.where(refused, x, y), old, new)
    return state._replace(
        **dict(zip(("accepted", "objective", "residual", "stalled"), kept, strict=True))
    )


def _propose(state: State, refused: Array, small: Array) -> State:
    """Choose the next point, mostly by extrapolation.

    After a refusal that is the last plain image, with shorter strides to come.
    """
    stride, near = state.stride, state.near
    started, jumps, ended = (stride.phase == phase for phase in range(3))
    image, memory = joined(state.accepted), state.memory

    def squared() -> tuple[Array, Array]:
        jump, length = _square(image, memory, stride.longest)
        return jnp.where(jumps, jump, image), length

    proposal, length = lax.cond(near, lambda: (_combine(image, memory), stride.length), squared)
    proposal = jnp.where(refused, image, proposal)
    n_rows = state.accepted.W.shape[1]
    reached = ended & (stride.length >= stride.longest)
    longest = jnp.where(reached, GROWTH * stride.longest, stride.longest)
    on = Stride(
        (stride.phase + 1) % 3,
        jnp.where(jumps, length, stride.length),
        longest,
        jnp.where(started, state.objective, stride.objective),
    )
    on = jax.tree.map(lambda x, y: jnp.where(near, x, y), stride, on)
    back = stride._replace(
        phase=jnp.zeros_like(stride.phase), longest=jnp.maximum(stride.length / GROWTH, 1.0)
    )
    arrives = started & (stride.objective - state.objective < small)
    return state._replace(
        current=Factors(proposal[:, :n_rows], proposal[:, n_rows:], state.accepted.parameters),
        extrapolated=jnp.where(near, memory.n_stored > 0, jumps) & ~refused,
        near=near | (arrives & ~refused),
        stride=jax.tree.map(lambda x, y: jnp.where(refused, x, y), back, on),
    )


def _square(image: Array, memory: Memory, longest: Array) -> tuple[Array, Array]:
    """Return SQUAREM's extrapolation from the last two steps, and its length."""
    # The last difference in the ring is between this step and the one before.
    slot = (memory.n_stored - 1) % len(memory.images)
    take = partial(lax.dynamic_index_in_dim, index=slot, keepdims=False)
    change, bend = take(memory.images), take(memory.residuals)
    step = change - bend
    tiny = jnp.finfo(longest.dtype).tiny
    ratio = jnp.sqrt(jnp.sum(step * step) / jnp.maximum(jnp.sum(bend * bend), tiny))
    length = jnp.clip(ratio, 1.0, longest)
    jump = (image - change - step) + 2 * length * step + length**2 * bend
    return jnp.maximum(jump, KEEP * image), length


def _combine(image: Array, memory: Memory) -> Array:
    """Return Anderson's combination of images with the smallest combined residual."""
    used = (jnp.arange(len(memory.images)) < memory.n_stored).astype(image.dtype)
    # Row by row: one product of all would copy the rings, and transpose the copies.
    along = partial(jnp.einsum, "akj,kj->a", memory.residuals)
    gram = lax.map(along, memory.residuals) * jnp.outer(used, used)
    ridge = RIDGE * jnp.trace(gram) + jnp.finfo(gram.dtype).tiny
    # Unused rows are zero; a one on their diagonal keeps the system regular.
    system = gram + jnp.diag(ridge + (1.0 - used))
    shares = _solution(system, along(memory.residual) * used) * used
    mixed = image - jnp.tensordot(shares, memory.images, axes=1)
    return jnp.maximum(jnp.where(jnp.isfinite(mixed), mixed, image), KEEP * image)


def _solution(system: Array, right: Array) -> Array:
    """Solve a small positive definite system by elimination, which compiles in a tenth of the time of LAPACK's call."""

    def eliminate(k: Array, rows: Array) -> Array:
        row = lax.dynamic_index_in_dim(rows, k, keepdims=False)
        row = row / lax.dynamic_index_in_dim(row, k, keepdims=False)
        column = lax.dynamic_index_in_dim(rows, k, axis=1, keepdims=False)
        return lax.dynamic_update_index_in_dim(rows - jnp.outer(column, row), row, k, 0)

    both = jnp.concatenate([system, right[:, None]], axis=1)
    return lax.fori_loop(0, len(right), eliminate, both)[:, -1]


def joined(point: Factors) -> Array:
    """Return W and H side by side, of shape (component, row and column)."""
    return jnp.concatenate([point.W, point.H], axis=1)


def _resolution(objective: Array, noise: Array) -> Array:
    """Return the rounding error of a sum of this size, or of terms of the size of `noise`."""
    return 4 * jnp.finfo(objective.dtype).eps * jnp.maximum(jnp.abs(objective), noise)
