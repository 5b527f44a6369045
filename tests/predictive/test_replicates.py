"""Replicates of V: their distribution, their labels, and what is refused."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import small
import synthetic
from exact import law
from numpyro.infer import Predictive
from scipy import stats

import bayesnmf as bn
from bayesnmf.predictive import replicates as predictive
from bayesnmf.predictive.replicates import posterior_predictive

#: False-alarm rate of a single comparison of moments, and its two-sided normal quantile.
LIMIT = stats.norm.isf(1e-5 / 2)


def repeated(name, n_draws=2000):
    """Return a fit that holds one draw many times, and the SciPy distribution of its cells."""
    rng = np.random.default_rng(5)
    likelihood = small.LIKELIHOODS[name]
    scale = 0.5 if likelihood.name == "beta" else 2.0
    W = rng.gamma(1.5, scale, (small.SHAPE[0], 2))
    H = rng.gamma(1.5, scale, (2, small.SHAPE[1]))
    values = small.parameters(likelihood)
    fit = synthetic.assembled(
        np.tile(W, (1, n_draws, 1, 1)),
        np.tile(H, (1, n_draws, 1, 1)),
        V=small.data(likelihood, missing=0.2),
        model=small.model(name),
        sites={key: np.full((1, n_draws), x) for key, x in values.items()},
    )
    return fit, law(likelihood, W @ H, **values)


@pytest.mark.parametrize("name", small.LIKELIHOODS)
def test_replicates_follow_the_likelihood(name):
    fit, cells = repeated(name)
    values = posterior_predictive(fit, seed=1).to_numpy()[0]
    mean, variance, kurtosis = cells.stats("mvk")
    z = (values.mean(axis=0) - mean) / np.sqrt(variance / len(values))
    assert np.abs(z).max() < LIMIT
    spread = variance * np.sqrt((kurtosis + 2) / len(values))
    assert np.abs((values.var(axis=0) - variance) / spread).max() < 2 * LIMIT  # a skewed statistic


def test_labels_thinning_and_seeds():
    W, H = synthetic.draws(3, 40)
    V = np.random.default_rng(1).poisson(synthetic.W @ synthetic.H) + 0.0
    V[0, 1] = np.nan
    fit = synthetic.assembled(W, H, V=V)
    result = posterior_predictive(fit, num_samples=31)
    assert result.dims == ("chain", "draw", "row", "column")
    assert result.shape == (3, 10, 5, 4)
    assert result["draw"].values.tolist() == list(range(0, 40, 4))
    assert np.isfinite(result).all()
    assert posterior_predictive(fit, num_samples=31).identical(result)
    assert not posterior_predictive(fit, num_samples=31, seed=1).identical(result)
    assert posterior_predictive(fit).shape == (3, 40, 5, 4)


def test_a_mode_gives_one_replicate_of_its_own_precision():
    W, H = (x.astype(np.float32) for x in synthetic.draws(1, 1))
    V = np.full((5, 4), 3.0, np.float32)
    result = posterior_predictive(synthetic.assembled(W, H, V=V, method="map"), num_samples=100)
    assert result.shape == (1, 1, 5, 4)
    assert result.dtype == np.float32


def test_equal_shapes_are_compiled_once():
    fit, _ = repeated("gaussian", 10)
    posterior_predictive(fit)
    before = predictive._replicates._cache_size()
    posterior_predictive(repeated("gaussian", 10)[0], seed=4)
    assert predictive._replicates._cache_size() == before


def test_a_program_draws_as_numpyro_does():
    """schmidt2009: the scale of W and H and the variance must all reach its site V."""
    W, H = synthetic.draws(1, 1)
    n = 2000
    W, H = np.tile(W, (1, n, 1, 1)), np.tile(H, (1, n, 1, 1))
    program = bn.load_model("schmidt2009", n_components=3)
    V = np.where(np.eye(5, 4) > 0, np.nan, 1.0)
    V[4, 3] = 2.0
    fit = synthetic.assembled(W, H, V=V, model=program, sites={"variance": np.full((1, n), 4.0)})
    ours = posterior_predictive(fit).to_numpy()[0]
    with jax.enable_x64(True):
        given = {"W": W[0], "H": H[0], "variance": np.full(n, 4.0)}
        theirs = Predictive(program, given)(jax.random.key(5), shape=(5, 4))["V"]
    z = (ours.mean(axis=0) - np.asarray(theirs).mean(axis=0)) / np.sqrt(2 * 4.0 / n)
    assert np.abs(z).max() < LIMIT
    assert np.abs((ours.var(axis=0) - 4.0) / (4.0 * np.sqrt(2 / n))).max() < LIMIT


def test_too_many_draws_are_refused(monkeypatch):
    monkeypatch.setattr(predictive, "BUDGET", 5 * 4 * 8 * 17)
    fit = synthetic.assembled(*synthetic.draws(2, 40))
    with pytest.raises(
        MemoryError, match=r"80 replicates of V would take .* num_samples=17 or fewer"
    ):
        posterior_predictive(fit)
    assert posterior_predictive(fit, num_samples=17).sizes["draw"] == 8


@pytest.mark.parametrize(
    ("num_samples", "error", "match"),
    [
        (0, ValueError, "at least 1"),
        (1, ValueError, "fewer than the 2 chains"),
        (2.5, TypeError, "must be an integer"),
        (True, TypeError, "must be an integer"),
    ],
)
def test_bad_numbers_of_draws_are_refused(num_samples, error, match):
    with pytest.raises(error, match=match):
        posterior_predictive(synthetic.assembled(*synthetic.draws(2, 4)), num_samples=num_samples)


def test_a_lost_model_is_refused():
    fit = synthetic.assembled(*synthetic.draws(1, 4))
    with pytest.raises(ValueError, match="has no model, which drawing data needs"):
        posterior_predictive(bn.Fit(fit.tree, None))
