"""A quadratic model of the objective in both factors at once, and its minimum over steps that keep them non-negative.

Where the data say much more than the priors, the objective is stiff in all directions but those that
leave WH as it is, to first order: W + W A and H - A H. Steps of one factor at a time crawl along them. The
model here couples both factors: with J the derivative of WH and D the curvature of every cell, its second
derivative is ``J' D J``, what the score adds where both factors move, and the priors' own. ``J' D J`` is flat along those
directions, so the model's minimum is where the priors' slope leads: mostly to entries that are zero.

It is found face by face: conjugate gradients with the rows' own Hessians as preconditioner in the entries
that may move, then a projected search, which puts more entries at their bound. What the score adds may be
negative. Where that leaves no minimum, a share of the rows' Hessians is added: the model is damped.

References
----------
More, J. J. and Toraldo, G. (1991). On the solution of large quadratic programming problems with bound
constraints. SIAM Journal on Optimization 1, 93-113. doi:10.1137/0801008
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array, floor_of, off_zero
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.descent import slopes
from bayesnmf.model import NMF
from bayesnmf.model.rates import at_optimal_rates
from bayesnmf.observed.cells import Cells, mean_of
from bayesnmf.observed.newton import KEEP, row_hessians
from bayesnmf.observed.products import cell_product, contract
from bayesnmf.priors import Prior

#: Faces at most, and conjugate gradients on each. Few faces leave entries on the wrong side of their bound.
MAX_FACES, MAX_GRADIENTS = 40, 100


#: Square of the factor by which conjugate gradients on a face reduce the slope. A rougher solution loses the flat
#: directions; a finer one finds no more.
REDUCTION = 1e-4


#: A face that lowers the model by less than this share of what all have is the last one.
LEAST = 1e-10


#: Factor by which the damping grows where the model is not convex.
MORE = 4.0


#: Halvings of a projected step at most.
MAX_HALVINGS = 30


#: Relative lift of the blocks' diagonals, against components that coincide.
RIDGE = 1e-9


type Pair = tuple[Array, Array]


class Quadratic(NamedTuple):
    """The model at a point; pairs are of W and of H, component first.

    Attributes
    ----------
    W, H : array
        The point.
    curvature, score : array of shape (row, column)
        Of the log density of every cell in its mean; 0 where missing.
    slope, diagonal : pair of arrays
        Gradient of the objective, and second derivative of the priors' part.
    blocks : pair of arrays of shape (component, component, row)
        Hessian of every row alone.
    lowest : pair of arrays
        Least step of every entry.
    free : pair of arrays
        1 for what is inferred, 0 for known components.
    """

    W: Array
    H: Array
    curvature: Array
    score: Array
    slope: Pair
    diagonal: Pair
    blocks: Pair
    lowest: Pair
    free: Pair


def quadratic_at(model: NMF, cells: Cells, point: Factors, *, log_space: bool) -> Quadratic:
    """Return the model at a point."""
    W, H, parameters = point
    known = {**model.likelihood.known, **parameters}
    mean = mean_of(W, H)
    curvature = cells.kept(model.likelihood.curvature(cells.values, mean, **known))
    score = cells.kept(model.likelihood.score(cells.values, mean, **known))
    given = at_optimal_rates(model, W, H)

    def of_prior(x: Array, prior: Prior, first: int) -> tuple[Array, Array, Array]:
        _, coefficient = prior.of_components(first).penalty_terms(x[first:], log_space)
        coefficient = jnp.broadcast_to(coefficient, x[first:].shape)
        coefficient = jnp.concatenate([jnp.zeros_like(x[:first]), coefficient])
        free = jnp.broadcast_to((jnp.arange(len(x)) >= first)[:, None], x.shape).astype(x.dtype)
        lowest = -x * jnp.where(coefficient > 0, 1.0 - KEEP, 1.0) * free
        return coefficient / off_zero(x) ** 2, lowest, free

    of_W = of_prior(W, given.prior_W, model.n_known_W)
    of_H = of_prior(H, given.prior_H, model.n_known_H)
    diagonal, lowest, free = ((a, b) for a, b in zip(of_W, of_H, strict=True))
    blocks = (
        row_hessians(H, curvature, 1, ridge=diagonal[0] + floor_of(W.dtype)),
        row_hessians(W, curvature, 0, ridge=diagonal[1] + floor_of(W.dtype)),
    )
    slope = slopes(model, cells, point, log_space)
    return Quadratic(W, H, curvature, score, slope, diagonal, blocks, lowest, free)


def product(model: Quadratic, step: Pair, damping: Array) -> Pair:
    """Return the damped second derivative times a step."""
    of_W, of_H = step
    bent = model.curvature * (cell_product(of_W, model.H, 1) + cell_product(model.W, of_H, 1))
    both = (
        contract(model.H, bent, 1) - contract(of_H, model.score, 1),
        contract(model.W, bent, 0) - contract(of_W, model.score, 0),
    )

    def with_own(x: Array, diagonal: Array, blocks: Array, step: Array) -> Array:
        return x + diagonal * step + damping * jnp.einsum("kli,li->ki", blocks, step)

    return _each(with_own, both, model.diagonal, model.blocks, step)


class _Faces(NamedTuple):
    """A step, the model's slope after it, what it has gained, and whether another face may lower it further.

    `damping` is the share of the blocks that is added to the second derivative.
    """

    step: Pair
    slope: Pair
    gained: Array
    damping: Array
    n_faces: Array
    going: Array


def minimum(model: Quadratic, damping: Array) -> tuple[Pair, Array]:
    """Return a step near the damped model's minimum over steps of at least `lowest`, and the damping.

    Where the model has no minimum it is damped more.
    """

    def search_face(state: _Faces) -> _Faces:
        face = _each(_may_move, state.step, state.slope, model.lowest, model.free)
        direction, convex = _conjugate_gradients(model, state, face)
        size, change, move, bend = _projected(model, state, direction)
        better = change < 0
        gained = jnp.where(better, state.gained - change, state.gained)
        step, slope = (
            _each(lambda x, dx: jnp.where(better, x + dx, x), old, by)
            for old, by in ((state.step, move), (state.slope, bend))
        )
        going = better & ((size < 1.0) | (-change > LEAST * gained))
        on = _Faces(step, slope, gained, state.damping, state.n_faces + 1, going)
        again = first._replace(damping=MORE * state.damping, n_faces=state.n_faces + 1)
        return jax.tree.map(lambda x, y: jnp.where(convex, x, y), on, again)

    nothing, one = _each(jnp.zeros_like, model.slope), jnp.ones((), model.W.dtype)
    first = _Faces(nothing, model.slope, 0.0 * one, damping, jnp.asarray(0), jnp.asarray(True))
    last = lax.while_loop(lambda s: s.going & (s.n_faces < MAX_FACES), search_face, first)
    return last.step, last.damping


def _may_move(step: Array, slope: Array, lowest: Array, free: Array) -> Array:
    """Return 1 for entries of a face: those off their bound, or that the slope leads away from it."""
    unit = jnp.max(jnp.abs(lowest), axis=1, keepdims=True)
    held = (step <= lowest + jnp.finfo(step.dtype).eps * unit) & (slope > 0)
    return jnp.where(held, 0.0, free)


def _conjugate_gradients(model: Quadratic, faces: _Faces, face: Pair) -> tuple[Pair, Array]:
    """Return the step on a face that reduces the model's slope there, and whether the model is convex along it."""
    inverses = _each(lambda x, f: _inverses((1.0 + faces.damping) * x, f), model.blocks, face)

    def conditioned(x: Pair) -> Pair:
        return _each(lambda inverse, x: jnp.einsum("ikl,li->ki", inverse, x), inverses, x)

    type State = tuple[Pair, Pair, Pair, Array, Array, Array]

    def on(state: State) -> State:
        step, left, along, size, count, _ = state
        bend = _each(jnp.multiply, product(model, along, faces.damping), face)
        curvature = _dot(along, bend)
        convex = curvature > 0
        length = jnp.where(convex, size / curvature, 0.0)
        step = _each(lambda x, d: x + length * d, step, along)
        left = _each(lambda x, d: x - length * d, left, bend)
        better = conditioned(left)
        new_size = _dot(left, better)
        along = _each(lambda x, d: x + new_size / size * d, better, along)
        return step, left, along, new_size, count + 1, convex

    left = _each(lambda x, f: -x * f, faces.slope, face)
    along = conditioned(left)
    size = _dot(left, along)
    nothing = _each(jnp.zeros_like, left)
    begin: State = (nothing, left, along, size, jnp.asarray(0), jnp.asarray(True))

    def unsolved(state: State) -> Array:
        return (state[3] > REDUCTION * size) & (state[4] < MAX_GRADIENTS) & state[5]

    end = lax.while_loop(unsolved, on, begin)
    return end[0], end[5]


def _inverses(blocks: Array, face: Array) -> Array:
    """Return the inverse of every row's block on its part of a face, (row, component, component)."""
    n_components = len(face)
    identity = jnp.eye(n_components, dtype=face.dtype)
    both = jnp.moveaxis(blocks * face[:, None] * face[None], -1, 0)
    own = jnp.where(face > 0, RIDGE * jnp.einsum("kki->ki", blocks), 1.0)
    factor = jnp.linalg.cholesky(both + own.T[:, None] * identity[None])
    root = lax.linalg.triangular_solve(
        factor, jnp.broadcast_to(identity, factor.shape), left_side=True, lower=True
    )
    inside = face.T[:, :, None] * face.T[:, None, :]
    return jnp.einsum("imk,iml->ikl", root, root) * inside


def _projected(model: Quadratic, state: _Faces, direction: Pair) -> tuple[Array, Array, Pair, Pair]:
    """Return the size of a step along `direction`, cut off at the bounds, that lowers the model; and what it does."""

    def look(size: Array) -> tuple[Array, Array, Pair, Pair]:
        def cut(step: Array, lowest: Array, along: Array) -> Array:
            return jnp.maximum(step + size * along, lowest) - step

        move = _each(cut, state.step, model.lowest, direction)
        bend = product(model, move, state.damping)
        return size, _dot(state.slope, move) + 0.5 * _dot(move, bend), move, bend

    def too_long(tried: tuple[Array, Array, Pair, Pair]) -> Array:
        return (tried[1] >= 0) & (tried[0] > 0.5**MAX_HALVINGS)

    # The first look is the loop's own, so that the product is compiled once.
    nothing = _each(jnp.zeros_like, state.step)
    one = jnp.ones((), model.W.dtype)
    begin = (2.0 * one, one, nothing, nothing)
    return lax.while_loop(too_long, lambda tried: look(0.5 * tried[0]), begin)


def _each(function, *pairs):  # type: ignore[no-untyped-def]
    """Return the pair of what a function gives for W and for H."""
    return tuple(function(*parts) for parts in zip(*pairs, strict=True))


def _dot(x: Pair, y: Pair) -> Array:
    return jnp.vdot(x[0], y[0]) + jnp.vdot(x[1], y[1])
