"""The information about the logarithms of W and H together, under the priors and the data.

Each row of W has a block of its own, and so has each column of H. Between W and H the information is
never formed: it is only multiplied by a step. The directions in which W and H trade, K**2 of them, are nearly flat.
Preconditioned by the blocks, conjugate gradients need little more steps than there are such directions.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Parameters, Sampled, pairs
from bayesnmf.priors import Prior

#: Conjugate gradients at most, and the share of the squared residual at which they end.
MAX_GRADIENTS, REDUCTION = 60, 1e-3


type Pair = tuple[Array, Array]


class Information(NamedTuple):
    """Information at a point; pairs are of W and of H, component first.

    Attributes
    ----------
    W, H : array
        The factors.
    blocks : pair of arrays of shape (row, component, component)
        Of every row alone; that of an identity for known components.
    free : pair of arrays of shape (component, 1)
        1 for what is inferred, 0 for known components.
    """

    W: Array
    H: Array
    blocks: Pair
    free: Pair


def information_at(
    model: NMF, data: Sampled, W: Array, H: Array, parameters: Parameters
) -> Information:
    """Return the information at whole factors, given the rates.

    In logarithms a gamma prior of shape a adds a, at its mean.
    """
    packed = data.information(model, W, H, parameters)

    def block(x: Array, packed: Array, prior: Prior, first: int) -> tuple[Array, Array]:
        identity = jnp.eye(len(x), dtype=x.dtype)
        if first == len(x):
            blocks = jnp.broadcast_to(identity, (x.shape[1], *identity.shape))
            return blocks, jnp.zeros((len(x), 1), x.dtype)
        lines, columns = pairs(len(x))
        place = jnp.zeros((len(x), len(x)), int)
        place = place.at[lines, columns].set(jnp.arange(len(lines)))
        place = place.at[columns, lines].set(jnp.arange(len(lines)))
        free = (jnp.arange(len(x)) >= first).astype(x.dtype)
        full = packed[place] * (free[:, None] * free[None])[..., None]
        shape = jnp.broadcast_to(prior.shape_term(x), x.shape)
        diagonal = jnp.where(free[:, None] > 0, shape, 1.0)
        full += identity[..., None] * diagonal[:, None]
        return jnp.moveaxis(full, -1, 0), free[:, None]

    (of_W, free_W), (of_H, free_H) = (
        block(W, packed[0], model.prior_W, model.n_known_W),
        block(H, packed[1], model.prior_H, model.n_known_H),
    )
    return Information(W, H, (of_W, of_H), (free_W, free_H))


def crossed(
    model: NMF, data: Sampled, at: Information, step: Array, parameters: Parameters, *, axis: int
) -> Array:
    """Return the information between both factors times a step: of H's logarithms where `axis` is 1, else of W's."""
    x, y = (at.W, at.H) if axis == 1 else (at.H, at.W)
    if model.n_components in (model.n_known_W, model.n_known_H):
        return jnp.zeros_like(x)
    own, other = at.free if axis == 1 else at.free[::-1]
    return own * data.cross_information(model, x, y, other * step, parameters, axis=axis)


def lifted(at: Information, of_W: Array, of_H: Array) -> Information:
    """Return the information with numbers added to its diagonal, (component, row) and (component, column)."""

    def add(blocks: Array, more: Array) -> Array:
        return blocks + more.T[:, :, None] * jnp.eye(len(more), dtype=blocks.dtype)[None]

    return at._replace(blocks=(add(at.blocks[0], of_W), add(at.blocks[1], of_H)))


def inverse_roots(model: NMF, at: Information) -> Pair:
    """Return R of every block B with ``R B R' = 1`` and ``R' R = B**-1``; it is lower triangular."""

    def roots(blocks: Array, n_known: int) -> Array:
        identity = jnp.eye(blocks.shape[-1], dtype=blocks.dtype)
        if n_known == model.n_components:  # nothing is inferred
            return jnp.broadcast_to(identity, blocks.shape)
        lower = jnp.linalg.cholesky(blocks)

        # Line by line for all blocks at once: XLA's call of LAPACK does not find it in every program.
        def line(k: Array, found: Array) -> Array:
            row = lax.dynamic_index_in_dim(lower, k, axis=1, keepdims=False)
            own = lax.dynamic_index_in_dim(row, k, axis=1)
            new = (identity[k][None] - jnp.einsum("il,ilm->im", row, found)) / own
            return lax.dynamic_update_index_in_dim(found, new, k, axis=1)

        return lax.fori_loop(0, len(identity), line, jnp.zeros_like(blocks))

    return roots(at.blocks[0], model.n_known_W), roots(at.blocks[1], model.n_known_H)


def solve(model: NMF, data: Sampled, at: Information, right: Pair, parameters: Parameters) -> Pair:
    """Return the inverse of the information times a pair, nearly, by conjugate gradients."""
    roots = inverse_roots(model, at)

    def times(step: Pair) -> Pair:
        own = _each(lambda blocks, x: jnp.einsum("ikl,li->ki", blocks, x), at.blocks, step)
        other = (
            crossed(model, data, at, step[1], parameters, axis=1),
            crossed(model, data, at, step[0], parameters, axis=0),
        )
        return _each(jnp.add, own, other)

    def conditioned(x: Pair) -> Pair:
        half = _each(lambda root, x: jnp.einsum("ikl,li->ki", root, x), roots, x)
        return _each(lambda root, x: jnp.einsum("ilk,li->ki", root, x), roots, half)

    type State = tuple[Pair, Pair, Pair, Array, Array]

    def on(state: State) -> State:
        found, left, along, size, count = state
        bend = times(along)
        length = size / _dot(along, bend)
        found = _each(lambda x, d: x + length * d, found, along)
        left = _each(lambda x, d: x - length * d, left, bend)
        better = conditioned(left)
        new_size = _dot(left, better)
        along = _each(lambda x, d: x + new_size / size * d, better, along)
        return found, left, along, new_size, count + 1

    right = _each(jnp.multiply, right, at.free)
    along = conditioned(right)
    if model.n_components in (model.n_known_W, model.n_known_H):
        return along  # rows are independent
    size = _dot(right, along)
    begin: State = (_each(jnp.zeros_like, right), right, along, size, jnp.asarray(0))

    def unsolved(state: State) -> Array:
        return (state[3] > REDUCTION * size) & (state[4] < MAX_GRADIENTS)

    return lax.while_loop(unsolved, on, begin)[0]


def _each(function, *parts):  # type: ignore[no-untyped-def]
    """Return the pair of what a function gives for W and for H."""
    return tuple(function(*both) for both in zip(*parts, strict=True))


def _dot(x: Pair, y: Pair) -> Array:
    return jnp.vdot(x[0], y[0]) + jnp.vdot(x[1], y[1])
