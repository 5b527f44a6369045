"""Clusters of chains: different factorisations are split, everything else is not."""

from __future__ import annotations

import ambiguous
import numpy as np
import pytest
import synthetic

from bayesnmf.posterior.clusters import cluster


def labels(W, H, lp=None):
    return cluster(W, H, np.zeros(W.shape[:2]) if lp is None else lp).tolist()


def slow(n_chains, n_draws, shape, correlation, rng):
    """Return autoregressions of unit variance, stationary from the first draw."""
    x = rng.standard_normal((n_chains, n_draws, *shape))
    for t in range(1, n_draws):
        x[:, t] = correlation * x[:, t - 1] + np.sqrt(1 - correlation**2) * x[:, t]
    return x


def gamma_like(n_chains, n_draws, correlation, rng):
    """Return slow draws of a wide posterior around random factors of rank three."""
    W, H = rng.gamma(0.5, size=(20, 3)), rng.gamma(0.5, size=(3, 12))
    return tuple(
        x * np.exp(0.5 * slow(n_chains, n_draws, x.shape, correlation, rng)) for x in (W, H)
    )


def test_two_exact_factorisations_are_two_modes():
    """They have the same WH, so nothing but the factors can tell them apart."""
    for W, H in ambiguous.EXACT:
        np.testing.assert_array_equal(W @ H, ambiguous.V)
    assert labels(*ambiguous.draws((0, 1, 0, 1, 1))) == [0, 1, 0, 1, 1]


def test_modes_are_numbered_from_the_highest_density():
    lp = np.array([[0.0], [5.0], [1.0]]) + np.zeros((3, 60))
    assert labels(*ambiguous.draws(), lp) == [1, 0, 1]
    assert labels(*ambiguous.draws(), -lp) == [0, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_relabelled_and_rescaled_draws_have_the_same_modes(seed):
    raw_W, raw_H, _ = synthetic.scrambled(*ambiguous.draws(), seed)
    assert labels(raw_W, raw_H) == [0, 1, 0]


@pytest.mark.parametrize(
    ("correlation", "n_draws"), [(0.0, 50), (0.9, 50), (0.9, 200), (0.99, 500)]
)
def test_chains_that_mix_slowly_are_not_split(correlation, n_draws):
    """The last are worth two or three draws, and means of chains differ in every entry."""
    for seed in range(25):
        W, H = gamma_like(4, n_draws, correlation, np.random.default_rng(seed))
        raw_W, raw_H, _ = synthetic.scrambled(W, H, seed)
        assert labels(raw_W, raw_H) == [0, 0, 0, 0], seed


def test_near_identical_modes_are_not_split():
    """Sharply apart, but in 4 % of a component's mass."""
    W, H = synthetic.draws(n_draws=100, noise=1e-4)
    H[1, ..., 1, 0] += 0.04
    assert labels(W, H) == [0, 0, 0]
    H[1, ..., 1, 0] += 0.2
    assert labels(W, H) == [0, 1, 0]


def test_a_component_of_no_mass_splits_nothing():
    W, H = synthetic.draws(n_draws=100, noise=0.01)
    H[1, ..., 2, :] = H[1, ..., 2, ::-1] ** 3
    assert labels(W, H) == [0, 1, 0]
    W[..., 2] *= 1e-3
    assert labels(W, H) == [0, 0, 0]


def test_a_chain_that_visits_both_joins_them():
    W, H = ambiguous.draws((0, 1, 0))
    W[2, ::2], H[2, ::2] = W[1, ::2], H[1, ::2]
    assert labels(W, H) == [0, 0, 0]


def test_one_chain_few_draws_and_missing_numbers_are_not_judged():
    W, H = ambiguous.draws()
    assert labels(W[:1], H[:1]) == [0]
    assert labels(W[:, :49], H[:, :49]) == [0, 0, 0]
    assert labels(W[:, :50], H[:, :50]) == [0, 1, 0]
    W[0, 0, 0, 0] = np.nan
    assert labels(W, H) == [0, 0, 0]


def test_long_chains_are_thinned_to_the_same_verdict():
    W, H = ambiguous.draws((0, 1), n_draws=1200)
    assert labels(W, H) == [0, 1]
