"""Products of a factor with cells."""

from __future__ import annotations

from jax import lax

from bayesnmf.arrays import Array


def contract(y: Array, cells: Array, axis: int) -> Array:
    """Return ``sum_j y_kj cells_ij`` along `axis` of the cells, component first."""
    return lax.dot_general(y, cells, (((1,), (axis,)), ((), ())))


def cell_product(x: Array, y: Array, axis: int) -> Array:
    """Return the cells ``sum_k x_ki y_kj``, oriented as V."""
    first, second = (x, y) if axis == 1 else (y, x)
    return lax.dot_general(first, second, (((0,), (0,)), ((), ())))
