"""Rank-one Poisson-gamma: the methods against the exact posterior, and the oracle against brute force.

Every comparison of draws has a false-alarm rate of 1e-3, split over its quantities; seeds are
fixed, so a failure is a change of the code, and a wrong posterior has to hide within the Monte
Carlo error that the draws themselves report.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact import RankOne
from scipy import special, stats

import bayesnmf as bn

pytestmark = [pytest.mark.statistical, pytest.mark.long]

FALSE_ALARM = 1e-3
V = np.array([[2, 1, 1, 4], [4, 5, 0, 10], [0, 0, 0, 0], [3, 0, 1, 2], [1, 0, 0, 3]], float)
RATE_W, RATE_H = 0.7, 1.3


def oracle(shape: float) -> RankOne:
    return RankOne(V, shape, RATE_W, shape, RATE_H)


def model(shape: float) -> bn.NMF:
    priors = bn.priors
    return bn.NMF(1, "poisson", priors.Gamma(shape, RATE_W), priors.Gamma(shape, RATE_H))


def scores(w: np.ndarray, h: np.ndarray, exact: RankOne) -> np.ndarray:
    """Return z-scores of the draws' means and standard deviations.

    `w` is (chain, draw, n_rows) and `h` (chain, draw, n_columns), in their original scale.
    """
    from arviz_stats.base import array_stats

    s, t = w.sum(axis=-1, keepdims=True), h.sum(axis=-1, keepdims=True)
    draws = {"W/sum W": w / s, "H/sum H": h / t, "sum W": s, "sum H": t}
    axes = {"chain_axis": 0, "draw_axis": 1}
    z = []
    for name, (mean, sd) in exact.moments().items():
        x = draws[name]
        z.append((x.mean(axis=(0, 1)) - mean) / array_stats.mcse(x, **axes, method="mean"))
        z.append((x.std(axis=(0, 1)) - sd) / array_stats.mcse(x, **axes, method="sd"))
    return np.concatenate(z)


def limit(n_tests: int) -> float:
    """Return the two-sided normal quantile at the false-alarm rate of all tests together."""
    return float(stats.norm.isf(FALSE_ALARM / n_tests / 2))


# -- the oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [1.0, 2.0, 0.6])
def test_the_oracle_by_brute_force(shape):
    """Integrate likelihood times prior over all four entries of a 2 x 2 problem."""
    V = np.array([[3.0, 1.0], [0.0, 2.0]])
    exact = RankOne(V, shape, 2.0, shape, 3.0)

    # Gauss-Laguerre: nodes are the entries times their prior's rate.
    nodes, weights = special.roots_genlaguerre(48, shape - 1)
    weights = weights / special.gamma(shape)
    w1, w2, h1, h2 = np.meshgrid(nodes / 2.0, nodes / 2.0, nodes / 3.0, nodes / 3.0, sparse=True)
    mass = np.einsum("i,j,k,l->jikl", *[weights] * 4)
    for (i, w), (j, h) in itertools.product(enumerate((w1, w2)), enumerate((h1, h2))):
        mass = mass * stats.poisson.pmf(V[i, j], w * h)
    evidence = mass.sum()
    assert exact.log_evidence() == pytest.approx(np.log(evidence), abs=1e-7)

    def moments(x):
        mean = (mass * x).sum() / evidence
        return mean, np.sqrt((mass * (x - mean) ** 2).sum() / evidence)

    by_hand = {
        "W/sum W": w1 / (w1 + w2),
        "H/sum H": h1 / (h1 + h2),
        "sum W": w1 + w2,
        "sum H": h1 + h2,
    }
    for name, (mean, sd) in exact.moments().items():
        np.testing.assert_allclose((mean[0], sd[0]), moments(by_hand[name]), rtol=1e-5)


def test_the_oracle_by_the_confluent_hypergeometric_function():
    exact = RankOne(np.array([[3.0, 1.0], [0.0, 2.0]]), 1.5, 0.8, 0.9, 1.1)
    A, B = exact.dirichlet_W.sum(), exact.dirichlet_H.sum()
    integral = special.gamma(A) * 1.1 ** (A - B) * special.hyperu(A, A - B + 1, 0.8 * 1.1)
    assert exact._grid()[2] == pytest.approx(np.log(integral), abs=1e-9)


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_the_sampler_of_the_oracle(shape):
    w, h = oracle(shape).sample(np.random.default_rng(3), 20_000)
    z = scores(w[None], h[None], oracle(shape))
    assert np.abs(z).max() < limit(z.size)


# -- MCMC -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1.0, 2.0], ids=["shape 1", "shape 2"])
def chains(request):
    """Return the prior's shape and a NUTS fit."""
    method = bn.MCMC(kernel="nuts", num_warmup=500, num_samples=2000, num_chains=4)
    return request.param, bn.fit(V, model(request.param), method, seed=1, progress=False)


def originals(fit):
    """Return W and H before the scale was moved into W."""
    scale = fit.tree["sample_stats/scale"].to_numpy()
    w = fit.tree["posterior/W"].to_numpy()[..., 0] / scale
    return w, fit.tree["posterior/H"].to_numpy()[..., 0, :] * scale


def test_nuts_agrees_with_the_exact_posterior(chains):
    shape, fit = chains
    assert fit.converged, fit.message
    z = scores(*originals(fit), oracle(shape))
    assert np.abs(z).max() < limit(z.size)


def test_nuts_does_not_agree_with_a_wrong_posterior(chains):
    """Negative control: the same z-scores see another prior's shape, and a lost Jacobian."""
    shape, fit = chains
    w, h = originals(fit)
    z = scores(w, h, oracle(1.2 * shape))
    assert np.abs(z).max() > 2 * limit(z.size)
    # Sampling log w without its Jacobian is a prior whose shape is one smaller.
    if shape > 1:
        z = scores(w, h, oracle(shape - 1))
        assert np.abs(z).max() > 2 * limit(z.size)


def test_nuts_cells_agree_with_the_exact_posterior(chains):
    """The posterior mean of WH, which Fit computes without forming any draw's WH."""
    from arviz_stats.base import array_stats

    shape, fit = chains
    w, h = oracle(shape).sample(np.random.default_rng(7), 50_000)
    exact = np.einsum("di,dj->ij", w, h) / len(w)
    product = np.einsum("cdi,cdj->cdij", *originals(fit)).reshape(4, 2000, -1)
    error = array_stats.mcse(product, chain_axis=0, draw_axis=1, method="mean").reshape(V.shape)
    error = np.hypot(error, np.einsum("di,dj->dij", w, h).std(axis=0) / np.sqrt(len(w)))
    assert np.abs((fit.mean.to_numpy() - exact) / error).max() < limit(V.size)


# -- SVI --------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=[(1.0, "cavi"), (2.0, "cavi"), (1.0, "guide"), (2.0, "guide")], ids=str
)
def approximation(request):
    shape, algorithm = request.param
    svi = bn.SVI(algorithm, num_samples=4000)
    return shape, bn.fit(V, model(shape), svi, seed=1, progress=False)


def test_the_bound_lies_below_the_log_evidence(approximation):
    """Independent entries lose 0.8 nats and more, to the ridge of the scale; those that move together less."""
    shape, fit = approximation
    assert fit.converged, fit.message
    slack = float(stats.norm.isf(FALSE_ALARM)) * fit.tree.attrs["elbo_error"]
    gap, fitted = (
        oracle(shape).log_evidence() - fit.tree.attrs[name] for name in ("elbo", "elbo_fitted")
    )
    assert -slack < gap < 0.6
    assert 0.6 < fitted < 1.5
    assert slack < 0.1


def test_weighted_draws_have_the_log_evidence(approximation):
    """The log densities of draws, joint and of the approximation, with all their constants."""
    shape, fit = approximation
    stats_ = fit.tree["sample_stats"]
    log_ratio = (stats_["lp"] - stats_["lq"]).to_numpy().ravel()
    weight = np.exp(log_ratio - log_ratio.max())
    estimate = np.log(weight.mean()) + log_ratio.max()
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    assert error < 0.1
    assert abs(estimate - oracle(shape).log_evidence()) < limit(1) * error


def test_the_approximation_is_near_the_exact_posterior(approximation):
    shape, fit = approximation
    w, h = (x[0] for x in originals(fit))
    total = {"sum W": w.sum(axis=1), "sum H": h.sum(axis=1)}
    for name, draws in total.items():
        mean, sd = (float(x[0]) for x in oracle(shape).moments()[name])
        assert abs(draws.mean() - mean) < 0.4 * sd
        assert 0.7 * sd < draws.std() < 1.3 * sd
