"""Both storages have one interface, and give the same answers."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from bayesnmf.data import Matrix, SparseMatrix, Storage
from bayesnmf.data.blocks import CellBlocks

V = np.array([[6.0, 0, 1, 0], [0, 2, 0, 3], [4, 0, 2, 0], [0, 0, 0, 5], [3, 1, 0, 0]])
HELD = np.zeros(V.shape, bool)
HELD[[0, 0, 3], [1, 2, 3]] = True  # a zero and two counts
TRUTH = np.where(HELD, np.nan, V)
SEEN = V[~HELD]
MEMBERS = sorted(name for name in vars(Storage) if not name.startswith("_"))


def dense(values):
    return Matrix.of(values)


def sparse(values):
    held = np.isnan(values)
    stored = scipy.sparse.csr_array(np.where(held, 0.0, values))
    return SparseMatrix.of(stored, held_out=held if held.any() else None)


@pytest.fixture(params=[dense, sparse], ids=["dense", "sparse"])
def build(request):
    return request.param


@pytest.fixture
def matrix(build):
    return build(TRUTH)


def cells(matrix):
    return CellBlocks(matrix).dense()


@pytest.mark.parametrize("storage", [Matrix, SparseMatrix])
@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_there_with_the_same_parameters(storage, name):
    asked, given = (getattr(owner, name, None) for owner in (Storage, storage))
    if name in ("row_names", "column_names"):
        assert name in storage.__dataclass_fields__
    elif inspect.isfunction(asked):
        assert list(inspect.signature(given).parameters) == list(
            inspect.signature(asked).parameters
        )
    else:
        assert isinstance(given, (property, bool))


def test_size_and_names(build, matrix):
    assert matrix.shape == (matrix.n_rows, matrix.n_columns) == (5, 4)
    assert matrix.is_sparse == (build is sparse)
    assert matrix.dtype == np.float64
    pd.testing.assert_index_equal(matrix.row_names, pd.RangeIndex(5))
    pd.testing.assert_index_equal(matrix.column_names, pd.RangeIndex(4))


def test_which_cells_are_observed(build, matrix):
    np.testing.assert_array_equal(matrix.observed_mask, ~HELD)
    assert matrix.n_observed == SEEN.size
    assert not matrix.is_complete
    assert build(V).is_complete
    assert build(V).observed_mask.all()


@pytest.mark.parametrize(
    "values", [TRUTH, V, V + 1, -V], ids=["held", "whole", "positive", "negative"]
)
def test_summaries_are_of_the_observed_cells(build, values):
    matrix, seen = build(values), values[~np.isnan(values)]
    assert matrix.n_zeros() == (seen == 0).sum()
    assert matrix.smallest() == seen.min()
    assert matrix.largest() == seen.max()
    assert matrix.largest_size() == np.abs(seen).max()
    assert matrix.mean() == pytest.approx(seen.mean(), rel=1e-12)
    assert matrix.std() == pytest.approx(seen.std(), rel=1e-12)


def test_holds_asks_observed_cells_alone(matrix):
    assert matrix.holds(lambda x: x == 3)
    assert matrix.holds(lambda x: x == 0)
    assert not matrix.holds(lambda x: x == 5)  # left out
    assert not matrix.holds(np.isnan)


def test_refuse_names_the_first_observed_cell(build, matrix):
    with pytest.raises(ValueError, match=r"V\[0, 0\] = 6 is large \(and 1 more\)\. Scale it\."):
        matrix.refuse(lambda x: x > 3, "is large", "Scale it")
    with pytest.raises(ValueError, match=r"V\[0, 3\] = 0 is zero \(and 9 more\)\. Drop it\."):
        matrix.refuse(lambda x: x == 0, "is zero", "Drop it")
    matrix.refuse(lambda x: x == 5, "is left out", "Nothing")
    build(V + 1).refuse(lambda x: x == 0, "is zero", "Nothing")


def test_block_and_column(matrix):
    part = matrix.block(np.array([3, 0, 0]), np.array([2, 1]))
    np.testing.assert_array_equal(part, TRUTH[[3, 0, 0]][:, [2, 1]])
    for j in range(4):
        np.testing.assert_array_equal(matrix.column(j), TRUTH[:, j])
    assert part.dtype == matrix.column(0).dtype == np.float64


def test_without_leaves_out_more(matrix):
    more = np.zeros(V.shape, bool)
    more[[1, 0], [1, 1]] = True  # one of them is missing already
    part = matrix.without(more)
    assert type(part) is type(matrix)
    np.testing.assert_array_equal(cells(part), np.where(more, np.nan, TRUTH))
    more[4] = True
    with pytest.raises(ValueError, match="row 4 has no observed cell"):
        matrix.without(more)


@pytest.mark.parametrize("rows", [np.array([True, False, True, True, True]), np.array([4, 1, 0])])
def test_at_rows_keeps_names(matrix, rows):
    part = matrix.at_rows(rows)
    assert type(part) is type(matrix)
    np.testing.assert_array_equal(cells(part), TRUTH[rows])
    assert list(part.row_names) == list(np.arange(5)[rows])
    assert list(part.column_names) == list(matrix.column_names)
    with pytest.raises(ValueError, match="column 1 has no observed cell"):
        matrix.at_rows(np.array([0]))


def test_all_cells_and_expanded(build, matrix):
    values = matrix.all_cells()
    assert scipy.sparse.issparse(values) == (build is sparse)
    np.testing.assert_array_equal(values.toarray() if build is sparse else values, TRUTH)
    whole = matrix.expanded()
    assert isinstance(whole, Matrix)
    np.testing.assert_array_equal(whole.values, TRUTH)
