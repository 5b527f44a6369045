"""Functions that XLA calls: each takes its arrays out of the call, and loops over pieces of rows.

Factors are row-major, ``x`` of shape (n_rows, n_components) and ``y`` of shape (n_columns,
n_components), so that what one stored cell needs lies together. Every name here makes a function
for types of numbers: of the factors, and of starts, indices and values. Arguments and results are
in the order in which :mod:`bayesnmf.observed.native` gives them. Only who has taken a piece may look
into them: a thread that comes late finds memory that XLA has given back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from bayesnmf.observed.call_frame import own_address, pointer_to
from bayesnmf.observed.row_loops import (
    both_rows,
    change_rows,
    log_rows,
    ratio_rows,
    share_rows,
    sweep_rows,
    values_rows,
)
from bayesnmf.observed.work import begin, buffer, pieces

#: Parts of a sum over rows, added up in the same order whatever the number of threads.
PARTS = 8


type Handler = Callable[[int], int]


def contract_values(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.contract_values`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        y, out = _table(work, 3, factor), _table(work, 4, factor)
        for _, first, last in pieces(work, rows[0]):
            values_rows(first, last, rows, y, out)
        return 0

    return handle


def contract_ratio(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.contract_ratio`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        out = _table(work, 6, factor)
        for _, first, last in pieces(work, rows[0]):
            ratio_rows(first, last, rows, x, y, floor[0], out)
        return 0

    return handle


def contract_ratio_both(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.contract_ratio_both`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), PARTS, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        out, parts = _table(work, 6, factor), _table(work, 7, factor)
        n = len(y)
        for part, first, last in pieces(work, rows[0]):
            both_rows(first, last, rows, x, y, floor[0], out, parts[part * n : (part + 1) * n])
        return 0

    return handle


def contract_change(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.contract_change`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        step, out = _table(work, 6, factor), _table(work, 7, factor)
        for _, first, last in pieces(work, rows[0]):
            change_rows(first, last, rows, x, y, step, floor[0], out)
        return 0

    return handle


def share_products(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.share_products`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        out = _table(work, 6, factor)
        for _, first, last in pieces(work, rows[0]):
            share_rows(first, last, rows, x, y, floor[0], out)
        return 0

    return handle


def sum_log(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.sum_log`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        out = _line(work, 6, factor)
        for _, first, last in pieces(work, rows[0]):
            log_rows(first, last, rows, x, y, floor[0], out)
        return 0

    return handle


def sweep(factor: Any, kinds: Any, stamp: str) -> Handler:
    """Make the function of :func:`bayesnmf.observed.sparse_ops.sweep`."""
    start, index, value = kinds

    def handle(pointer):  # type: ignore[no-untyped-def]
        work = begin(pointer, own_address(), 0, stamp)
        if work == 0:
            return 0
        rows = _line(work, 0, start), _line(work, 1, index), _line(work, 2, value)
        x, y, floor = _table(work, 3, factor), _table(work, 4, factor), _line(work, 5, factor)
        linear, coefficient = _table(work, 6, factor), _table(work, 7, factor)
        known = _line(work, 8, numba.int32)
        outs = _table(work, 9, factor), _table(work, 10, factor), _line(work, 11, factor)
        for _, first, last in pieces(work, rows[0]):
            penalty = linear, coefficient, known[0]
            sweep_rows(first, last, rows, x, y, penalty, floor[0], outs)
        return 0

    return handle


@numba.njit
def _line(work, i, kind):  # type: ignore[no-untyped-def]
    """Return an array of one axis, or a number as one of length 1."""
    address, n, _ = buffer(work, i)
    return numba.carray(pointer_to(address), (n,), kind)


@numba.njit
def _table(work, i, kind):  # type: ignore[no-untyped-def]
    """Return an array of two axes, which lies in memory the last axis first."""
    address, n_rows, n_columns = buffer(work, i)
    return numba.carray(pointer_to(address), (n_rows, n_columns), kind)
