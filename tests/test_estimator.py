"""BayesianNMF under scikit-learn's own checks, and in its pipelines and searches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.decomposition import NMF as ScikitNMF
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import bayesnmf as bn
from bayesnmf import BayesianNMF

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.long
@parametrize_with_checks([BayesianNMF(1, random_state=0, tol=1e-8)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def counts(n=40, m=10, k=2, seed=1):
    return bn.datasets.make_nmf(n, m, k, "poisson", seed=seed)[0]


def test_the_default_passes_them_too():
    """One of the checks that need more than one component."""
    from sklearn.utils.estimator_checks import check_transformer_general

    check_transformer_general("BayesianNMF", BayesianNMF(tol=1e-8))


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_fit_and_transform(storage):
    X = counts()
    model = BayesianNMF(2, random_state=0).fit(storage(X))
    W = model.transform(storage(X))
    np.testing.assert_allclose(model.components_.sum(axis=1), 1)
    np.testing.assert_allclose(W, model.fit_.W, rtol=0.02, atol=0.1)
    np.testing.assert_allclose(model.inverse_transform(W), W @ model.components_)
    assert np.isnan(model.components_interval_).all()
    assert model.n_components_ == 2
    assert model.n_iter_ > 0


def test_draws_give_intervals():
    model = BayesianNMF(2, method=bn.MCMC(num_warmup=50, num_samples=50, num_chains=2))
    model.set_params(random_state=3).fit(counts())
    low, high = model.components_interval_
    assert (low <= model.components_).all()
    assert (model.components_ <= high).all()
    assert model.n_iter_ == 50
    assert np.isfinite(model.score(counts(seed=2)))


def test_names_missing_cells_and_output():
    X = pd.DataFrame(counts(), columns=[f"gene {j}" for j in range(10)])
    X.iloc[0, 0] = np.nan
    model = BayesianNMF(2, random_state=0).set_output(transform="pandas")
    W = model.fit_transform(X)
    assert W.columns.tolist() == ["bayesiannmf0", "bayesiannmf1"]
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    assert model.fit_.H["column"].values.tolist() == X.columns.tolist()
    assert clone(model).get_params()["n_components"] == 2


def test_a_search_finds_the_number_of_components():
    X = counts(60, 10, 2, seed=4)
    search = GridSearchCV(BayesianNMF(random_state=0), {"n_components": [1, 2]}, cv=2).fit(X)
    assert search.best_params_ == {"n_components": 2}


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler", "itakura-saito", 2, 1, 0])
def test_losses_are_scikit_learns(loss):
    X = counts() + 0.5
    theirs = ScikitNMF(2, beta_loss=loss, solver="mu", max_iter=3000, tol=1e-7, random_state=0)
    theirs.fit(X)
    ours = BayesianNMF(2, beta_loss=loss, random_state=0).fit(X)
    if loss in (
        "itakura-saito",
        0,
    ):  # the shape of the gamma noise is inferred, and scales the error
        return
    assert ours.reconstruction_err_ <= theirs.reconstruction_err_ * (1 + 1e-3)


def test_what_may_be_negative_is_up_to_the_likelihood():
    X = counts() - 1.0
    assert np.isfinite(BayesianNMF(2, likelihood="gaussian", random_state=0).fit_transform(X)).all()
    with pytest.raises(ValueError, match="Negative values"):
        BayesianNMF(2).fit(X)


def test_penalties_are_scikit_learns():
    X, options = counts(), {"alpha_W": 0.02, "l1_ratio": 1.0, "beta_loss": "kullback-leibler"}
    theirs = ScikitNMF(2, solver="mu", max_iter=5000, tol=1e-8, random_state=0, **options)
    U = theirs.fit_transform(X)
    ours = BayesianNMF(2, random_state=0, **options).fit(X)

    def objective(W, H):
        mean = W @ H
        loss = np.sum(np.where(X > 0, X * np.log(np.maximum(X, 1) / mean), 0) - X + mean)
        return loss + 0.02 * (X.shape[1] * W.sum() + X.shape[0] * H.sum())

    scale = ours.fit_.tree["sample_stats/scale"].to_numpy()[0, 0]
    W = ours.fit_.W.to_numpy() / scale
    best = objective(W, ours.components_ * scale[:, None])
    assert best <= objective(U, theirs.components_) * (1 + 1e-4)


def test_fractions_do_not_empty_components():
    """TF-IDF has a scale that says nothing of its noise: the gamma prior would outweigh it."""
    X = counts(60, 12, 3, seed=4)
    shares = FunctionTransformer(lambda X: X / np.maximum(X.sum(axis=1, keepdims=True), 1))
    model = make_pipeline(shares, BayesianNMF(3, random_state=0)).fit(X)
    fit = model[-1].fit_
    assert fit.active().sum() == 3
    assert np.isfinite(model.score(X))


def news(shared_data, n_documents):
    """Return counts of words in documents, of words in at least so many, and the words."""
    counts = scipy.sparse.load_npz(shared_data / "reuters" / "reuters_counts.npz").tocsr()
    words = (shared_data / "reuters" / "reuters.tokens").read_text().split("\n")
    frequent = np.asarray((counts > 0).sum(axis=0)).ravel() >= n_documents
    return counts[:, frequent], np.array(words)[: counts.shape[1]][frequent]


@pytest.mark.data
def test_topics_of_weighted_words_are_scikit_learns(shared_data):
    """TF-IDF of real news, with default settings: scikit-learn's objective, and no component empty."""
    counts, _ = news(shared_data, n_documents=30)
    model = make_pipeline(TfidfTransformer(), BayesianNMF(4, random_state=0)).fit(counts)
    X, ours = model[0].transform(counts), model[-1]
    options = {"beta_loss": "kullback-leibler", "solver": "mu", "max_iter": 500, "random_state": 0}
    theirs = ScikitNMF(4, tol=1e-6, **options).fit(X)
    assert ours.reconstruction_err_ <= theirs.reconstruction_err_
    # Its updates lead nowhere from here, so these are topics of its own objective.
    again = ScikitNMF(4, init="custom", tol=0, **options)
    again.fit(X, W=ours.fit_.W.to_numpy(), H=ours.components_.copy())
    assert ours.reconstruction_err_ == pytest.approx(again.reconstruction_err_, rel=1e-5)
    H = again.components_ / again.components_.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours.components_, H, atol=1e-3)
    shares = ours.fit_.mass.to_numpy().ravel() / X.sum()
    assert shares.min() > 0.1


@pytest.mark.data
def test_a_prior_that_outweighs_weighted_words_is_named(shared_data):
    counts, _ = news(shared_data, n_documents=30)
    X = TfidfTransformer().fit_transform(counts)
    model = BayesianNMF(4, prior_W="gamma", prior_H="gamma", random_state=0)
    with pytest.warns(UserWarning, match="3 of 4 components are empty: .* the prior outweighs"):
        model.fit(X)
    assert model.fit_.converged


@pytest.mark.data
@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.usefixtures("optimised")
def test_weighted_words_hold_the_known_topics(shared_data):
    """Topics of twenty that the makers of the data name; see ``README.md`` there."""
    counts, words = news(shared_data, n_documents=5)
    model = make_pipeline(TfidfTransformer(), BayesianNMF(20, random_state=0)).fit(counts)
    top = [set(words[np.argsort(-h)[:20]]) for h in model[-1].components_]
    for topic in (
        "mother teresa heart",
        "pope vatican paul",
        "charles prince diana",
        "elvis king fans",
        "germany war nazi",
    ):
        assert any(set(topic.split()) <= found for found in top), topic
    assert model[-1].fit_.active().sum() == 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta_loss": "hinge"}, "unknown beta_loss 'hinge'"),
        ({"beta_loss": 1, "likelihood": "gamma"}, "both say what the noise is"),
        ({"alpha_W": 0.1}, "asks for an l2 penalty"),
        ({"alpha_W": 0.1, "alpha_H": 0.0, "l1_ratio": 1.0}, "alpha_H=0 has no optimum"),
        ({"init": "custom"}, r"use method=bayesnmf.MAP\(init"),
        ({"likelihood": "kullback-leibler"}, "use likelihood='poisson'"),
        ({"n_components": 0}, "at least 1"),
    ],
)
def test_options_are_checked_when_fitting(options, words):
    model = BayesianNMF(**options)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(counts())
