"""Folds of a matrix: which cells are held out together."""

from __future__ import annotations

from typing import Literal

import numpy as np

type Scheme = Literal["cells", "rows", "blocks"]


#: Random assignments tried before giving up on one that leaves every row and column a cell.
MAX_ATTEMPTS = 50


def make_folds(
    observed: np.ndarray, k: int, scheme: Scheme, rng: np.random.Generator
) -> np.ndarray:
    """Assign every observed cell to a fold.

    Parameters
    ----------
    observed : ndarray of bool of shape (n_rows, n_columns)
        Cells that there are.
    k : int
        Number of folds; with scheme "blocks", of groups of rows and of groups of columns.
    scheme : {"cells", "rows", "blocks"}
        "cells": single cells, spread evenly over rows and columns. "rows": whole rows. "blocks":
        every group of rows crossed with every group of columns, ``k**2`` folds.
    rng : Generator

    Returns
    -------
    ndarray of int of shape (n_rows, n_columns)
        Fold of each cell, -1 where it is not observed.

    Raises
    ------
    ValueError
        For an unknown scheme, a `k` that is not a whole number from 2 to the number of units, or
        a row or column without a cell outside some fold; the message names it.

    Examples
    --------
    >>> folds = make_folds(np.ones((4, 6), bool), 2, "cells", np.random.default_rng(0))
    >>> (folds == 0).sum(axis=0).tolist(), (folds == 0).sum(axis=1).tolist()
    ([2, 2, 2, 2, 2, 2], [3, 3, 3, 3])
    """
    if scheme not in ("cells", "rows", "blocks"):
        raise ValueError(f"unknown scheme {scheme!r}; valid: cells, rows, blocks")
    limit, units = {
        "cells": (int(observed.sum()), "observed cells"),
        "rows": (len(observed), "rows"),
        "blocks": (min(observed.shape), "rows or columns"),
    }[scheme]
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 2 <= k <= limit:
        raise ValueError(
            f"k must be a whole number from 2 to the number of {units}, {limit}, not {k!r}"
        )
    assign = {"cells": _cells, "rows": _rows, "blocks": _blocks}[scheme]
    for _ in range(MAX_ATTEMPTS):
        folds = np.where(observed, assign(observed, k, rng), -1)
        problem = _deprived(observed, folds, whole_rows=scheme == "rows")
        if problem is None:
            return folds
    raise ValueError(f"{problem}: use another k or scheme, or drop it")


def split_cells(
    observed: np.ndarray, cells: np.ndarray, k: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split some cells into at most `k` groups that can be held out.

    Cells of one row or column are spread over the groups, which are otherwise of equal size. A
    cell that is the only one of its row or column is in no group.

    Parameters
    ----------
    observed : ndarray of bool of shape (n_rows, n_columns)
    cells : ndarray of bool of shape (n_rows, n_columns)
        Observed cells to split.
    k : int
    rng : Generator

    Returns
    -------
    list of ndarray of bool of shape (n_rows, n_columns)

    Examples
    --------
    >>> observed, cells = np.ones((3, 3), bool), np.eye(3, dtype=bool)
    >>> groups = split_cells(observed, cells, 2, np.random.default_rng(0))
    >>> [int(group.sum()) for group in groups]
    [2, 1]
    """
    n_rows, n_columns = observed.shape
    groups = [np.zeros_like(observed) for _ in range(k)]
    # Cells that each group holds of every row and of every column, and in all.
    of_row, of_column = np.zeros((n_rows, k), int), np.zeros((n_columns, k), int)
    sizes = np.zeros(k, int)
    in_row, in_column = observed.sum(axis=1), observed.sum(axis=0)
    for row, column in rng.permutation(np.argwhere(cells)):
        for g in np.lexsort((sizes, of_row[row] + of_column[column])):
            if of_row[row, g] + 1 < in_row[row] and of_column[column, g] + 1 < in_column[column]:
                groups[g][row, column] = True
                of_row[row, g] += 1
                of_column[column, g] += 1
                sizes[g] += 1
                break
    return [group for group in groups if group.any()]


def _cells(observed: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Give each row equal shares of the folds, each to the columns that have least of it so far."""
    folds = np.full(observed.shape, -1)
    taken = np.zeros((observed.shape[1], k))
    for row in rng.permutation(len(observed)):
        free = np.flatnonzero(observed[row])
        order = rng.permutation(k)
        sizes = (len(free) + np.arange(k)) // k  # they differ by one at most
        for fold, size in zip(order, sizes, strict=True):
            # Excess over the other folds, so that a column's last choice is not forced upon it.
            excess = taken[free, fold] - taken[free].mean(axis=1) + rng.random(len(free))
            chosen = free[np.argsort(excess)[:size]]
            folds[row, chosen] = fold
            taken[chosen, fold] += 1
            free = free[folds[row, free] < 0]
    return folds


def _rows(observed: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(_groups(len(observed), k, rng)[:, None], observed.shape)


def _blocks(observed: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    rows, columns = (_groups(size, k, rng) for size in observed.shape)
    return rows[:, None] * k + columns[None, :]


def _groups(size: int, k: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.arange(size) % k)


def _deprived(observed: np.ndarray, folds: np.ndarray, *, whole_rows: bool) -> str | None:
    """Say which row or column a fold leaves without an observed cell."""
    for axis, word in ((1, "row"), (0, "column")):
        if word == "row" and whole_rows:
            continue
        low = np.where(observed, folds, folds.max() + 1).min(axis=axis)
        single = np.flatnonzero(low == folds.max(axis=axis))
        if single.size:
            return f"every observed cell of {word} {single[0]} would be held out at once"
    return None
