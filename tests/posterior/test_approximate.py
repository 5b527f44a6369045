"""What check says of draws that are approximate."""

from __future__ import annotations

import numpy as np
import pytest
import small

import bayesnmf as bn
from bayesnmf.posterior import approximate


@pytest.mark.parametrize("name", small.short_of(small.PLAIN, "gamma"))
def test_every_likelihood_has_its_measured_coverage(name):
    known = approximate.TOGETHER[name]
    message = bn.check(small.fitted(name, "svi")).message
    assert f"held {known.cells} % of the cells of WH and {known.masses} % of the" in message
    assert message.endswith("Report intervals from MCMC.")


def test_independent_entries_have_their_own():
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, small.model("poisson"), bn.SVI(linear_response=False, num_samples=30))
    known = approximate.INDEPENDENT["poisson"]
    assert f"held {known.cells} % of the cells of WH" in bn.check(fit).message
    assert known.masses < approximate.TOGETHER["poisson"].masses


def test_nothing_is_said_of_what_was_not_measured(tmp_path):
    program = small.run(
        small.data(small.LIKELIHOODS["poisson"]),
        bn.load_model("cemgil2009"),
        bn.SVI(num_steps=5, num_samples=5),
    )
    assert np.isnan(approximate.pareto_k(program))
    assert "In simulations" not in bn.check(program).message
    assert "Pareto" not in bn.check(program).message


def test_pareto_k_is_small_where_the_approximation_is_good():
    """One cell with a large count: all that is flat is the scale, which is drawn as it is."""
    V, priors = np.array([[400.0]]), (bn.priors.Gamma(20.0, 1.0), bn.priors.Gamma(20.0, 1.0))
    good = small.run(V, bn.NMF(1, "poisson", *priors), bn.SVI(num_samples=1000))
    assert approximate.pareto_k(good) < approximate.MAX_PARETO_K
    assert "weights can make them draws of the posterior" in bn.check(good).message
    apart = small.run(
        V, bn.NMF(1, "poisson", *priors), bn.SVI(num_samples=1000, linear_response=False)
    )
    assert approximate.pareto_k(apart) > approximate.pareto_k(good)


def test_a_fit_from_a_file_says_the_same(tmp_path):
    fit = small.fitted("poisson", "svi")
    fit.save(tmp_path / "fit.nc")
    assert bn.check(bn.load(tmp_path / "fit.nc")).message == bn.check(fit).message
