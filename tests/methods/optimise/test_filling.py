"""Components of zeros: they leave every search as it is, and let ranks share programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.methods.optimise import descent
from bayesnmf.methods.optimise.filling import filled
from bayesnmf.methods.optimise.initial import random_start
from bayesnmf.methods.optimise.search import Search, find_optima, refit
from bayesnmf.observed import observe
from bayesnmf.priors import Exponential, Gamma
from bayesnmf.progress import Silent

SEARCH = Search("newton", 2000, 1e-7, log_space=True)
FILLING = replace(SEARCH, fills=True)


def optima(search, model, matrix):
    rng = np.random.default_rng(0)
    starts = [random_start(model, matrix, rng)]
    return find_optima(search, model, matrix, starts, Silent())[0]


def assert_same_optimum(ours, theirs):
    assert ours.converged
    assert theirs.converged
    assert ours.sites["W"].shape == theirs.sites["W"].shape
    assert ours.objective == pytest.approx(theirs.objective, abs=1e-5)
    for name, x in theirs.sites.items():
        np.testing.assert_allclose(ours.sites[name], x, rtol=1e-2, atol=1e-2 * np.max(x))


@pytest.mark.parametrize("name", small.short_of(small.DISTINCT, "negative_binomial"))
def test_every_likelihood_has_the_optimum_of_the_model_itself(name, float64):
    likelihood = small.LIKELIHOODS[name]
    matrix = Matrix.of(small.data(likelihood, missing=0.15))
    model = small.model(name).resolve(matrix)
    ours, theirs = (optima(search, model, matrix) for search in (FILLING, SEARCH))
    assert_same_optimum(ours, theirs)
    data = observe(model, matrix)
    near = {k: 1.1 * x for k, x in theirs.sites.items()}
    assert_same_optimum(*(refit(search, model, data, near) for search in (FILLING, SEARCH)))


PRIORS = {
    "exponential": Exponential(0.5),
    "sparse": Gamma(0.5, 0.5),
    "a shape an entry": Gamma(np.linspace(1.0, 2.0, small.SHAPE[1])[None], 1.0),
    "a rate a component": Gamma(1.0, np.array([[0.5], [2.0]])),
}


@pytest.mark.parametrize("prior", small.short_of(list(PRIORS), "sparse", "a rate a component"))
@pytest.mark.parametrize("storage", small.short_of(["dense", "sparse"], "sparse"))
def test_every_prior_and_storage_has_the_optimum_of_the_model_itself(prior, storage, float64):
    V = small.data(small.LIKELIHOODS["poisson"])
    matrix = Matrix.of(V) if storage == "dense" else SparseMatrix.of(scipy.sparse.csr_array(V))
    model = bn.NMF(2, "poisson", Gamma(1.0, 0.5), PRIORS[prior]).resolve(matrix)
    assert_same_optimum(*(optima(search, model, matrix) for search in (FILLING, SEARCH)))


def test_ranks_share_programs(float64):
    V = small.data(small.LIKELIHOODS["poisson"])

    def n_programs(rank, method):
        bn.fit(V, bn.NMF(rank, "poisson"), method, progress=False)
        return descent.advance._cache_size()

    in_log_space = bn.MAP(space="log", n_init=1)
    first, *others = (n_programs(rank, in_log_space) for rank in (1, 2, 3, 4))
    assert others == [first] * 3
    assert n_programs(2, bn.MAP(n_init=1)) == first + 1  # in natural space nothing is filled


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"prior_W": "ard"}, (6, 5)),
        ({"H": np.ones((1, 5))}, (6, 5)),
        ({}, (2000, 2000)),
    ],
    ids=["rates inferred", "known", "large"],
)
def test_other_models_stay_as_they_are(options, shape):
    model = bn.NMF(2, "poisson", **options).resolve(np.ones((6, 5)))
    assert filled(FILLING, model, shape) is model
    assert (
        filled(
            FILLING, bn.NMF(2, prior_W=Gamma(1.0, 1.0), prior_H=Gamma(1.0, 1.0)), (6, 5)
        ).n_components
        == 12
    )
