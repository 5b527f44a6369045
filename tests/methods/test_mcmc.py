"""MCMC: chains, statistics, and what must not change them.

Draws are compared with an exact posterior in ``statistical/test_rank_one.py``, and their log
density with SciPy's in ``test_svi.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
import small

import bayesnmf as bn

plain = pytest.mark.parametrize("name", small.PLAIN)
SHORT = bn.MCMC(num_warmup=5, num_samples=5, num_chains=1)


def test_records_refuse_what_is_not_an_option():
    for options, words in (
        ({"kernel": "gibbs"}, "unknown kernel 'gibbs'; valid: auto"),
        ({"num_warmup": -1}, "num_warmup must be at least 0, not -1"),
        ({"num_samples": 0}, "num_samples must be at least 1, not 0"),
        ({"num_chains": 0}, "num_chains must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=words):
            bn.MCMC(**options)


@plain
def test_chains_have_statistics_and_differ(name):
    fit = small.fitted(name, "mcmc")
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    assert (posterior.sizes["chain"], posterior.sizes["draw"]) == (2, 20)
    assert set(posterior.data_vars) == {"W", "H", *fit.model.likelihood.priors}
    expected = {"lp", "acceptance_rate", "diverging", "n_steps", "energy", "scale", "match"}
    assert set(stats.data_vars) == expected
    assert stats["acceptance_rate"].max() <= 1
    assert (posterior["W"][0] != posterior["W"][1]).any()
    for values in posterior.data_vars.values():
        assert np.isfinite(values).all()
        assert (values > 0).all()


def test_divergences_are_told():
    fit = small.fitted("poisson", "mcmc")
    n_diverging = int(fit.tree["sample_stats/diverging"].sum())
    assert (f"{n_diverging} divergent" in fit.message) == (n_diverging > 0)
    assert fit.message.startswith("2 chain(s) of 20 draws")


def test_one_chain_is_not_judged():
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, small.model("poisson"), bn.MCMC(num_warmup=5, num_samples=8, num_chains=1))
    assert not fit.converged
    assert "Cannot judge convergence: R-hat needs at least two chains" in fit.message


@plain
def test_masked_values_change_nothing_bit_for_bit(name):
    V = small.data(small.LIKELIHOODS[name])
    mask = np.ones(V.shape, bool)
    mask[[0, 2], [1, 4]] = False
    fits = [
        small.run(np.where(mask, V, value), small.model(name), SHORT, mask=given)
        for value, given in ((0.3, mask), (-np.inf, mask), (np.nan, None))
    ]
    assert small.same(fits[0], fits[1])
    assert small.same(fits[0], fits[2])


def test_the_seed_decides():
    V = small.data(small.LIKELIHOODS["gaussian"])
    a, b, c = (small.run(V, small.model("gaussian"), SHORT, seed=seed) for seed in (4, 4, 5))
    assert small.same(a, b)
    assert not np.array_equal(a.W, c.W)


def test_without_warmup_chains_start_near_the_mode_in_log_space():
    """And apart from each other, or R-hat could not see a chain that never moves."""
    V = small.data(small.LIKELIHOODS["gaussian-known"])
    model = small.model("gaussian-known")
    fit = small.run(V, model, bn.MCMC(num_warmup=0, num_samples=1, num_chains=4))
    draws = fit.tree["posterior/W"].to_numpy()[:, 0]
    assert np.ptp(draws, axis=0).min() > 0
    mode = bn.NMF(small.RANK, model.likelihood, bn.priors.Gamma(2.5, 0.8), bn.priors.Gamma(2, 1.1))
    at_mode = small.run(V, mode, bn.MAP(n_init=4))
    assert fit.tree["sample_stats/lp"].min() > -1.5 * at_mode.tree.attrs["objective"] - 100
