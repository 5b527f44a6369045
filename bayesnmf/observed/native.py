"""Sparse kernels for CPUs: one row at a time in cache, rows shared out over threads.

Factors are row-major here, ``x`` of shape (n_rows, n_components) and ``y`` of shape
(n_columns, n_components), so that what one stored cell needs lies together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np

#: Pieces of work a thread, so that an unlucky one does not hold up the rest.
PIECES = 4


#: Stored cells below which handing work to other threads takes longer than the work.
FEW = 2_000


#: Pieces whose sums are added up at the end: whatever the number of threads, in the same order.
PARTS = 8


#: Sums may be reordered, which lets them be vectorised; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}


type Array = np.ndarray[Any, Any]


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel that lets go of the interpreter, and keep its machine code on disk."""
    compile_: Any = numba.njit(nogil=True, cache=True, fastmath=FAST)
    return compile_(function)


def contract_values(values: Any, indices: Any, starts: Any, y: Any) -> Array:
    """Return ``sum_j values_ij y_kj``, component first."""
    y = _row_major(y)
    out = np.zeros((len(starts) - 1, y.shape[1]), y.dtype)
    _share(_values_rows, starts, (values, indices, y, out))
    return out.T


def contract_ratio(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j (v_ij / L_ij) y_kj``, component first."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros_like(x)
    _share(_ratio_rows, starts, (values, indices, x, y, float(floor), out))
    return out.T


def contract_ratio_both(
    values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any
) -> tuple[Array, Array]:
    """Return ``sum_j (v_ij / L_ij) y_kj`` and ``sum_i (v_ij / L_ij) x_ki``, component first."""
    x, y = _row_major(x), _row_major(y)
    out, cuts = np.zeros_like(x), _cuts(starts, PARTS)
    parts = np.zeros((len(cuts) - 1, *y.shape), y.dtype)
    _share(_both_rows, starts, (values, indices, x, y, float(floor), out), cuts, parts)
    return out.T, parts.sum(axis=0).T


def share_products(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j v_ij s_ijk s_ijl`` of shares ``s_ijk = x_ki y_kj / L_ij``, pairs first."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros((len(x), x.shape[1] * (x.shape[1] + 1) // 2), x.dtype)
    _share(_share_rows, starts, (values, indices, x, y, float(floor), out))
    return out.T


def sum_log(values: Any, indices: Any, starts: Any, x: Any, y: Any, floor: Any) -> Array:
    """Return ``sum_j v_ij log L_ij`` of every row."""
    x, y = _row_major(x), _row_major(y)
    out = np.zeros(len(x), x.dtype)
    _share(_log_rows, starts, (values, indices, x, y, float(floor), out))
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
) -> tuple[Array, Array, Array]:
    """Do one sweep of coordinate descent on every row; see :func:`bayesnmf.observed.sparse_ops.sweep`."""
    x, y, linear = _row_major(x), _row_major(y), _row_major(linear)
    out, slope, kernel = np.empty_like(x), np.empty_like(x), np.zeros(len(x), x.dtype)
    arguments = (
        values,
        indices,
        x,
        y,
        linear,
        float(log_coefficient),
        float(floor),
        out,
        slope,
        kernel,
    )
    _share(_sweep_rows, starts, arguments)
    return out.T, slope.T, kernel


@compiled
def _values_rows(first, last, starts, values, indices, y, out):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        total = out[i]
        for j in range(starts[i], starts[i + 1]):
            other, value = y[indices[j]], values[j]
            for k in range(len(total)):
                total[k] += value * other[k]


@compiled
def _ratio_rows(first, last, starts, values, indices, x, y, floor, out):  # type: ignore[no-untyped-def]
    n_components = x.shape[1]
    for i in range(first, last):
        mine, total = x[i], out[i]
        for j in range(starts[i], starts[i + 1]):
            other, mean = y[indices[j]], 0.0
            for k in range(n_components):
                mean += mine[k] * other[k]
            ratio = values[j] / max(mean, floor)
            for k in range(n_components):
                total[k] += ratio * other[k]


@compiled
def _both_rows(  # type: ignore[no-untyped-def]
    first, last, starts, values, indices, x, y, floor, out, other_out
):
    n_components = x.shape[1]
    for i in range(first, last):
        mine, total = x[i], out[i]
        for j in range(starts[i], starts[i + 1]):
            other, other_total, mean = y[indices[j]], other_out[indices[j]], 0.0
            for k in range(n_components):
                mean += mine[k] * other[k]
            ratio = values[j] / max(mean, floor)
            for k in range(n_components):
                total[k] += ratio * other[k]
                other_total[k] += ratio * mine[k]


@compiled
def _share_rows(first, last, starts, values, indices, x, y, floor, out):  # type: ignore[no-untyped-def]
    n_components = x.shape[1]
    share = np.empty(n_components)
    for i in range(first, last):
        mine, total = x[i], out[i]
        for j in range(starts[i], starts[i + 1]):
            other, mean = y[indices[j]], 0.0
            for k in range(n_components):
                share[k] = mine[k] * other[k]
                mean += share[k]
            mean = max(mean, floor)
            place = 0
            for k in range(n_components):
                share[k] /= mean
                scaled = values[j] * share[k]
                for l in range(k + 1):  # noqa: E741
                    total[place] += scaled * share[l]
                    place += 1


@compiled
def _log_rows(first, last, starts, values, indices, x, y, floor, out):  # type: ignore[no-untyped-def]
    for i in range(first, last):
        mine, total = x[i], 0.0
        for j in range(starts[i], starts[i + 1]):
            other, mean = y[indices[j]], 0.0
            for k in range(len(mine)):
                mean += mine[k] * other[k]
            total += values[j] * math.log(max(mean, floor))
        out[i] = total


@compiled
def _sweep_rows(  # type: ignore[no-untyped-def]
    first, last, starts, values, indices, x, y, linear, log_coefficient, floor, out, slope, kernel
):
    n_components, longest = x.shape[1], 0
    for i in range(first, last):
        longest = max(longest, starts[i + 1] - starts[i])
    block = np.empty((n_components, longest))
    mean, before, counts = np.empty(longest), np.empty(longest), np.empty(longest)
    for i in range(first, last):
        start, size = starts[i], starts[i + 1] - starts[i]
        for j in range(size):
            counts[j] = values[start + j]
            for k in range(n_components):
                block[k, j] = y[indices[start + j], k]
        kernel[i] = _row_mean(x[i], block, counts[:size], floor, mean, before)
        for k in range(n_components):
            part, entry = block[k], x[i, k]
            first_moment, second_moment = 0.0, 0.0
            for j in range(size):
                share = part[j] / mean[j]
                first_moment += counts[j] * share
                second_moment += counts[j] * share * share
            slope[i, k] = linear[i, k] - first_moment - log_coefficient / max(entry, floor)
            out[i, k] = _coordinate(
                entry, linear[i, k], log_coefficient, first_moment, second_moment
            )
            change = out[i, k] - entry
            for j in range(size):
                # Relative to where it began, so that cancellation leaves nothing negative.
                mean[j] = max(mean[j] + change * part[j], 1e-14 * before[j])
        if not _downhill(
            x[i], out[i], linear[i], log_coefficient, counts[:size], mean, before, floor
        ):
            _multiplicative_row(
                x[i], out[i], linear[i], log_coefficient, counts[:size], before, block
            )


@compiled
def _row_mean(x, block, counts, floor, mean, before):  # type: ignore[no-untyped-def]
    """Fill in the means of a row's stored cells, and return the sum of counts times their logs."""
    for j in range(len(counts)):
        mean[j] = 0.0
    for k in range(len(x)):
        part, entry = block[k], x[k]
        for j in range(len(counts)):
            mean[j] += entry * part[j]
    total = 0.0
    for j in range(len(counts)):
        mean[j] = max(mean[j], floor)
        before[j] = mean[j]
        total += counts[j] * math.log(mean[j])
    return total


@compiled
def _coordinate(x, linear, log_coefficient, first, second):  # type: ignore[no-untyped-def]
    """Minimise ``linear w - pull log w - A log(w + e)``, which has the moments of the row at x."""
    if linear <= 0.0:
        return x
    weight, offset = 0.0, 0.0
    if second > 0.0:
        weight = first * (first / second)
        offset = max(first / second - x, 0.0)
    half = 0.5 * (weight + log_coefficient - linear * offset)
    if log_coefficient == 0.0:
        return max(2.0 * half, 0.0) / linear
    root = math.sqrt(half * half + linear * log_coefficient * offset)
    if half >= 0.0:
        return (half + root) / linear
    return log_coefficient * offset / (root - half)


@compiled
def _downhill(x, new, linear, log_coefficient, counts, mean, before, floor):  # type: ignore[no-untyped-def]
    """Return whether the row's objective has not risen; mostly one derivative tells."""
    slope, value = 0.0, 0.0
    for k in range(len(x)):
        change = new[k] - x[k]
        slope += linear[k] * change
        value += linear[k] * change
        if log_coefficient > 0.0:
            slope -= log_coefficient * change / max(new[k], floor)
            value -= log_coefficient * math.log(max(new[k], floor) / max(x[k], floor))
    for j in range(len(counts)):
        slope -= counts[j] * (mean[j] - before[j]) / mean[j]
    if slope <= 0.0:  # convex: still falling at the end of the step, so lower than at its start
        return True
    for j in range(len(counts)):
        value -= counts[j] * math.log(mean[j] / before[j])
    return value <= 0.0


@compiled
def _multiplicative_row(x, new, linear, log_coefficient, counts, before, block):  # type: ignore[no-untyped-def]
    for k in range(len(x)):
        numerator = 0.0
        for j in range(len(counts)):
            numerator += counts[j] / before[j] * block[k, j]
        new[k] = (x[k] * numerator + log_coefficient) / linear[k] if linear[k] > 0.0 else x[k]


def _row_major(x: Any) -> Array:
    return np.ascontiguousarray(np.asarray(x).T)


def _cuts(starts: Any, number: int) -> Array:
    """Return the ends of pieces of rows with equally many stored cells."""
    starts = np.asarray(starts)
    wanted = np.linspace(0, starts[-1], number + 1)[1:-1]
    return np.unique([0, *np.searchsorted(starts, wanted), len(starts) - 1])


def _share(
    kernel: Callable[..., None],
    starts: Any,
    arguments: tuple[Any, ...],
    cuts: Array | None = None,
    outs: Array | None = None,
) -> None:
    """Run a kernel over all rows in pieces, each with its own last argument where `outs` has one."""
    starts = np.asarray(starts)
    arguments = tuple(np.asarray(a) if np.ndim(a) else a for a in arguments)
    pool, n_threads = _threads()
    few = starts[-1] < FEW
    if cuts is None:
        cuts = np.array([0, len(starts) - 1]) if few else _cuts(starts, PIECES * n_threads)
    calls = [
        (*ends, starts, *arguments, *(() if outs is None else (outs[i],)))
        for i, ends in enumerate(pairwise(cuts))
    ]
    if few:
        for call in calls:
            kernel(*call)
        return
    pieces = [pool.submit(kernel, *call) for call in calls]
    for piece in pieces:
        piece.result()


@cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
    n_threads = numba.config.NUMBA_NUM_THREADS
    return ThreadPoolExecutor(n_threads, thread_name_prefix="bayesnmf"), n_threads
