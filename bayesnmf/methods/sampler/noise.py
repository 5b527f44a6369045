"""The random numbers of a sweep, drawn in one call.

Every call of a generator takes a tenth of a second to compile, more than the move that uses it.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.scale import N_PROPOSALS
from bayesnmf.methods.sampler.target import Position

type Shapes = list[tuple[int, ...]]


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
        Of the joint move; the momentum is that of W, of H, and of directions that leave WH unchanged.
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
    key: Array, position: Position, directions: int, known: tuple[int, int] = (0, 0)
) -> Noise:
    """Return the random numbers of one sweep; `known` components of W and of H do not move.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> position = Position(jnp.zeros((2, 3)), jnp.zeros((2, 4)), {})
    >>> draw_noise(jax.random.key(0), position, 1).H.momentum.shape
    (2, 4)
    """
    key, key_slices = jax.random.split(key)
    W, H = position.W[known[0] :], position.H[known[1] :]
    n_components, rows, columns = len(position.W), W.shape[1:], H.shape[1:]
    momenta = [W.shape, H.shape, W.shape, H.shape, (directions,)]
    decisions = [rows, rows, columns, columns, (), ()]
    draws = [(2, n_components), (3, N_PROPOSALS, n_components), W.shape, H.shape]
    normal, uniform = _draw(key, W.dtype, momenta, decisions + draws)
    return Noise(
        Trajectory(normal[0], *uniform[0:2]),
        Trajectory(normal[1], *uniform[2:4]),
        Trajectory(tuple(normal[2:]), *uniform[4:6]),
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
    key, key_slices = jax.random.split(key)
    (n_components, n_rows), dtype = log_w.shape, log_w.dtype
    momenta: Shapes = [log_w.shape, (rate_moves, n_components)]
    decisions: Shapes = [(n_rows,), (n_rows,), (rate_moves,), (rate_moves,)]
    normal, uniform = _draw(key, dtype, momenta, decisions)
    return Trajectory(normal[0], *uniform[:2]), Trajectory(normal[1], *uniform[2:]), key_slices


def _draw(
    key: Array, dtype: Any, normal: Shapes, uniform: Shapes
) -> tuple[list[Array], list[Array]]:
    """Draw normal and uniform arrays of several shapes from one stream of numbers."""
    n_normal, n_uniform = (sum(map(math.prod, shapes)) for shapes in (normal, uniform))
    # Above -1, where the normal would be infinite.
    least = np.nextafter(np.asarray(-1, dtype), np.asarray(0, dtype))
    numbers = jax.random.uniform(key, (n_normal + n_uniform,), dtype, least, 1.0)
    # Behind a barrier, or each piece would compile the generator again.
    bell, flat = lax.optimization_barrier(
        (math.sqrt(2.0) * lax.erf_inv(numbers[:n_normal]), 0.5 + 0.5 * numbers[n_normal:])
    )
    return _cut(bell, normal), _cut(flat, uniform)


def _cut(numbers: Array, shapes: Shapes) -> list[Array]:
    ends = list(accumulate(map(math.prod, shapes)))
    return [
        numbers[end - math.prod(shape) : end].reshape(shape)
        for end, shape in zip(ends, shapes, strict=True)
    ]
