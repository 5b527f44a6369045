"""Sparse operations inside compiled functions, in XLA or by a call of native code.

Factors are component first: x of shape (component, row), y of shape (component, column). With
L the product of both at the stored cells v, every function costs O(n_stored n_components) and
never forms a cell that is not stored.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.observed.stored_rows import Compressed

type Array = Any


def contract_values(rows: Compressed, y: Array) -> Array:
    """Return ``sum_j v_ij y_kj``, of shape (component, row)."""
    if rows.native:
        return _native().contract_values(rows, y)
    return _sum_rows(rows, rows.values.astype(y.dtype)[None] * y[:, rows.indices])


def contract_ratio(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j (v_ij / L_ij) y_kj``, of shape (component, row).

    Parameters
    ----------
    rows : Compressed
    x : array of shape (component, row)
    y : array of shape (component, column)
    floor : float
        Least value of L.
    """
    if rows.native:
        return _native().contract_ratio(rows, x, y, floor)
    ratio = rows.values.astype(x.dtype) / _product(rows, x, y, floor)
    return _sum_rows(rows, ratio[None] * y[:, rows.indices])


def contract_ratio_both(rows: Compressed, x: Array, y: Array, floor: float) -> tuple[Array, Array]:
    """Return :func:`contract_ratio`, and likewise ``sum_i (v_ij / L_ij) x_ki``.

    Each stored cell is visited once for both.

    Returns
    -------
    of_x : array of shape (component, row)
    of_y : array of shape (component, column)
    """
    if rows.native:
        return _native().contract_ratio_both(rows, x, y, floor)
    ratio = rows.values.astype(x.dtype) / _product(rows, x, y, floor)
    by_cell = ratio[:, None] * x.T[_row_of_cell(rows)]
    of_y = jax.ops.segment_sum(by_cell, rows.indices, y.shape[1]).T
    return _sum_rows(rows, ratio[None] * y[:, rows.indices]), of_y


def contract_change(rows: Compressed, x: Array, y: Array, step: Array, floor: float) -> Array:
    """Return ``sum_j (v_ij D_ij / L_ij**2) y_kj``, with D the change of L when y moves by `step`.

    Returns
    -------
    array of shape (component, row)
    """
    if rows.native:
        return _native().contract_change(rows, x, y, step, floor)
    mean, change = _product(rows, x, y, floor), _product(rows, x, step, -jnp.inf)
    ratio = rows.values.astype(x.dtype) / mean * (change / mean)
    return _sum_rows(rows, ratio[None] * y[:, rows.indices])


def share_products(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j v_ij s_ijk s_ijl`` for every pair k >= l, with ``s_ijk = x_ki y_kj / L_ij``.

    Returns
    -------
    array of shape (pair, row)
        Pairs in the order of ``np.tril_indices``.
    """
    if rows.native:
        return _native().share_products(rows, x, y, floor)
    first, second = np.tril_indices(len(x))
    of_cell, mean = _row_of_cell(rows), _product(rows, x, y, floor)
    values = rows.values.astype(x.dtype)

    def share(k: Array) -> Array:
        return x[k, of_cell] * y[k, rows.indices] / mean

    def product(pair: tuple[Array, Array]) -> Array:
        return _sum_rows(rows, values * share(pair[0]) * share(pair[1]))

    return lax.map(product, (jnp.asarray(first), jnp.asarray(second)))


def sum_log(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j v_ij log L_ij`` of every row; see :func:`contract_ratio`."""
    if rows.native:
        return _native().sum_log(rows, x, y, floor)
    return _sum_rows(rows, rows.values.astype(x.dtype) * jnp.log(_product(rows, x, y, floor)))


def sweep(
    rows: Compressed,
    x: Array,
    y: Array,
    linear: Array,
    log_coefficient: Array,
    floor: float,
    known: int = 0,
) -> tuple[Array, Array, Array]:
    """Minimise ``sum_k linear_ki x_ki - c log x_ki - sum_j v_ij log L_ij``, one entry at a time.

    Each entry w of a row in turn goes to the minimum of ``linear w - c log w - A log(w + e)``,
    whose A and e give it the slope and the curvature of the objective where w is. That step falls
    short going up and, rarely, is too long going down; a row whose objective would have risen
    takes a multiplicative update instead, so none ever rises.

    Parameters
    ----------
    rows : Compressed
    x : array of shape (component, row)
    y : array of shape (component, column)
    linear : array of shape (component, row)
        Positive: the sums of y over the observed cells, and the rate of the prior.
    log_coefficient : array
        c, a number or an array that broadcasts to the shape of `x`: the coefficient of ``log x`` in the log posterior, at least 0.
    floor : float
        Least value of L.
    known : int, default 0
        Components before this one stay as they are, with a slope of 0.

    Returns
    -------
    x : array of shape (component, row)
        The improved factor.
    slope : array of shape (component, row)
        Derivative of the objective in each entry, taken when its turn came.
    log_sum : array of shape (row,)
        ``sum_j v_ij log L_ij`` before the sweep.
    """
    if rows.native:
        return _native().sweep(rows, x, y, linear, log_coefficient, floor, known)
    return _plain_sweep(rows, x, y, linear, log_coefficient, floor, known)


def _native() -> Any:
    """Return the native operations, whose import takes Numba's time."""
    from bayesnmf.observed import native

    return native


def _plain_sweep(
    rows: Compressed,
    x: Array,
    y: Array,
    linear: Array,
    log_coefficient: Array,
    floor: float,
    known: int,
) -> tuple[Array, Array, Array]:
    values, before = rows.values.astype(x.dtype), _product(rows, x, y, floor)
    of_cell, log_coefficient = _row_of_cell(rows), jnp.broadcast_to(log_coefficient, x.shape)

    def update(k: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        new, slope, mean = state
        part = y[k, rows.indices]
        share = part / mean
        first, second = _sum_rows(rows, jnp.stack([values * share, values * share * share]))
        entry = _coordinate(x[k], linear[k], log_coefficient[k], first, second)
        mean = jnp.maximum(mean + (entry - x[k])[of_cell] * part, 1e-14 * before)
        return new.at[k].set(entry), slope.at[k].set(linear[k] - first), mean

    new, slope, mean = lax.fori_loop(known, x.shape[0], update, (x, jnp.zeros_like(x), before))
    lifted = jnp.maximum(x, floor)
    slope = slope - log_coefficient / lifted
    change = jnp.sum(
        linear * (new - x) - log_coefficient * jnp.log(jnp.maximum(new, floor) / lifted), axis=0
    )
    change -= _sum_rows(rows, values * jnp.log(mean / before))
    numerator = _sum_rows(rows, (values / before)[None] * y[:, rows.indices])
    safe = jnp.where(
        linear > 0, (x * numerator + log_coefficient) / jnp.where(linear > 0, linear, 1.0), x
    )
    log_sum = _sum_rows(rows, values * jnp.log(before))
    safe = jnp.concatenate([x[:known], safe[known:]])
    return jnp.where((change <= 0)[None], new, safe), slope, log_sum


def _coordinate(
    x: Array, linear: Array, log_coefficient: Array, first: Array, second: Array
) -> Array:
    """Minimise ``linear w - c log w - A log(w + e)`` with the moments of each row at x."""
    ratio = jnp.where(second > 0, first / jnp.where(second > 0, second, 1.0), 0.0)
    offset = jnp.maximum(ratio - x, 0.0)
    half = 0.5 * (first * ratio + log_coefficient - linear * offset)
    root = jnp.sqrt(half * half + linear * log_coefficient * offset)
    rising = (half + root) / jnp.where(linear > 0, linear, 1.0)
    gap = root - half
    falling = log_coefficient * offset / jnp.where(gap > 0, gap, 1.0)
    return jnp.where(linear > 0, jnp.where(half >= 0, rising, falling), x)


def _product(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return L at the stored cells."""
    of_cell = _row_of_cell(rows)

    def add(k: Array, total: Array) -> Array:
        return total + x[k, of_cell] * y[k, rows.indices]

    total = lax.fori_loop(0, x.shape[0], add, jnp.zeros(rows.indices.shape, x.dtype))
    return jnp.maximum(total, floor)


def _sum_rows(rows: Compressed, cells: Array) -> Array:
    """Sum the last axis, over stored cells, within each row."""
    n_rows = rows.n_rows
    of_cell = _row_of_cell(rows)
    summed = jax.ops.segment_sum(
        jnp.moveaxis(cells, -1, 0), of_cell, n_rows, indices_are_sorted=True
    )
    return jnp.moveaxis(summed, 0, -1)


def _row_of_cell(rows: Compressed) -> Array:
    n_rows = rows.n_rows
    return jnp.repeat(
        jnp.arange(n_rows), jnp.diff(rows.starts), total_repeat_length=rows.indices.shape[0]
    )
