"""The Laplace approximation around a MAP estimate in log space, and the noise that is put back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map
from bayesnmf.progress import Silent
from bayesnmf.rank.laplace import corrected_noise, draw_around, laplace_at

pytestmark = pytest.mark.usefixtures("float64")


def at_optimal_rates(V, rank, likelihood):
    matrix = Matrix.of(V)
    model = bn.NMF(rank, likelihood).resolve(matrix)
    sites = log_map(model, matrix, jax.random.key(0), progress=Silent())
    return model, matrix.filled(1.0), matrix.observed, sites


def counts(n, m, rank, seed, concentration=np.inf):
    rng = np.random.default_rng(seed)
    mean = rng.gamma(1.0, 10.0, (n, rank)) @ rng.gamma(1.0, 1.0, (rank, m))
    if np.isfinite(concentration):
        mean = mean * rng.gamma(concentration, 1 / concentration, mean.shape)
    return rng.poisson(mean).astype(float)


def test_blocks_are_those_of_the_hessian_and_parameters_its_effective_number():
    V = counts(14, 11, 2, seed=1)
    V[2, 3] = np.nan
    model, values, kept, sites = at_optimal_rates(V, 2, "poisson")
    spread = laplace_at(model, values, kept, sites)
    W, H = sites["W"], sites["H"]
    n, m = V.shape

    def log_means(u):
        return jnp.log(jnp.exp(u[: 2 * n].reshape(n, 2)) @ jnp.exp(u[2 * n :].reshape(2, m)))

    u = np.log(np.concatenate([W.ravel(), H.ravel()]))
    jacobian = np.asarray(jax.jacobian(log_means)(u)).reshape(n * m, -1)
    # Of log(mean) a Poisson count holds the information mean.
    information = (jacobian.T * np.where(kept, W @ H, 0.0).ravel()) @ jacobian
    shape = np.concatenate(
        [
            np.broadcast_to(prior.shape, x.shape).ravel()
            for prior, x in ((model.prior_W, W), (model.prior_H, H))
        ]
    )
    for row in (2, 5):
        own = slice(2 * row, 2 * row + 2)
        exact = np.linalg.inv(information[own, own] + np.diag(shape[own]))
        np.testing.assert_allclose(spread.W[row] @ spread.W[row].T, exact)
    own = [2 * n + 3, 2 * n + m + 3]
    exact = np.linalg.inv(information[np.ix_(own, own)] + np.diag(shape[own]))
    np.testing.assert_allclose(spread.H[3] @ spread.H[3].T, exact)
    trace = np.trace(np.linalg.solve(information + np.diag(shape), information))
    np.testing.assert_allclose(spread.n_parameters, trace, rtol=0.03)


def test_draws_have_the_mode_as_their_mean_and_the_covariance_of_their_logarithms():
    covariance = np.array([[[0.3, -0.2], [-0.2, 0.5]]])
    root, rng = np.linalg.cholesky(covariance), np.random.default_rng(0)
    draws = draw_around(np.array([[2.0, 30.0]]), root, 40_000, rng)[:, 0]
    np.testing.assert_allclose(draws.mean(axis=0), [2.0, 30.0], rtol=0.02)
    np.testing.assert_allclose(np.cov(np.log(draws).T), covariance[0], atol=0.01)


def test_standard_deviation_is_that_of_n_minus_p():
    rng = np.random.default_rng(3)
    V = 5 + rng.gamma(1.0, 4.0, (20, 3)) @ rng.gamma(1.0, 1.0, (3, 15)) + rng.normal(0, 2, (20, 15))
    model, values, kept, sites = at_optimal_rates(V, 4, "gaussian")
    mode, mean_square = sites["sigma"] ** 2, np.mean((V - sites["W"] @ sites["H"]) ** 2)
    # The prior has already put back some of the noise.
    assert mean_square < mode
    for p, left in ((0.0, 1.0), (30.0, 0.9), (120.0, 0.6), (1e9, 0.05)):
        noise = corrected_noise(model, values, kept, sites, p)["sigma"] ** 2
        np.testing.assert_allclose(noise, max(mode, mean_square / left), rtol=3e-3)


@pytest.mark.long
def test_noise_does_not_shrink_with_the_number_of_components():
    truth = 8.0
    V = counts(30, 24, 2, seed=4, concentration=truth)
    at_modes, corrected = [], []
    for rank in (2, 6):
        mode = at_optimal_rates(V, rank, "negative_binomial")
        spread = laplace_at(*mode)
        at_modes.append(float(mode[-1]["concentration"]))
        corrected.append(float(corrected_noise(*mode, spread.n_parameters)["concentration"]))
    assert at_modes[1] > 2 * truth
    np.testing.assert_allclose(corrected, truth, rtol=0.35)


def test_counts_with_less_noise_than_the_likelihood_allows_are_left_alone():
    mode = at_optimal_rates(counts(20, 15, 2, seed=5), 2, "negative_binomial")
    noise = corrected_noise(*mode, laplace_at(*mode).n_parameters)
    assert noise["concentration"] > 0.3 * mode[-1]["concentration"]
    assert corrected_noise(*at_optimal_rates(counts(20, 15, 2, seed=5), 2, "poisson"), 30.0) == {}
