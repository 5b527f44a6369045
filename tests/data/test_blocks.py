"""Sparse data are scored as dense ones are, and expanded a block at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import synthetic

import bayesnmf as bn
from bayesnmf.comparison.compare import compare
from bayesnmf.comparison.kfold import kfold
from bayesnmf.comparison.loo import loo
from bayesnmf.comparison.waic import waic
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.data import blocks as cell_blocks
from bayesnmf.data import matrix as dense_data
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.methods import Draws
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.verdict import finished

pytestmark = pytest.mark.filterwarnings("ignore:Pareto k", "ignore:WAIC is not")

V = np.array([[6.0, 0, 1, 0], [0, 2, 0, 3], [4, 0, 2, 0], [0, 0, 0, 5], [3, 1, 0, 0]])
HELD = np.zeros(V.shape, bool)
HELD[[0, 0, 3], [1, 2, 3]] = True  # a zero and two counts


def both(held=HELD):
    """Return the same data in both storages."""
    sparse = SparseMatrix.of(scipy.sparse.csr_array(V), held_out=held if held.any() else None)
    return Matrix.of(V, ~held), sparse


def fits(held=HELD):
    """Return fits of the same made-up draws to the same data in both storages."""
    W, H = synthetic.draws(2, 100)
    raw = Draws({"W": W, "H": H}, {"lp": np.zeros((2, 100))}, None, "ended somehow")
    attrs = {"method": "mcmc", "seed": 4, "seconds": 0.5}
    models = [(bn.NMF(3).resolve(matrix), matrix) for matrix in both(held)]
    return [finished(assemble(raw, model, matrix, attrs), model) for model, matrix in models]


@pytest.mark.parametrize("size", [1, 8, 1000])
def test_cells_are_the_dense_ones(size, monkeypatch):
    monkeypatch.setattr(cell_blocks, "BLOCK_SIZE", size)
    dense, sparse = (CellBlocks(matrix) for matrix in both())
    truth = np.where(HELD, np.nan, V)
    for cells in (dense, sparse):
        np.testing.assert_array_equal(cells.observed, ~HELD)
        np.testing.assert_array_equal(cells.dense(), truth)
        np.testing.assert_array_equal(cells.row(3), truth[3])
        np.testing.assert_array_equal(cells.column(2), truth[:, 2])
        part = cells.block(np.array([3, 0, 0]), np.array([2, 1]))
        np.testing.assert_array_equal(part, truth[[3, 0, 0]][:, [2, 1]])
    assert dense.digests() == sparse.digests()
    assert dense.digests()[1] != CellBlocks(Matrix.of(V + 1, ~HELD)).digests()[1]
    assert dense.digests()[0] != CellBlocks(Matrix.of(V)).digests()[0]


def test_wanted_cells_alone_are_seen():
    wanted = np.eye(5, 4, dtype=bool)
    for matrix in both():
        cells = CellBlocks(matrix, wanted)
        np.testing.assert_array_equal(cells.dense(), np.where(wanted & ~HELD, V, np.nan))


@pytest.mark.parametrize("held", [HELD, np.zeros_like(HELD)])
def test_criteria_do_not_expand_sparse_data(held, monkeypatch):
    dense, sparse = fits(held)
    expected = [(loo(dense, task=task), task) for task in ("cell", "row")], waic(dense)
    monkeypatch.setattr(Matrix, "of", None)  # what would expand them
    monkeypatch.setattr(bn.Fit, "V", None)
    for known, task in expected[0]:
        np.testing.assert_array_equal(loo(sparse, task=task).elpd_i, known.elpd_i)
    np.testing.assert_array_equal(waic(sparse).elpd_i, expected[1].elpd_i)


def test_storages_are_compared_as_the_same_data():
    dense, sparse = fits()
    table = compare({"dense": dense, "sparse": sparse}, escalate=False)
    assert (table["elpd_diff"] == 0).all()


@pytest.mark.parametrize("scheme", ["cells", "rows"])
def test_folds_keep_sparse_data_sparse(scheme, monkeypatch):
    """Refits are replaced by made-up draws, the same for both storages."""
    seen = []

    def fit(train, model, method, **options):
        matrix = train if isinstance(train, SparseMatrix) else Matrix.of(train)
        seen.append(matrix)
        W, H = synthetic.draws(1, 100)
        raw = Draws({"W": W[:, :, : matrix.n_rows], "H": H}, {"lp": np.zeros((1, 100))}, True, "")
        model = model.resolve(matrix)
        return finished(assemble(raw, model, matrix, {"method": "mcmc", "seconds": 0.5}), model)

    monkeypatch.setattr("bayesnmf.comparison.refits.fitting.fit_silently", fit)
    options = {"n_folds": 2, "scheme": scheme, "progress": False}
    known = kfold(V, bn.NMF(3), **options)
    dense, seen = seen, []
    monkeypatch.setattr(Matrix, "of", None)  # what would expand them
    kept = kfold(scipy.sparse.csr_array(V), bn.NMF(3), **options)
    np.testing.assert_array_equal(kept.elpd_i, known.elpd_i)
    assert all(isinstance(matrix, SparseMatrix) for matrix in seen)
    for a, b in zip(seen, dense, strict=True):
        np.testing.assert_array_equal(CellBlocks(a).dense(), b.values)


def test_what_a_method_cannot_refit_sparse_is_expanded(monkeypatch):
    monkeypatch.setattr(dense_data, "DENSE_BUDGET", 0)
    with pytest.raises(MemoryError, match="above the budget"):
        kfold(scipy.sparse.csr_array(V), bn.NMF(2), bn.SVI(), n_folds=2, progress=False)
