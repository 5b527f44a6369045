"""Scoring rules against their definition."""

from __future__ import annotations

import arviz_stats
import numpy as np
import pytest
import synthetic
from comparison.test_loo import scattered

from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.comparison.loo import loo, relative_efficiency
from bayesnmf.comparison.scores import loo_score
from bayesnmf.predictive.replicates import posterior_predictive

pytestmark = pytest.mark.filterwarnings("ignore:Estimated shape", "ignore:Pareto k")


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_the_score_is_its_definition(likelihood):
    fit = scattered(missing=0.2, likelihood=likelihood)
    result = loo_score(fit, pointwise=True, seed=3)
    V = fit.V.to_numpy()
    seen = ~np.isnan(V)
    draws = posterior_predictive(fit, seed=3).to_numpy().reshape(200, *V.shape)[:, seen].T
    density = log_likelihood(fit).to_numpy()[..., seen]
    weights, k = arviz_stats.base.array_stats.psislw(
        np.moveaxis(density, -1, 0), r_eff=relative_efficiency(fit), axis=[1, 2]
    )
    weights = np.exp(weights.reshape(-1, 200))
    weights /= weights.sum(axis=1, keepdims=True)
    apart = abs(draws[:, :, None] - draws[:, None, :])
    spread = np.einsum("cs,ct,cst->c", weights, weights, apart)
    error = np.sum(weights * abs(draws - V[seen][:, None]), axis=1)
    np.testing.assert_allclose(result.pointwise, spread / 2 - error, rtol=1e-6)
    assert result.mean == pytest.approx(float(result.pointwise.mean()))
    np.testing.assert_allclose(result.pareto_k, k, rtol=1e-6)
    np.testing.assert_array_equal(result.pointwise["row"], loo(fit).elpd_i["row"])


def test_draws_are_thinned_and_input_is_checked():
    fit = scattered(2, 100)
    assert np.isfinite(loo_score(fit, "scrps", num_samples=60).mean)
    with pytest.raises(ValueError, match="unknown kind 'log'; valid: crps, scrps"):
        loo_score(fit, "log")
    with pytest.raises(ValueError, match="no draws to estimate"):
        loo_score(synthetic.assembled(*synthetic.draws(1, 1), method="map"))
