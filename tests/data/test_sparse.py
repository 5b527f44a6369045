"""Sparse input: what enters, what is refused, and the same fits as dense input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import SparseMatrix
from bayesnmf.data import matrix as dense_data
from bayesnmf.priors import Exponential, Flat, Gamma

NAMES, PRIORS = ("poisson", "gaussian"), (Flat(), Gamma(1.5), Gamma(0.5))


def counts(seed=0, shape=(12, 9)):
    rng = np.random.default_rng(seed)
    W, H = rng.gamma(0.5, size=(shape[0], 2)), rng.gamma(0.5, size=(2, shape[1]))
    return rng.poisson(1.5 * W @ H).astype(float)


def csr(V):
    return scipy.sparse.csr_array(V)


def test_duplicates_are_summed_and_stored_zeros_dropped():
    rows, columns, values = [0, 0, 1, 2], [1, 1, 0, 2], [1.0, 2.0, 0.0, 4.0]
    V = scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 4))
    matrix = SparseMatrix.of(V)
    np.testing.assert_array_equal(matrix.stored.toarray(), V.toarray())
    assert matrix.stored.nnz == 2
    assert matrix.held_out is None
    assert V.nnz == 4  # the caller's own matrix is left as it was


@pytest.mark.parametrize("value", [0.5, 3.0, 2.0**60 + 1, 1e-300])
def test_no_value_is_rounded(value):
    matrix = SparseMatrix.of(csr(np.array([[value, 0.0], [1.0, 2.0]])))
    assert matrix.stored[0, 0] == value


def held_out_forms(held):
    return {"dense": held, "csr": scipy.sparse.csr_array(held), "coo": scipy.sparse.coo_array(held)}


@pytest.mark.parametrize("form", ["dense", "csr", "coo", "mask", "nan"])
def test_held_out_cells_count_for_nothing(form):
    """Stored cells and zeros alike; every way of saying so is one."""
    V, rng = counts(), np.random.default_rng(1)
    held = rng.uniform(size=V.shape) < 0.2
    assert (V[held] > 0).any()
    assert (V[held] == 0).any()
    W, H = rng.gamma(1.0, size=(12, 2)), rng.gamma(1.0, size=(2, 9))
    method, model = (
        bn.MAP(init=(W, H), tol=1e-7),
        bn.NMF(2, "poisson", Gamma(1.5, 1.0), Gamma(1.5, 1.0)),
    )
    expected = small.run(np.where(held, np.nan, V), model, method)
    if form == "mask":
        got = small.run(csr(V), model, method, mask=~held)
    elif form == "nan":
        got = small.run(csr(np.where(held, np.nan, V)), model, method)
    else:
        got = small.run(csr(V), model, method, held_out=held_out_forms(held)[form])
    np.testing.assert_allclose(got.mean, expected.mean, rtol=1e-4)
    assert got.tree.attrs["objective"] == pytest.approx(expected.tree.attrs["objective"], rel=1e-9)
    np.testing.assert_array_equal(np.isnan(got.V.to_numpy()), held)


@pytest.mark.parametrize(
    ("name", "prior", "solver"),
    small.short_of(
        [
            (name, prior, s)
            for name in NAMES
            for prior in PRIORS
            for s in ("newton", "accelerated", "mu")
        ],
        *((name, PRIORS[0], "newton") for name in NAMES),
        ("poisson", PRIORS[0], "mu"),
    ),
    ids=str,
)
def test_sparse_input_ends_where_dense_input_does(name, prior, solver):
    V, rng = counts(3), np.random.default_rng(2)
    W, H = rng.gamma(1.0, size=(12, 2)), rng.gamma(1.0, size=(2, 9))
    model = bn.NMF(2, name, prior, prior)
    method = bn.MAP(solver, init=(W, H), tol=1e-5, max_iter=20_000)
    dense, sparse = small.run(V, model, method), small.run(csr(V), model, method)
    assert dense.converged == sparse.converged
    objective = dense.tree.attrs["objective"]
    assert sparse.tree.attrs["objective"] == pytest.approx(objective, rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=0.01, atol=2e-3)


def test_a_known_exposure_enters_exactly():
    V, rng = counts(4), np.random.default_rng(2)
    W, H = rng.gamma(1.0, size=(12, 2)), rng.gamma(1.0, size=(2, 9))
    for exposure in (2.5, np.full(V.shape, 2.5)):  # an array per cell makes the fit dense
        model = bn.NMF(2, bn.likelihoods.Poisson(exposure))
        fits = [small.run(x, model, bn.MAP(init=(W, H), tol=1e-6)) for x in (V, csr(V))]
        objectives = [fit.tree.attrs["objective"] for fit in fits]
        assert objectives[0] == pytest.approx(objectives[1], rel=1e-9)


def test_it_is_never_expanded(monkeypatch):
    monkeypatch.setattr(dense_data, "DENSE_BUDGET", 0)
    fit = small.run(csr(counts()), small.model("poisson"), bn.MAP(n_init=1))
    assert fit.converged
    small.run(csr(counts()), small.model("gaussian"), bn.MAP(n_init=1))


@pytest.mark.parametrize("name", ["negative_binomial", "gamma"])
def test_other_likelihoods_expand_within_the_budget(name, monkeypatch):
    V = counts() + (name == "gamma")
    assert small.run(csr(V), small.model(name), bn.MAP(n_init=1)).converged
    monkeypatch.setattr(dense_data, "DENSE_BUDGET", 100)
    with pytest.raises(MemoryError, match="GiB when dense, above the budget"):
        small.run(csr(V), small.model(name), bn.MAP(n_init=1))


@pytest.mark.parametrize("init", ["random", "nndsvd"])
def test_starts_do_not_expand_it(init, monkeypatch):
    monkeypatch.setattr(dense_data, "DENSE_BUDGET", 0)
    assert small.run(csr(counts()), small.model("poisson"), bn.MAP(init=init, n_init=2)).converged


def test_a_fit_gives_its_data_back():
    V = counts()
    fit = small.run(csr(V), small.model("poisson"), bn.MAP(n_init=1))
    np.testing.assert_array_equal(fit.V.to_numpy(), V)


def test_a_saved_fit_comes_back(tmp_path):
    V = counts()
    held = np.zeros(V.shape, bool)
    held[2, 3] = held[4, 1] = True
    fit = small.run(csr(V), small.model("poisson"), bn.MAP(n_init=1), held_out=held)
    fit.save(tmp_path / "fit.nc")
    again = bn.load(tmp_path / "fit.nc")
    np.testing.assert_array_equal(again.V.to_numpy(), np.where(held, np.nan, V))
    np.testing.assert_array_equal(again.W, fit.W)


def test_zero_rows_and_columns_leave_no_nan():
    V = counts()
    V[3], V[:, 2] = 0.0, 0.0
    for prior in (Flat(), Exponential(1.0), Gamma(2.0), Gamma(0.5)):
        fit = small.run(csr(V), bn.NMF(2, "poisson", prior, prior), bn.MAP(n_init=1))
        assert np.isfinite(fit.W).all()
        assert np.isfinite(fit.H).all()
        assert np.isfinite(fit.tree.attrs["objective"])


@pytest.mark.parametrize(
    ("cell", "value", "message"),
    [
        ((1, 2), np.inf, r"V\[1, 2\] = inf is infinite"),
        ((4, 0), -1.0, r"V\[4, 0\] = -1 is negative"),
    ],
)
def test_bad_cells_are_named(cell, value, message):
    V = counts()
    V[cell] = value
    with pytest.raises(ValueError, match=message):
        small.run(csr(V), small.model("poisson"), bn.MAP(n_init=1))


def test_bad_matrices_and_masks_are_refused():
    V, model, method = csr(counts()), small.model("poisson"), bn.MAP(n_init=1)
    with pytest.raises(ValueError, match="V is empty"):
        small.run(csr(np.zeros((0, 3))), model, method)
    with pytest.raises(TypeError, match="must hold real numbers"):
        small.run(V.astype(complex), model, method)
    with pytest.raises(ValueError, match=r"held_out has shape \(2, 2\)"):
        small.run(V, model, method, held_out=np.zeros((2, 2), bool))
    with pytest.raises(TypeError, match="held_out has dtype float64; it must be boolean"):
        small.run(V, model, method, held_out=np.zeros(V.shape))
    with pytest.raises(TypeError, match="mask has dtype float64; it must be boolean"):
        small.run(V, model, method, mask=np.ones(V.shape))
    held = np.zeros(V.shape, bool)
    held[5] = True
    with pytest.raises(ValueError, match="row 5 has no observed cell"):
        small.run(V, model, method, held_out=held)


def test_zeros_outside_the_support_are_named():
    sparse = SparseMatrix.of(csr(np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0]])))
    with pytest.raises(ValueError, match=r"V\[0, 2\] = 0 is not positive"):
        bn.likelihoods.Gamma().check(sparse)
