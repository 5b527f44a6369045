"""Folds are balanced, and leave observed cells in every row and column."""

from __future__ import annotations

import numpy as np
import pytest

from bayesnmf.comparison.folds import make_folds, split_cells


def rng():
    return np.random.default_rng(3)


def speckled(shape, share=0.7):
    observed = np.random.default_rng(1).random(shape) < share
    np.fill_diagonal(observed, True)
    observed[:, :2] = True
    observed[:2] = True
    return observed


@pytest.mark.parametrize("shape", [(6, 5), (21, 96), (40, 7)])
@pytest.mark.parametrize("k", [2, 5])
def test_single_cells_are_balanced_over_rows_and_columns(shape, k):
    for observed in (np.ones(shape, bool), speckled(shape)):
        folds = make_folds(observed, k, "cells", rng())
        assert ((folds >= 0) == observed).all()
        held = np.stack([folds == fold for fold in range(k)])
        in_rows, in_columns = held.sum(axis=2), held.sum(axis=1)
        assert (np.ptp(in_rows, axis=0) <= 1).all()
        assert (np.ptp(in_columns, axis=0) <= 3).all()
        assert (in_columns.max(axis=0) < observed.sum(axis=0)).all()


def test_rows_are_held_out_whole():
    observed = speckled((11, 6))
    folds = make_folds(observed, 4, "rows", rng())
    assert ((folds >= 0) == observed).all()
    of_row = folds.max(axis=1)
    assert np.array_equal(folds, np.where(observed, of_row[:, None], -1))
    assert sorted(np.bincount(of_row)) == [2, 3, 3, 3]


def test_blocks_are_groups_of_rows_crossed_with_groups_of_columns():
    folds = make_folds(np.ones((7, 8), bool), 3, "blocks", rng())
    assert sorted(np.unique(folds)) == list(range(9))
    for fold in range(9):
        held = folds == fold
        assert held.sum() == held.any(axis=1).sum() * held.any(axis=0).sum()
        assert 2 <= held.any(axis=1).sum() <= 3


def test_seeds_decide():
    observed = np.ones((9, 8), bool)
    first = make_folds(observed, 3, "cells", np.random.default_rng(0))
    np.testing.assert_array_equal(first, make_folds(observed, 3, "cells", np.random.default_rng(0)))
    assert (first != make_folds(observed, 3, "cells", np.random.default_rng(1))).any()


@pytest.mark.parametrize("scheme", ["cells", "blocks"])
def test_a_row_with_one_cell_cannot_lose_it(scheme):
    observed = np.ones((6, 5), bool)
    observed[4, 1:] = False
    with pytest.raises(ValueError, match="every observed cell of row 4 would be held out at once"):
        make_folds(observed, 2, scheme, rng())


def test_a_column_with_one_cell_cannot_lose_its_row():
    observed = np.ones((6, 5), bool)
    observed[1:, 2] = False
    with pytest.raises(ValueError, match="every observed cell of column 2 would be held out"):
        make_folds(observed, 3, "rows", rng())


@pytest.mark.parametrize(
    ("k", "scheme", "limit"),
    [
        (1, "cells", 30),
        (31, "cells", 30),
        (7, "rows", 6),
        (6, "blocks", 5),
        (2.0, "rows", 6),
        (True, "rows", 6),
    ],
)
def test_numbers_of_folds_that_cannot_be(k, scheme, limit):
    with pytest.raises(
        ValueError, match=rf"n_folds must be a whole number from 2 to .*, {limit}, not"
    ):
        make_folds(np.ones((6, 5), bool), k, scheme, rng())


def test_an_unknown_scheme_is_named():
    with pytest.raises(ValueError, match="unknown scheme 'cell'; valid: cells, rows, blocks"):
        make_folds(np.ones((6, 5), bool), 2, "cell", rng())


def test_some_cells_are_split_without_emptying_a_row():
    observed = np.ones((4, 6), bool)
    observed[3, 2:] = False
    cells = np.zeros_like(observed)
    cells[0], cells[3] = True, observed[3]
    groups = split_cells(observed, cells, 3, rng())
    assert np.array_equal(np.sum(groups, axis=0), cells)
    assert sorted(int(group.sum()) for group in groups) == [2, 3, 3]
    for group in groups:
        left = observed & ~group
        assert left.any(axis=0).all()
        assert left.any(axis=1).all()


def test_a_cell_alone_in_its_row_is_in_no_group():
    observed = np.ones((3, 3), bool)
    observed[1, 1:] = False
    (group,) = split_cells(observed, np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]], bool), 2, rng())
    assert np.argwhere(group).tolist() == [[0, 0]]
