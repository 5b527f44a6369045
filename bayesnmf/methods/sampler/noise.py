"""The random numbers of a sweep, drawn in two calls.

Every call of a generator takes a tenth of a second to compile, more than the move that uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import jax
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.scale import N_PROPOSALS
from bayesnmf.methods.sampler.target import Position


class Trajectory(NamedTuple):
    """Random numbers of Hamiltonian moves.

    Attributes
    ----------
    momentum : array, or pair of arrays
        Normal, of the shape of what moves.
    jitter, accept : array
        Uniform, of the shape of the step size.
    """

    momentum: Any  # an array or a pair of them
    jitter: Array
    accept: Array


class Noise(NamedTuple):
    """Random numbers of one sweep.

    Attributes
    ----------
    W, H : Trajectory
        Of the row-parallel moves.
    joint : Trajectory
        Of the joint moves, one after another along the first axis.
    shear : array of shape (2, component)
        Uniform.
    entries : pair of arrays of shape (component, row or column)
        Uniform; for the draws from truncated normal distributions.
    scale : array of shape (3, proposal, component)
        Uniform.
    slices : array
        Key of the moves that draw as often as they must.
    """

    W: Trajectory
    H: Trajectory
    joint: Trajectory
    shear: Array
    entries: tuple[Array, Array]
    scale: Array
    slices: Array


def draw_noise(
    key: Array, position: Position, joint_moves: int, known: tuple[int, int] = (0, 0)
) -> Noise:
    """Return the random numbers of one sweep; `known` components of W and of H do not move.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> position = Position(jnp.zeros((2, 3)), jnp.zeros((2, 4)), {})
    >>> draw_noise(jax.random.key(0), position, 1).H.momentum.shape
    (2, 4)
    """
    key_normal, key_uniform, key_slices = jax.random.split(key, 3)
    W, H = position.W[known[0] :], position.H[known[1] :]
    n_components, rows, columns, each = len(position.W), W.shape[1:], H.shape[1:], (joint_moves,)
    momenta = [W.shape, H.shape, (*each, *W.shape), (*each, *H.shape)]
    decisions = [rows, rows, columns, columns, each, each]
    draws = [(2, n_components), (3, N_PROPOSALS, n_components), W.shape, H.shape]
    normal = _pieces(jax.random.normal, key_normal, W.dtype, momenta)
    uniform = _pieces(jax.random.uniform, key_uniform, W.dtype, decisions + draws)
    return Noise(
        Trajectory(normal[0], *uniform[0:2]),
        Trajectory(normal[1], *uniform[2:4]),
        Trajectory((normal[2], normal[3]), *uniform[4:6]),
        uniform[6],
        (uniform[8], uniform[9]),
        uniform[7],
        key_slices,
    )


def draw_row_noise(
    key: Array, log_w: Array, rate_moves: int
) -> tuple[Trajectory, Trajectory, Array]:
    """Return the random numbers of a sweep of independent rows: of the rows, of their rates, and a key.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rows, rates, _ = draw_row_noise(jax.random.key(0), jnp.zeros((2, 3)), 4)
    >>> rows.momentum.shape, rates.momentum.shape, rates.jitter.shape
    ((2, 3), (4, 2), (4,))
    """
    key_normal, key_uniform, key_slices = jax.random.split(key, 3)
    (n_components, n_rows), dtype = log_w.shape, log_w.dtype
    normal = _pieces(
        jax.random.normal, key_normal, dtype, [log_w.shape, (rate_moves, n_components)]
    )
    shapes: list[tuple[int, ...]] = [(n_rows,), (n_rows,), (rate_moves,), (rate_moves,)]
    uniform = _pieces(jax.random.uniform, key_uniform, dtype, shapes)
    return Trajectory(normal[0], *uniform[:2]), Trajectory(normal[1], *uniform[2:]), key_slices


def _pieces(
    generator: Callable[..., Array], key: Array, dtype: Any, shapes: list[tuple[int, ...]]
) -> list[Array]:
    """Draw arrays of several shapes at once."""
    ends = list(accumulate(math.prod(shape) for shape in shapes))
    # Behind a barrier, or each piece would compile the generator again.
    flat = lax.optimization_barrier(generator(key, (ends[-1],), dtype))
    return [
        flat[end - math.prod(shape) : end].reshape(shape)
        for end, shape in zip(ends, shapes, strict=True)
    ]
