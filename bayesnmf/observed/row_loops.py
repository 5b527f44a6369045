"""Loops over rows of stored cells, compiled for CPUs: each works through its rows one at a time.

All take the first row and one past the last, and ``rows``, the triple (starts, indices, values) of
compressed rows. Factors are row-major, as in :mod:`bayesnmf.observed.native`. What they compute
is written into their last arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

#: Sums may be reordered, which lets them be vectorised; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop that lets go of the interpreter, and keep its machine code on disk."""
    compile_: Any = numba.njit(fastmath=FAST, error_model="numpy")
    loop: Callable[..., Any] = compile_(function)
    return loop


@compiled
def values_rows(first, last, rows, y, out):  # type: ignore[no-untyped-def]
    """Add ``sum_j v_ij y_j`` to each row of `out`."""
    starts, indices, values = rows
    for i in range(first, last):
        total = out[i]
        total[:] = 0.0
        for j in range(starts[i], starts[i + 1]):
            other, value = y[indices[j]], values[j]
            for k in range(len(total)):
                total[k] += value * other[k]


@compiled
def ratio_rows(first, last, rows, x, y, floor, out):  # type: ignore[no-untyped-def]
    """Add ``sum_j (v_ij / L_ij) y_j`` to each row of `out`."""
    starts, indices, values = rows
    n_components = x.shape[1]
    for i in range(first, last):
        mine, total = x[i], out[i]
        total[:] = 0.0
        for j in range(starts[i], starts[i + 1]):
            other, mean = y[indices[j]], 0.0
            for k in range(n_components):
                mean += mine[k] * other[k]
            ratio = values[j] / max(mean, floor)
            for k in range(n_components):
                total[k] += ratio * other[k]


@compiled
def both_rows(  # type: ignore[no-untyped-def]
    first, last, rows, x, y, floor, out, other_out
):
    """Do as :func:`ratio_rows`, and add ``(v_ij / L_ij) x_i`` to row j of `other_out`."""
    starts, indices, values = rows
    n_components = x.shape[1]
    other_out[:] = 0.0
    for i in range(first, last):
        mine, total = x[i], out[i]
        total[:] = 0.0
        for j in range(starts[i], starts[i + 1]):
            other, other_total, mean = y[indices[j]], other_out[indices[j]], 0.0
            for k in range(n_components):
                mean += mine[k] * other[k]
            ratio = values[j] / max(mean, floor)
            for k in range(n_components):
                total[k] += ratio * other[k]
                other_total[k] += ratio * mine[k]


@compiled
def change_rows(first, last, rows, x, y, step, floor, out):  # type: ignore[no-untyped-def]
    """Add ``sum_j (v_ij D_ij / L_ij**2) y_j``, with D the product of x and `step`, to each row of `out`."""
    starts, indices, values = rows
    n_components = x.shape[1]
    for i in range(first, last):
        mine, total = x[i], out[i]
        total[:] = 0.0
        for j in range(starts[i], starts[i + 1]):
            other, moved, mean, change = y[indices[j]], step[indices[j]], 0.0, 0.0
            for k in range(n_components):
                mean += mine[k] * other[k]
                change += mine[k] * moved[k]
            mean = max(mean, floor)
            ratio = values[j] / mean * (change / mean)
            for k in range(n_components):
                total[k] += ratio * other[k]


@compiled
def share_rows(first, last, rows, x, y, floor, out):  # type: ignore[no-untyped-def]
    """Add ``sum_j v_ij s_ijk s_ijl`` of shares ``s_ijk = x_ik y_jk / L_ij`` to each row of `out`."""
    starts, indices, values = rows
    n_components = x.shape[1]
    share = np.empty(n_components)
    for i in range(first, last):
        mine, total = x[i], out[i]
        total[:] = 0.0
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
def log_rows(first, last, rows, x, y, floor, out):  # type: ignore[no-untyped-def]
    """Write ``sum_j v_ij log L_ij`` of each row into `out`."""
    starts, indices, values = rows
    for i in range(first, last):
        mine, total = x[i], 0.0
        for j in range(starts[i], starts[i + 1]):
            other, mean = y[indices[j]], 0.0
            for k in range(len(mine)):
                mean += mine[k] * other[k]
            total += values[j] * math.log(max(mean, floor))
        out[i] = total


@compiled
def sweep_rows(  # type: ignore[no-untyped-def]
    first, last, rows, x, y, penalty, floor, outs
):
    """Do one sweep of coordinate descent on each row; see :func:`bayesnmf.observed.sparse_ops.sweep`."""
    starts, (linear, log_coefficient, known), (out, slope, total) = rows[0], penalty, outs
    log_coefficient = np.broadcast_to(log_coefficient, x.shape)
    n_components, longest = x.shape[1], 0
    for i in range(first, last):
        longest = max(longest, starts[i + 1] - starts[i])
    block = np.empty((n_components, longest))
    mean, before, counts = np.empty(longest), np.empty(longest), np.empty(longest)
    for i in range(first, last):
        size = _gather(rows, i, y, counts, block)
        total[i] = _row_mean(x[i], block, counts[:size], floor, mean, before)
        for k in range(known):
            out[i, k], slope[i, k] = x[i, k], 0.0
        for k in range(known, n_components):
            part, entry = block[k], x[i, k]
            first_moment, second_moment = 0.0, 0.0
            for j in range(size):
                share = part[j] / mean[j]
                first_moment += counts[j] * share
                second_moment += counts[j] * share * share
            slope[i, k] = linear[i, k] - first_moment - log_coefficient[i, k] / max(entry, floor)
            out[i, k] = _coordinate(
                entry, linear[i, k], log_coefficient[i, k], first_moment, second_moment
            )
            change = out[i, k] - entry
            for j in range(size):
                # Relative to where it began, so that cancellation leaves nothing negative.
                mean[j] = max(mean[j] + change * part[j], 1e-14 * before[j])
        if not _downhill(
            x[i], out[i], linear[i], log_coefficient[i], counts[:size], mean, before, floor
        ):
            _multiplicative_row(
                x[i], out[i], linear[i], log_coefficient[i], known, counts[:size], before, block
            )


@compiled
def _gather(rows, i, y, counts, block):  # type: ignore[no-untyped-def]
    """Copy the stored cells of row i and their columns of y; return how many there are."""
    starts, indices, values = rows
    start, size = starts[i], starts[i + 1] - starts[i]
    for j in range(size):
        counts[j] = values[start + j]
        for k in range(len(block)):
            block[k, j] = y[indices[start + j], k]
    return size


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
    """Minimise ``linear w - log_coefficient log w - A log(w + e)``, which has the moments of the row at x."""
    if linear <= 0.0:
        return x
    moment, offset = 0.0, 0.0
    if second > 0.0:
        moment = first * (first / second)
        offset = max(first / second - x, 0.0)
    half = 0.5 * (moment + log_coefficient - linear * offset)
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
        if log_coefficient[k] > 0.0:
            slope -= log_coefficient[k] * change / max(new[k], floor)
            value -= log_coefficient[k] * math.log(max(new[k], floor) / max(x[k], floor))
    for j in range(len(counts)):
        slope -= counts[j] * (mean[j] - before[j]) / mean[j]
    if slope <= 0.0:  # convex: still falling at the end of the step, so lower than at its start
        return True
    for j in range(len(counts)):
        value -= counts[j] * math.log(mean[j] / before[j])
    return value <= 0.0


@compiled
def _multiplicative_row(x, new, linear, log_coefficient, known, counts, before, block):  # type: ignore[no-untyped-def]
    for k in range(known, len(x)):
        numerator = 0.0
        for j in range(len(counts)):
            numerator += counts[j] / before[j] * block[k, j]
        pull = x[k] * numerator + log_coefficient[k]
        new[k] = pull / linear[k] if linear[k] > 0.0 else x[k]
