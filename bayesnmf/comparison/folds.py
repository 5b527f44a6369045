"""Folds of a matrix: which cells are held out together."""

from __future__ import annotations

from typing import Literal

import numpy as np

type Scheme = Literal["cells", "rows", "blocks"]


#: Random assignments tried before giving up on one that leaves every row and column a cell.
MAX_ATTEMPTS = 50


def make_folds(
    observed: np.ndarray, n_folds: int, scheme: Scheme, rng: np.random.Generator
) -> np.ndarray:
    """Assign every observed cell to a fold.

    Parameters
    ----------
    observed : ndarray of bool of shape (n_rows, n_columns)
        Cells that there are.
    n_folds : int
        Number of folds; with scheme "blocks", of groups of rows and of groups of columns.
    scheme : {"cells", "rows", "blocks"}
        "cells": single cells, spread evenly over rows and columns. "rows": whole rows. "blocks":
        every group of rows crossed with every group of columns, ``n_folds**2`` folds.
    rng : Generator

    Returns
    -------
    ndarray of int of shape (n_rows, n_columns)
        Fold of each cell, -1 where it is not observed.

    Raises
    ------
    ValueError
        For an unknown scheme, an `n_folds` that is not a whole number from 2 to the number of units, or
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
    if (
        isinstance(n_folds, bool)
        or not isinstance(n_folds, (int, np.integer))
        or not 2 <= n_folds <= limit
    ):
        raise ValueError(
            f"n_folds must be a whole number from 2 to the number of {units}, {limit}, not {n_folds!r}"
        )
    assign = {"cells": _speckled, "rows": _whole_rows, "blocks": _crossed}[scheme]
    for _ in range(MAX_ATTEMPTS):
        folds = np.where(observed, assign(observed, n_folds, rng), -1)
        problem = _left_empty(observed, folds, whole_rows=scheme == "rows")
        if problem is None:
            return folds
    raise ValueError(f"{problem}: use another n_folds or scheme, or drop it")


def split_cells(
    observed: np.ndarray, cells: np.ndarray, n_groups: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split some cells into at most `n_groups` groups that can be held out.

    Cells of one row or column are spread over the groups, which are otherwise of equal size. A
    cell that is the only one of its row or column is in no group.

    Parameters
    ----------
    observed : ndarray of bool of shape (n_rows, n_columns)
    cells : ndarray of bool of shape (n_rows, n_columns)
        Observed cells to split.
    n_groups : int
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
    groups = [np.zeros_like(observed) for _ in range(n_groups)]
    # Cells that each group holds of every row and of every column, and in all.
    of_row, of_column = np.zeros((n_rows, n_groups), int), np.zeros((n_columns, n_groups), int)
    sizes = np.zeros(n_groups, int)
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


def _speckled(observed: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Give each row equal shares of the folds, each to the columns that have least of it so far."""
    folds = np.full(observed.shape, -1)
    taken = np.zeros((observed.shape[1], n_folds))
    for row in rng.permutation(len(observed)):
        free = np.flatnonzero(observed[row])
        order = rng.permutation(n_folds)
        sizes = (len(free) + np.arange(n_folds)) // n_folds  # they differ by one at most
        for fold, size in zip(order, sizes, strict=True):
            # Excess over the other folds, so that a column's last choice is not forced upon it.
            excess = taken[free, fold] - taken[free].mean(axis=1) + rng.random(len(free))
            chosen = free[np.argsort(excess)[:size]]
            folds[row, chosen] = fold
            taken[chosen, fold] += 1
            free = free[folds[row, free] < 0]
    return folds


def _whole_rows(observed: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(_random_groups(len(observed), n_folds, rng)[:, None], observed.shape)


def _crossed(observed: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    rows, columns = (_random_groups(size, n_folds, rng) for size in observed.shape)
    return rows[:, None] * n_folds + columns[None, :]


def _random_groups(size: int, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.arange(size) % n_folds)


def _left_empty(observed: np.ndarray, folds: np.ndarray, *, whole_rows: bool) -> str | None:
    """Say which row or column a fold leaves without an observed cell."""
    for axis, word in ((1, "row"), (0, "column")):
        if word == "row" and whole_rows:
            continue
        low = np.where(observed, folds, folds.max() + 1).min(axis=axis)
        single = np.flatnonzero(low == folds.max(axis=axis))
        if single.size:
            return f"every observed cell of {word} {single[0]} would be held out at once"
    return None
