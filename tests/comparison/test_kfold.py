"""K-fold cross-validation: each fold against a fit made by hand, and rows against exact answers."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import small
import synthetic
from exact import RankOne
from scipy import special, stats

import bayesnmf as bn
from bayesnmf.comparison import refits
from bayesnmf.comparison.folds import make_folds
from bayesnmf.comparison.kfold import kfold, kfold_of_fit
from bayesnmf.comparison.refits import Fold
from bayesnmf.data import Matrix
from bayesnmf.posterior.method_record import method_of

pytestmark = pytest.mark.numpyro_promotion("rank")  # as guides of SVI need

SVI = bn.SVI(num_steps=150, num_samples=40)
POISSON = small.LIKELIHOODS["poisson"]


def folds_of(V, k, scheme="cells", seed=0):
    return make_folds(~np.isnan(V), k, scheme, np.random.default_rng(seed))


def test_held_out_cells_are_scored_by_a_fit_without_them():
    V = small.data(POISSON, missing=0.15)
    result = kfold(V, small.model("poisson"), SVI, n_folds=2, seed=3, progress=False)
    folds = folds_of(V, 2, seed=3)
    expected = np.full(V.shape, np.nan)
    for fold in range(2):
        held = folds == fold
        fit = bn.fit(np.where(held, np.nan, V), small.model("poisson"), SVI, seed=3, progress=False)
        W, H = (fit.tree[f"posterior/{name}"].to_numpy()[0] for name in "WH")
        density = stats.poisson.logpmf(np.where(held, V, 0), W @ H)
        expected[held] = (special.logsumexp(density, axis=0) - np.log(40))[held]
    expected = expected[~np.isnan(V)]
    np.testing.assert_allclose(result.elpd_i, expected, rtol=1e-10)
    assert result.elpd == pytest.approx(expected.sum())
    assert result.se == pytest.approx(np.sqrt(len(expected) * expected.var(ddof=1)))
    assert np.isnan(result.p)
    assert (result.n_folds, result.n_samples, result.kind) == (2, 40, "loo_kfold")
    assert (result.elpd_i["estimator"] == "kfold").all()
    assert {"task": "cell", "measure": "counting", "scheme": "cells"}.items() <= (
        result.elpd_i.attrs.items()
    )


@pytest.fixture
def made_up(monkeypatch):
    """Replace fitting by made-up draws: the tests below are not about fitting."""

    def fit(V, model, method, *, seed, **options):
        V = V.values
        rng = np.random.default_rng([seed, int(np.isnan(V).sum())])
        W, H = rng.gamma(9.0, 0.3, (1, 40, len(V), 2)), rng.gamma(9.0, 0.1, (1, 40, 2, V.shape[1]))
        return synthetic.assembled(W, H, V=V, model=model, converged=True)

    monkeypatch.setattr(refits.fitting, "fit_silently", fit)


def test_an_executor_changes_nothing(made_up):
    V = small.data(POISSON)
    here = kfold(V, small.model("poisson"), SVI, n_folds=3, progress=False)
    with ThreadPoolExecutor(2) as pool:
        there = kfold(V, small.model("poisson"), SVI, n_folds=3, executor=pool, progress=False)
    np.testing.assert_array_equal(here.elpd_i, there.elpd_i)


def test_folds_can_be_sent_to_another_process(made_up):
    V = small.data(POISSON)
    fold = Fold(Matrix.of(V), folds_of(V, 2) == 0, small.model("poisson"), SVI, 0, None)
    sent = pickle.loads(pickle.dumps(fold))
    np.testing.assert_array_equal(sent.score()[0], fold.score()[0])


def test_blocks_have_a_fit_each(made_up):
    V = small.data(POISSON)
    result = kfold(V, small.model("poisson"), SVI, n_folds=2, scheme="blocks", progress=False)
    assert result.n_folds == 4
    assert result.n_data_points == V.size
    assert np.isfinite(result.elpd_i).all()


def test_labels_and_the_jacobian(made_up):
    V = pd.DataFrame(small.data(POISSON))
    V.index = list("abcdef")
    plain = kfold(V, small.model("poisson"), SVI, n_folds=2, progress=False)
    moved = kfold(V, small.model("poisson"), SVI, n_folds=2, log_jacobian=0.5, progress=False)
    np.testing.assert_allclose(moved.elpd_i, plain.elpd_i + 0.5, rtol=1e-12)
    assert plain.elpd_i["row"].values[:6].tolist() == ["a"] * 5 + ["b"]


def test_the_full_fit_gives_the_number_of_parameters():
    fit = small.fitted("poisson", "svi")
    result = kfold_of_fit(fit, 2, seed=1)
    W, H = (fit.tree[f"posterior/{name}"].to_numpy()[0] for name in "WH")
    V = fit.V.to_numpy()
    density = stats.poisson.logpmf(np.where(np.isnan(V), 0, V), W @ H)[:, ~np.isnan(V)]
    lppd = special.logsumexp(density, axis=0) - np.log(len(W))
    assert result.p == pytest.approx(lppd.sum() - result.elpd)


def test_the_method_of_a_fit_is_remembered():
    assert method_of(small.fitted("poisson", "svi")) == small.METHODS["svi"]


# -- rows ---------------------------------------------------------------------------------------


@pytest.fixture
def exact_posterior(monkeypatch):
    """Draw from the exact rank-one posterior in place of fitting."""

    def fit(V, model, method, **options):
        V = V.values
        w, h = RankOne(V, 1.4, 0.7, 1.4, 1.3).sample(np.random.default_rng(1), 3000)
        W, H = w[None, :, :, None], h[None, :, None, :]
        return synthetic.assembled(W, H, V=V, model=model, converged=True)

    monkeypatch.setattr(refits.fitting, "fit_silently", fit)


def test_rows_are_predicted_exactly(exact_posterior):
    V = np.array([[2, 1, 1, 4], [4, 5, 0, 10], [6, 2, 0, 3], [3, 0, 1, 2], [1, 0, 0, 3]], float)
    model = bn.NMF(1, "poisson", bn.priors.Gamma(1.4, 0.7), bn.priors.Gamma(1.4, 1.3))
    result = kfold(V, model, n_folds=5, scheme="rows", progress=False)
    evidence = RankOne(V, 1.4, 0.7, 1.4, 1.3).log_evidence()
    exact = [
        evidence - RankOne(np.delete(V, row, axis=0), 1.4, 0.7, 1.4, 1.3).log_evidence()
        for row in range(5)
    ]
    # The mean of a density over 3,000 draws: its error is that of the least probable row.
    np.testing.assert_allclose(result.elpd_i, exact, atol=0.15)
    assert result.elpd_i.dims == ("row",)
    assert result.elpd_i.attrs["task"] == "row"


@pytest.mark.long
def test_known_arrays_follow_their_rows():
    likelihood = small.LIKELIHOODS["poisson-exposure"]
    V = small.data(likelihood)
    held = np.zeros(V.shape, bool)
    held[[1, 4]] = True
    fold = Fold(Matrix.of(V), held, small.model("poisson-exposure"), SVI, 0, None, whole_rows=True)
    elpd, n_draws, _ = fold.score()
    rest = bn.NMF(
        2,
        bn.likelihoods.Poisson(likelihood.exposure[[0, 2, 3, 5]]),
        bn.priors.Gamma(1.5, 0.8),
        bn.priors.Gamma(1.0, 1.1),
    )
    fit = bn.fit(V[[0, 2, 3, 5]], rest, SVI, seed=0, progress=False)
    H = (
        fit.tree["posterior/H"].to_numpy()[0]
        * fit.tree["sample_stats/scale"].to_numpy()[0][..., None]
    )
    z, step = np.linspace(-12.0, 5.0, 250, retstep=True)
    w = np.exp(np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2))
    prior = (stats.gamma.logpdf(w, 1.5, scale=1 / 0.8) + np.log(w * step)).sum(axis=1)
    for row, ours in zip((1, 4), elpd, strict=True):
        each = [
            special.logsumexp(
                prior
                + stats.poisson.logpmf(V[row], likelihood.exposure[row] * (w @ H[s])).sum(axis=1)
            )
            for s in range(n_draws)
        ]
        assert ours == pytest.approx(special.logsumexp(each) - np.log(n_draws), abs=0.15)


def test_rows_need_an_nmf():
    program = bn.load_model("cemgil2009", n_components=2)
    with pytest.raises(ValueError, match=r"scheme='rows' .* needs a bn.NMF; use scheme='cells'"):
        kfold(small.data(POISSON), program, SVI, n_folds=2, scheme="rows", progress=False)


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "map"}, "a MAP estimate has no draws .* use method='mcmc' or method='svi'"),
        ({"n_folds": 1}, "n_folds must be a whole number from 2"),
        ({"scheme": "columns"}, "unknown scheme 'columns'"),
        ({"model": bn.NMF(1, "beta")}, "not strictly between 0 and 1"),
        ({"log_jacobian": np.zeros(3)}, "log_jacobian has shape|operands"),
        ({"measure": "lebesgue"}, "describes counts, which have no density"),
    ],
)
def test_bad_input(options, match):
    arguments = {"model": small.model("poisson"), "method": SVI, "n_folds": 2, "progress": False}
    with pytest.raises(ValueError, match=match):
        kfold(small.data(POISSON), **arguments | options)
