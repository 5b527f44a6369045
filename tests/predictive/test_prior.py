"""Draws from the prior, against SciPy's distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
from exact import law
from scipy import stats

import bayesnmf as bn
from bayesnmf.predictive import replicates

#: False-alarm rate of a single comparison.
ALARM = 1e-5
N_DRAWS = 400


def parts(tree):
    """Return draws of W and H as the priors have them, and replicates: (draw, …)."""
    prior = tree["prior"].dataset
    scale = prior["H_scale"].to_numpy()[0]
    W = prior["W"].to_numpy()[0] / scale[:, None, :]
    H = prior["H"].to_numpy()[0] * scale[:, :, None]
    return W, H, tree["prior_predictive/V"].to_numpy()[0]


@pytest.mark.parametrize("name", small.DISTINCT)
def test_draws_follow_the_priors_and_replicates_the_likelihood(name):
    model, V = small.model(name), small.data(small.LIKELIHOODS[name], missing=0.15)
    tree = bn.prior_predictive(model, V, num_samples=N_DRAWS, seed=2)
    W, H, replicated = parts(tree)
    for factor, prior in ((W, model.prior_W), (H, model.prior_H)):
        expected = stats.gamma(prior.shape, scale=1 / prior.rate)
        assert stats.kstest(factor.ravel(), expected.cdf).pvalue > ALARM
    parameters = {key: tree["prior"][key].to_numpy()[0] for key in model.likelihood.priors}
    for key, values in parameters.items():
        assert stats.kstest(*_exponential(key, values, model.resolve(V))).pvalue > ALARM
    cells = law(model.likelihood, W @ H, **{key: x[:, None, None] for key, x in parameters.items()})
    # A proportion so near 1 that it is rounded has a step in its distribution.
    chosen = (W @ H < 1) if model.name == "beta" else np.ones(replicated.shape, bool)
    assert chosen.sum() > 1000
    _assert_drawn_from(cells, replicated, chosen)


def _exponential(name, values, model):
    """Return a function of a parameter that is exponential under its prior, and its distribution."""
    if name == "sigma":
        return values**-2.0, stats.expon(scale=model.likelihood.scale**-2.0).cdf
    if name == "concentration":
        return 1 / values, stats.expon.cdf
    return values, stats.expon(scale=100.0).cdf


def _assert_drawn_from(cells, values, chosen=True):
    """Probability transforms of draws are uniform, counts spread over their steps."""
    if isinstance(cells.dist, stats.rv_discrete):
        u = np.random.default_rng(0).random(values.shape)
        transformed = cells.cdf(values) - u * cells.pmf(values)
    else:
        transformed = cells.cdf(values)
    assert (
        stats.kstest(transformed[np.broadcast_to(chosen, values.shape)], "uniform").pvalue > ALARM
    )


def test_labels_sizes_and_seeds():
    V = pd.DataFrame(small.data(small.LIKELIHOODS["poisson"]), list("abcdef"), list("vwxyz"))
    tree = bn.prior_predictive(bn.NMF(2), V, num_samples=7)
    assert set(tree.children) == {"prior", "prior_predictive"}
    assert dict(tree["prior/W"].sizes) == {"chain": 1, "draw": 7, "row": 6, "component": 2}
    assert tree["prior/H"].dims == ("chain", "draw", "component", "column")
    V_rep = tree["prior_predictive/V"]
    assert dict(V_rep.sizes) == {"chain": 1, "draw": 7, "row": 6, "column": 5}
    assert V_rep.dtype == np.int64
    assert V_rep["row"].values.tolist() == list("abcdef")
    np.testing.assert_allclose(tree["prior/H"].sum("column"), 1.0)
    assert bn.prior_predictive(bn.NMF(2), V, num_samples=7).identical(tree)
    assert not bn.prior_predictive(bn.NMF(2), V, num_samples=7, seed=1).equals(tree)


def test_open_rates_give_the_mean_of_the_data():
    V = np.full((6, 5), 40.0)
    replicated = parts(bn.prior_predictive(bn.NMF(2), V, num_samples=N_DRAWS))[2]
    means = replicated.mean(axis=(1, 2))
    assert abs(means.mean() - 40.0) / (means.std() / N_DRAWS**0.5) < stats.norm.isf(ALARM)


def test_sparse_data_give_the_draws_of_dense_ones():
    V = np.diag([3.0, 1.0, 4.0, 2.0])
    dense, stored = (
        bn.prior_predictive(bn.NMF(1), data, num_samples=5)
        for data in (V, scipy.sparse.csr_array(V))
    )
    assert stored.equals(dense)


@pytest.mark.parametrize("name", ["cemgil2009", "schmidt2009"])
def test_models_of_the_zoo(name):
    V = np.where(np.eye(6, 5) > 0, np.nan, 2.0)
    tree = bn.prior_predictive(bn.load_model(name, n_components=2), V, num_samples=N_DRAWS, seed=1)
    W, H, replicated = parts(tree)
    for factor in (W, H):  # both have rate 1 by default
        assert stats.kstest(factor.ravel(), stats.expon.cdf).pvalue > ALARM
    if name == "cemgil2009":
        assert replicated.dtype == np.int64
        return _assert_drawn_from(stats.poisson(W @ H), replicated)
    variance = tree["prior/variance"].to_numpy()[0]
    assert stats.kstest(variance, stats.invgamma(1.0).cdf).pvalue > ALARM
    _assert_drawn_from(stats.norm(W @ H, variance[:, None, None] ** 0.5), replicated)


def test_components_with_rates_of_their_own():
    V = small.data(small.LIKELIHOODS["poisson"])
    model = bn.NMF(2, prior_W=bn.priors.Gamma(1.5, rate=bn.priors.Gamma(4.0, 2.0)))
    tree = bn.prior_predictive(model, V, num_samples=N_DRAWS)
    rate = tree["prior/rate_W"].to_numpy()[0]
    assert stats.kstest(rate.ravel(), stats.gamma(4.0, scale=0.5).cdf).pvalue > ALARM
    W = parts(tree)[0] * rate[:, None, :]
    assert stats.kstest(W.ravel(), stats.gamma(1.5).cdf).pvalue > ALARM


@pytest.mark.parametrize("prior", ["prior_W", "prior_H"])
def test_flat_priors_are_refused(prior):
    with pytest.raises(ValueError, match=f"{prior} is flat, .* nothing can be drawn from it: give"):
        bn.prior_predictive(bn.NMF(2, **{prior: "flat"}), np.ones((4, 3)))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_samples": 0}, ValueError, "num_samples must be at least 1"),
        ({"num_samples": 1.5}, TypeError, "num_samples must be an integer"),
        ({"V": np.array([[1.5, 2.0]])}, ValueError, "is not an integer, so the poisson"),
    ],
)
def test_bad_arguments_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        bn.prior_predictive(bn.NMF(1), **{"V": np.ones((4, 3)), **options})


def test_what_does_not_fit_is_refused_with_the_figure(monkeypatch):
    monkeypatch.setattr(replicates, "BUDGET", 8 * 12 * 9)
    with pytest.raises(MemoryError, match=r"10 replicates of V would take .* num_samples=9 or"):
        bn.prior_predictive(bn.NMF(1), np.ones((4, 3)), num_samples=10)
