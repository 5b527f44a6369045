"""MAP: its starts, its stopping rule, what it reports, and what must not change it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import small

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.initial import nndsvd_start, random_start
from bayesnmf.methods.optimise.multiplicative import objective
from bayesnmf.observed.cells import Cells
from bayesnmf.posterior.method_record import method_of
from bayesnmf.priors import Exponential, Flat, Gamma

every_likelihood = pytest.mark.parametrize(
    "name", small.short_of(small.DISTINCT, "poisson", "gaussian", "gaussian-known", "gamma")
)
plain = pytest.mark.parametrize("name", small.PLAIN)


def test_records_refuse_what_is_not_an_option():
    for options, words in (
        ({"solver": "adam"}, "unknown solver 'adam'; valid: auto, newton, accelerated, mu"),
        ({"init": "svd"}, "unknown init 'svd'; valid: random, nndsvd, a pair"),
        ({"init": ["random", "random"]}, "init names 'random' twice"),
        ({"space": "linear"}, "unknown space 'linear'; valid: natural, log"),
        ({"max_iter": 0}, "max_iter must be at least 1, not 0"),
        ({"n_init": 0}, "n_init must be at least 1, not 0"),
        ({"tol": -1.0}, "tol must be 0 or more, not -1.0"),
        ({"tol": float("nan")}, "tol must be 0 or more, not nan"),
    ):
        with pytest.raises(ValueError, match=words):
            bn.MAP(**options)
    for bad in (3, np.ones((3, 2)), (np.ones((3, 2)),)):
        with pytest.raises(TypeError, match="a pair of arrays"):
            bn.MAP(init=bad)


# -- what it reports ----------------------------------------------------------------------------


@every_likelihood
def test_the_reported_objective_is_the_one_of_the_returned_factors(name, float64):
    fit = small.fitted(name, "map")
    V = fit.V.to_numpy()
    W, H = (x[0, 0] for x in small.originals(fit))
    likelihood = fit.model.likelihood
    parameters = {p: fit.tree["posterior"][p].to_numpy()[0, 0] for p in likelihood.priors}
    filled = np.where(np.isnan(V), likelihood.placeholder, V)
    data = Cells(jnp.asarray(filled), jnp.asarray(~np.isnan(V)))
    got = objective(fit.model, data, W, H, parameters, log_space=False)
    assert fit.tree.attrs["objective"] == pytest.approx(float(got), rel=1e-9)


def test_the_best_of_several_starts_is_returned():
    V = small.data(small.LIKELIHOODS["poisson"], seed=5)
    fit = small.run(V, bn.NMF(3), bn.MAP(n_init=6), seed=2)
    ends = fit.tree.attrs["objectives"]
    assert len(ends) == 6
    assert fit.tree.attrs["objective"] == min(ends)
    assert "6 starts ended within" in fit.message


def test_an_iteration_that_was_cut_short_is_not_called_converged():
    V = small.data(small.LIKELIHOODS["poisson"])
    for max_iter in (7, 14):
        fit = small.run(V, small.model("poisson"), bn.MAP(max_iter=max_iter, n_init=1, tol=0))
        assert not fit.converged
        assert "stopped at max_iter, not converged," in fit.message
        assert fit.tree.attrs["n_iter"] == max_iter
    fit = small.run(V, small.model("poisson"), bn.MAP(n_init=1))
    assert fit.converged
    assert fit.message.startswith("converged after")


def test_more_iterations_never_end_higher():
    V = small.data(small.LIKELIHOODS["beta"])
    ends = [
        small.run(V, small.model("beta"), bn.MAP(max_iter=n, n_init=1)).tree.attrs["objective"]
        for n in (5, 20, 80)
    ]
    assert ends == sorted(ends, reverse=True)


def test_fractions_are_called_a_quasi_likelihood():
    V = np.random.default_rng(0).gamma(2.0, size=(5, 4))
    fit = small.run(V, bn.NMF(2), "map")
    assert "V holds fractions, so the poisson objective is a quasi-likelihood" in fit.message
    assert "quasi" not in small.run(np.ceil(V), bn.NMF(2), "map").message


def test_an_estimate_in_log_space_is_called_so():
    V = small.data(small.LIKELIHOODS["poisson"])
    sparse = bn.NMF(2, prior_W=Gamma(0.5))
    fit = small.run(V, sparse, "map")
    assert "the MAP estimate is taken in log space" in fit.message
    # W has a maximum above zero there, while H's exponential prior may still reach zero.
    assert fit.tree["posterior/W"].min() > 0
    assert "log space" not in small.run(V, bn.NMF(2), "map").message


def test_log_space_is_refused_where_rates_are_inferred():
    with pytest.raises(ValueError, match="'ard', have no MAP estimate in log space"):
        small.run(np.ones((4, 3)), bn.NMF(2, "poisson", "ard", "ard"), bn.MAP(space="log"))


# -- starts -------------------------------------------------------------------------------------


@every_likelihood
def test_random_starts_have_the_mean_of_the_data(name, float64):
    likelihood = small.LIKELIHOODS[name]
    matrix = Matrix.of(small.data(likelihood, missing=0.2))
    model = bn.NMF(3, likelihood)
    products = [
        np.matmul(*random_start(model, matrix, np.random.default_rng(i))) for i in range(200)
    ]
    assert np.mean(products) == pytest.approx(likelihood.typical_mean(matrix), rel=0.1)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_nndsvd_recovers_a_matrix_of_rank_one(shape):
    rng = np.random.default_rng(1)
    V = np.outer(rng.uniform(1, 2, shape[0]), rng.uniform(1, 2, shape[1]))
    model = bn.NMF(1, "gaussian")
    W, H = nndsvd_start(model, Matrix.of(V))
    np.testing.assert_allclose(W @ H, V, rtol=1e-12)
    # A missing cell is filled by its row and column, which cannot be far off in rank one.
    V[1, 2] = np.nan
    W, H = nndsvd_start(model, Matrix.of(V))
    np.testing.assert_allclose((W @ H)[~np.isnan(V)], V[~np.isnan(V)], rtol=0.2)


def test_nndsvd_finds_separate_blocks_and_leaves_no_zero():
    V = np.zeros((6, 5))
    V[:3, :2], V[3:, 2:] = 0.04, 0.01
    W, H = nndsvd_start(bn.NMF(2), Matrix.of(V))
    assert min(W.min(), H.min()) > 0
    assert set(W[:3].argmax(axis=1)) == {0}
    assert set(H[1].argsort()[-3:]) == {2, 3, 4}


@plain
def test_nndsvd_starts_every_likelihood(name):
    V = small.data(small.LIKELIHOODS[name], missing=0.2)
    fit = small.run(V, small.model(name), bn.MAP(init="nndsvd", max_iter=100))
    again = small.run(V, small.model(name), bn.MAP(init="nndsvd", max_iter=100), seed=9)
    assert np.isfinite(fit.mean).all()
    np.testing.assert_array_equal(fit.W, again.W)  # the seed has nothing to decide


def test_starts_that_cannot_be_used_are_refused():
    V = np.ones((4, 3))
    W, H = np.ones((4, 2)), np.ones((2, 3))
    for init, words in (
        ((W[:3], H), r"the initial W has shape \(3, 2\); it must be \(4, 2\)"),
        ((W, H.T), r"the initial H has shape \(3, 2\); it must be \(2, 3\)"),
        ((-W, H), r"the initial W holds -1 at \(0, 0\); it must be non-negative and finite"),
        ((W, H * np.nan), r"the initial H holds nan at \(0, 0\)"),
    ):
        with pytest.raises(ValueError, match=words):
            small.run(V, bn.NMF(2), bn.MAP(init=init))
    with (
        pytest.warns(UserWarning, match="4 components for a matrix of shape"),
        pytest.raises(ValueError, match="init='nndsvd' needs n_components of at most 3"),
    ):
        small.run(V, bn.NMF(4), bn.MAP(init="nndsvd"))


def test_a_list_of_starts_has_them_all():
    V = small.data(small.LIKELIHOODS["poisson"])
    given = np.ones((6, 2)) + np.eye(6, 2), np.ones((2, 5)) + np.eye(2, 5)
    method = bn.MAP(init=["random", "nndsvd", given], n_init=2, space="log")
    fit = small.run(V, small.model("poisson"), method)
    assert len(fit.tree.attrs["objectives"]) == len(fit.tree.attrs["similarities"]) == 4
    assert fit.tree.attrs["similarities"][0] == pytest.approx(1)
    assert min(fit.W.min(), fit.H.min()) > 0
    assert fit.message.endswith("This is the MAP estimate in log space")


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_a_saved_fit_refits_from_its_own_record(kind, tmp_path):
    V = small.data(small.LIKELIHOODS["poisson"])
    rng = np.random.default_rng(2)
    init = kind(rng.gamma(2.0, size=(6, 2))), kind(rng.gamma(2.0, size=(2, 5)))
    method = bn.MAP(init=[init, "nndsvd"], max_iter=np.int64(60), tol=1e-3)
    fit = small.run(V, small.model("poisson"), method)
    fit.save(tmp_path / "fit.nc")
    loaded = bn.load(tmp_path / "fit.nc")
    for one in (fit, loaded):
        again = method_of(one)
        assert (again.max_iter, again.tol, again.init[1]) == (60, 1e-3, "nndsvd")
        for factor, given in zip(again.init[0], init, strict=True):
            assert type(factor) is type(given)
            np.testing.assert_array_equal(factor, given)
    assert small.same(small.run(loaded.matrix, loaded.model, method_of(loaded)), fit)


def test_a_start_is_not_written_to():
    V = small.data(small.LIKELIHOODS["poisson"])
    W, H = np.ones((6, 2)), np.arange(1.0, 11.0).reshape(2, 5)
    small.run(V, bn.NMF(2), bn.MAP(init=(W, H), max_iter=10))
    np.testing.assert_array_equal(W, 1.0)
    np.testing.assert_array_equal(H.ravel(), np.arange(1, 11))


# -- invariances --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        # The same steps, but for the order of sums, whose rounding a parameter that the data
        # hardly determine multiplies.
        ({"solver": "mu", "max_iter": 60}, 1e-6),
        # Single-precision Hessians and extrapolation spread rounding; the optimum is the same.
        ({"solver": "newton", "tol": 1e-9}, 1e-5),
    ],
    ids=["mu", "newton"],
)
@pytest.mark.parametrize(
    "name",
    small.short_of([*small.PLAIN, "poisson-exposure", "gaussian-known"], "poisson"),
)
def test_permutations_change_no_reported_number(name, method, tolerance):
    """Rows, columns and initial components in another order, with what is known of each cell."""
    rng = np.random.default_rng(12)
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=0.2)
    W, H = rng.gamma(2.0, 0.5, (6, 2)), rng.gamma(2.0, 0.5, (2, 5))
    rows, columns, components = rng.permutation(6), rng.permutation(5), [1, 0]
    known = {
        p: np.asarray(x)[rows][:, columns] if np.ndim(x) else x for p, x in likelihood.known.items()
    }
    shuffled = type(likelihood)(**known, **{"link": likelihood.link} if name[:4] == "beta" else {})

    def fit(V, likelihood, W, H):
        priors = Gamma(1.5, 0.8), Exponential(1.1)
        return small.run(V, bn.NMF(2, likelihood, *priors), bn.MAP(init=(W, H), **method))

    a = fit(V, likelihood, W, H)
    b = fit(V[rows][:, columns], shuffled, W[rows][:, components], H[components][:, columns])
    close = {"rtol": tolerance, "atol": tolerance * 1e-5}
    np.testing.assert_allclose(b.W, a.W.to_numpy()[rows], **close)
    np.testing.assert_allclose(b.H, a.H.to_numpy()[:, columns], **close)
    np.testing.assert_allclose(b.mean, a.mean.to_numpy()[rows][:, columns], **close)
    for p in likelihood.priors:
        np.testing.assert_allclose(b.tree["posterior"][p], a.tree["posterior"][p], **close)
    assert b.tree.attrs["objective"] == pytest.approx(a.tree.attrs["objective"], rel=1e-8)
    for number in ("mass", "share"):
        np.testing.assert_allclose(b.summary()[number], a.summary()[number], **close)


@pytest.mark.parametrize("loss", ["poisson", "gaussian"])
def test_flat_priors_do_not_see_the_scale_of_the_start(loss):
    rng = np.random.default_rng(3)
    V = rng.gamma(2.0, 3.0, (6, 5))
    W, H = rng.gamma(2.0, size=(6, 2)), rng.gamma(2.0, size=(2, 5))
    model = bn.NMF(2, loss, Flat(), Flat())
    scale = np.array([10.0, 0.1])
    a = small.run(V, model, bn.MAP("mu", init=(W, H), max_iter=40))
    b = small.run(V, model, bn.MAP("mu", init=(W * scale, H / scale[:, None]), max_iter=40))
    np.testing.assert_allclose(a.H, b.H, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", [*small.PLAIN, "poisson-exposure", "gaussian-known"])
def test_masked_values_change_nothing_bit_for_bit(name):
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood)
    mask = np.ones(V.shape, bool)
    mask[[0, 2, 5], [1, 0, 3]] = False
    method = bn.MAP(max_iter=40, n_init=1)
    fits = [
        small.run(np.where(mask, V, value), small.model(name), method, mask=mask)
        for value in (0.3, -7.0, np.inf, np.nan)
    ]
    fits.append(small.run(np.where(mask, V, np.nan), small.model(name), method))
    assert all(small.same(fits[0], other) for other in fits[1:])
    assert not small.same(fits[0], small.run(V, small.model(name), method))


@plain
def test_the_seed_decides(name):
    V = small.data(small.LIKELIHOODS[name])
    method = bn.MAP(max_iter=20, n_init=1)
    a, b, c = (small.run(V, small.model(name), method, seed=seed) for seed in (4, 4, 5))
    assert small.same(a, b)
    assert not np.array_equal(a.W, c.W)


# -- programs -----------------------------------------------------------------------------------


def test_the_mode_of_a_program_is_the_mode_of_its_nmf():
    """A zoo model by L-BFGS, and the same density by multiplicative updates in log space."""
    V = small.data(small.LIKELIHOODS["poisson"])
    program = bn.load_model("cemgil2009", n_components=1, shape_W=0.7, mean_W=2.0, shape_H=0.5)
    model = bn.NMF(1, "poisson", Gamma(0.7, 0.35), Gamma(0.5, 0.5))
    a = small.run(V, program, "map")
    b = small.run(V, model, bn.MAP(tol=1e-9))
    assert a.converged
    assert "L-BFGS" in a.message
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-4)
    np.testing.assert_allclose(a.H, b.H, rtol=1e-4)
    np.testing.assert_allclose(
        a.tree["sample_stats/scale"], b.tree["sample_stats/scale"], rtol=1e-3
    )


@pytest.mark.parametrize(
    "options", [{"solver": "mu"}, {"init": "nndsvd"}, {"init": (np.ones((3, 1)), np.ones((1, 4)))}]
)
def test_a_program_refuses_what_only_an_nmf_has(options):
    program = bn.load_model("cemgil2009", n_components=1)
    with pytest.raises(ValueError, match=rf"{next(iter(options))}= is for a bayesnmf.NMF"):
        small.run(np.ones((3, 4)), program, bn.MAP(**options))
