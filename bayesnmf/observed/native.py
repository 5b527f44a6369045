"""Sparse operations on CPUs: one row at a time in cache, rows shared out over threads.

Factors are row-major here, ``x`` of shape (n_rows, n_components) and ``y`` of shape
(n_columns, n_components), so that what one stored cell needs lies together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from bayesnmf.observed import row_loops

#: Pieces of work a thread, so that an unlucky one does not hold up the rest.
PIECES = 4


#: Stored cells below which handing work to other threads takes longer than the work.
FEW = 2_000


#: Pieces whose sums are added up at the end: whatever the number of threads, in the same order.
PARTS = 8


type Array = np.ndarray[Any, Any]


def contract_values(values: Any, indices: Any, starts: Any, y: Any) -> Array:
    """Return ``sum_j values_ij y_kj``, component first."""
    y = _row_major(y)
    out = np.zeros((len(starts) - 1, y.shape[1]), y.dtype)
    _share(row_loops.values_rows, (starts, values, indices), (y, out))
    return out.T


def contract_ratio(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j (v_ij / L_ij) y_kj``, component first."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros_like(x)
    _share(row_loops.ratio_rows, (starts, values, indices), (x, y, float(floor), out))
    return out.T


def contract_ratio_both(
    values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any
) -> tuple[Array, Array]:
    """Return ``sum_j (v_ij / L_ij) y_kj`` and ``sum_i (v_ij / L_ij) x_ki``, component first."""
    x, y = _row_major(x), _row_major(y)
    out, cuts = np.zeros_like(x), _cuts(starts, PARTS)
    parts = np.zeros((len(cuts) - 1, *y.shape), y.dtype)
    rows = (starts, values, indices)
    _share(row_loops.both_rows, rows, (x, y, float(floor), out), cuts, parts)
    return out.T, parts.sum(axis=0).T


def share_products(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j v_ij s_ijk s_ijl`` of shares ``s_ijk = x_ki y_kj / L_ij``, pairs first."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros((len(x), x.shape[1] * (x.shape[1] + 1) // 2), x.dtype)
    _share(row_loops.share_rows, (starts, values, indices), (x, y, float(floor), out))
    return out.T


def sum_log(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j v_ij log L_ij`` of every row."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros(len(x), x.dtype)
    _share(row_loops.log_rows, (starts, values, indices), (x, y, float(floor), out))
    return out


def sweep(
    values: Any,
    indices: Any,
    starts: Any,
    x: Any,
    y: Any,
    linear: Any,
    log_coefficient: Any,
    floor: Any,
    known: Any,
) -> tuple[Array, Array, Array]:
    """Do one sweep of coordinate descent on every row; see :func:`bayesnmf.observed.sparse_ops.sweep`."""
    x, y, linear = _row_major(x), _row_major(y), _row_major(linear)
    out, slope, total = np.empty_like(x), np.empty_like(x), np.zeros(len(x), x.dtype)
    coefficient = np.broadcast_to(np.asarray(log_coefficient, x.dtype), x.T.shape).T
    penalty = (linear, coefficient, int(known))
    arguments = (x, y, penalty, float(floor), (out, slope, total))
    _share(row_loops.sweep_rows, (starts, values, indices), arguments)
    return out.T, slope.T, total


def _row_major(x: Any) -> Array:
    return np.ascontiguousarray(np.asarray(x).T)


def _cuts(starts: Any, number: int) -> Array:
    """Return the ends of pieces of rows with equally many stored cells."""
    starts = np.asarray(starts)
    wanted = np.linspace(0, starts[-1], number + 1)[1:-1]
    return np.unique([0, *np.searchsorted(starts, wanted), len(starts) - 1])


def _share(
    loop: Callable[..., None],
    rows: tuple[Any, Any, Any],
    arguments: tuple[Any, ...],
    cuts: Array | None = None,
    outs: Array | None = None,
) -> None:
    """Run a loop over all rows in pieces, each with its own last argument where `outs` has one."""
    starts, values, indices = (np.asarray(part) for part in rows)
    pool, n_threads = _threads()
    few = starts[-1] < FEW
    if cuts is None:
        cuts = np.array([0, len(starts) - 1]) if few else _cuts(starts, PIECES * n_threads)
    calls = [
        (*ends, (starts, values, indices), *arguments, *(() if outs is None else (outs[i],)))
        for i, ends in enumerate(pairwise(cuts))
    ]
    if few:
        for call in calls:
            loop(*call)
        return
    pieces = [pool.submit(loop, *call) for call in calls]
    for piece in pieces:
        piece.result()


@cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
    n_threads = numba.config.NUMBA_NUM_THREADS
    return ThreadPoolExecutor(n_threads, thread_name_prefix="bayesnmf"), n_threads
