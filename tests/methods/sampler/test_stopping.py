"""Runs that end when there are effective draws enough."""

from __future__ import annotations

import numpy as np
import pytest
import small

import bayesnmf as bn
from bayesnmf.methods.sampler.stopping import FIRST_LOOK, Enough


def draws(n_draws, seed=0, between=0.0):
    """Return independent draws of two components in two chains whose means differ."""
    rng = np.random.default_rng(seed)
    shift = np.array([0.0, between])[:, None, None, None]
    W = 5.0 + shift + rng.normal(0, 0.3, (2, n_draws, 6, 2))
    H = np.array([[1.0, 2.0, 9.0], [7.0, 2.0, 1.0]]) + rng.normal(0, 0.1, (2, n_draws, 2, 3))
    return {"W": W, "H": H}, rng.normal(size=(2, n_draws))


def test_independent_draws_are_enough_at_the_first_look_that_can_tell():
    rule = Enough(150, ())
    assert not rule.add(*draws(FIRST_LOOK - 1))
    sites, lp = draws(200, seed=1)
    assert rule.add(sites, lp)


def test_it_looks_only_when_draws_have_grown_by_half():
    rule = Enough(1e9, ())
    assert not rule.add(*draws(100))
    rule.min_ess = 1.0
    assert not rule.add(*draws(49, seed=1))
    assert rule.add(*draws(400, seed=2))


def test_chains_that_differ_are_never_enough():
    assert not Enough(10, ()).add(*draws(500, between=1.0))


def test_the_order_of_components_does_not_matter():
    (sites, lp), rule = draws(500), Enough(300, ())
    sites["W"][1], sites["H"][1] = sites["W"][1][..., ::-1], sites["H"][1][:, ::-1]
    assert rule.add(sites, lp)


def test_what_is_not_a_number_is_not_enough():
    sites, lp = draws(500)
    sites["W"][0, 3, 0, 0] = np.nan
    assert not Enough(10, ()).add(sites, lp)


def test_a_parameter_counts_too():
    sites, lp = draws(500)
    sites["shape"] = np.array([[1.0], [2.0]]) + 0.01 * lp
    assert Enough(10, ()).add(sites, lp)
    assert not Enough(10, ("shape",)).add(sites, lp)


@pytest.mark.parametrize("name", small.short_of(["poisson", "gamma"], "poisson"))
def test_a_fit_ends_early_has_converged_and_can_be_continued(name):
    V, model = small.data(small.LIKELIHOODS[name]), small.model(name)
    fit = bn.fit(V, model, method=bn.MCMC(min_ess=200, num_chains=2, num_samples=3000), seed=1)
    n_draws = fit.tree["posterior"].sizes["draw"]
    assert 100 <= n_draws < 3000
    assert not fit.interrupted
    assert "with an ESS of at least 200" in fit.message
    checked = bn.check(fit).table
    assert checked[["ess_bulk", "ess_tail"]].min(axis=None) >= 200
    assert checked["rhat"].max() < 1.01
    longer = bn.resume(fit, 30)
    assert longer.tree["posterior"].sizes["draw"] == n_draws + 30


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_ess": 0}, ValueError, "must be positive"),
        ({"min_ess": "many"}, TypeError, "must be a number, not 'many'"),
        ({"min_ess": True}, TypeError, "must be a number"),
        ({"min_ess": 400, "num_chains": 1}, ValueError, "num_chains=2"),
        ({"min_ess": 400, "kernel": "nuts"}, ValueError, "structured kernel"),
    ],
)
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        bn.MCMC(**options)
