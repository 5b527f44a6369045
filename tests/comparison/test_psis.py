"""Smoothed importance sampling of many cells, against ArviZ's of one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from bayesnmf.comparison.psis import good_k, psis_loo


def log_likelihoods(n_draws, n_cells=60, seed=0):
    """Return cells from almost constant to hopeless."""
    rng = np.random.default_rng(seed)
    shape, scale = rng.uniform(0.2, 3.0, (2, n_cells, 1))
    return -rng.gamma(shape, scale, (n_cells, n_draws)) * rng.choice([1e-6, 1, 1, 4], (n_cells, 1))


@pytest.mark.parametrize(
    ("n_draws", "reff"), [(1000, 1.0), (1000, 0.3), (1000, 1.6), (100, 1.0), (30, 1.0), (300, 0.5)]
)
def test_the_numbers_are_arvizs(n_draws, reff):
    cells = log_likelihoods(n_draws)
    elpd, k = psis_loo(cells, reff)
    theirs = np.array([array_stats.loo(cell[None], r_eff=reff)[:2] for cell in cells])
    np.testing.assert_allclose(elpd, theirs[:, 0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(k, theirs[:, 1], rtol=1e-8, atol=1e-9)


def test_another_density_is_averaged_with_the_same_weights():
    cells = log_likelihoods(400)
    predicted = np.random.default_rng(1).normal(size=cells.shape)
    elpd, k = psis_loo(cells, 0.8, predicted)
    np.testing.assert_allclose(k, psis_loo(cells, 0.8)[1], rtol=1e-12)
    for cell, other, ours in zip(cells, predicted, elpd, strict=True):
        log_weights, _ = array_stats.psislw(cell[None], r_eff=0.8, axis=[0, 1])
        assert ours == pytest.approx(np.log(np.sum(np.exp(log_weights[0] + other))), abs=1e-10)
    np.testing.assert_allclose(psis_loo(cells, 0.8, cells)[0], psis_loo(cells, 0.8)[0], atol=1e-10)


def test_a_known_answer():
    """Draws of a standard normal mean; one cell at 1 with a standard deviation of 2.

    Without the cell the posterior has precision 1 - 1/4 and mean -1/3.
    """
    theta = np.random.default_rng(4).standard_normal((20, 20_000))
    elpd, k = psis_loo(stats.norm.logpdf(1.0, theta, 2.0))
    exact = stats.norm.logpdf(1.0, -1 / 3, np.sqrt(4 / 3 + 4))
    spread = elpd.std(ddof=1)
    assert (k < 0.5).all()
    assert abs(elpd.mean() - exact) < 4 * spread / np.sqrt(20)
    assert spread < 0.01


def test_input_is_not_changed():
    cells = log_likelihoods(100)
    before = cells.copy()
    psis_loo(cells)
    psis_loo(cells, 1.0, cells)
    np.testing.assert_array_equal(cells, before)


def test_a_constant_cell_needs_no_smoothing():
    elpd, k = psis_loo(np.full((2, 100), -1.5))
    np.testing.assert_allclose(elpd, -1.5, rtol=1e-14)
    assert k.tolist() == [0.0, 0.0]


def test_a_tail_like_no_pareto_distribution_is_flagged():
    """More than a quarter of the tail at its threshold, where ArviZ has a NaN that passes."""
    cells = np.zeros((1, 1000))
    cells[0, :20] = -np.linspace(1.0, 9.0, 20)
    elpd, k = psis_loo(cells)
    assert k[0] == np.inf
    assert np.isfinite(elpd[0])
    assert np.isnan(array_stats.loo(cells)[1])


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match=r"at least 30 draws .* there are 29"):
        psis_loo(log_likelihoods(29))


def test_the_threshold_grows_with_the_number_of_draws():
    assert [good_k(n) for n in (1, 10, 100, 10**6)] == [0.7, 0.0, 0.5, 0.7]
