"""How W and H move together: against the dense information matrix, and draws against their own density."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small
from scipy import stats

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.methods.variational import copula, response
from bayesnmf.methods.variational.information import information_at, solve
from bayesnmf.observed import dense_cells_of, observe
from bayesnmf.observed.moments import moments_of
from bayesnmf.priors import Gamma

pytestmark = pytest.mark.usefixtures("float64")

K = 2


def problem(name, missing=0.15, sparse=False, **known):
    """A model, its data, whole factors (component first) and parameters."""
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=0.0 if sparse else missing)
    matrix = SparseMatrix.of(scipy.sparse.csr_array(V)) if sparse else Matrix.of(V)
    model = bn.NMF(K, likelihood, Gamma(0.8, 0.7), Gamma(1.5, 1.2), **known).resolve(matrix)
    data = observe(model, matrix) if sparse else dense_cells_of(model, matrix)
    rng = np.random.default_rng(3)
    W, H = rng.gamma(2.0, 0.5, (K, 6)), rng.gamma(2.0, 0.5, (K, 5))
    if model.H is not None:
        H[: model.n_known_H] = model.H
    parameters = {k: jnp.asarray(x) for k, x in small.parameters(likelihood).items()}
    return model, data, jnp.asarray(W), jnp.asarray(H), parameters, V


def dense_information(model, W, H, parameters, V, sparse=False):
    """The information matrix of all logarithms, W's rows first, from its definition."""
    W, H = np.asarray(W), np.asarray(H)
    mean, observed = W.T @ H, ~np.isnan(V)
    values = np.where(observed, V, model.likelihood.placeholder)
    known = {**model.likelihood.known, **parameters}
    weight = np.asarray(model.likelihood.fisher_information(values, mean, **known))
    weight = values / mean**2 if sparse else weight
    n, m = mean.shape
    slopes = np.zeros((n, m, K * (n + m)))
    for i in range(n):
        for j in range(m):
            slopes[i, j, i * K : (i + 1) * K] = W[:, i] * H[:, j]
            slopes[i, j, (n + j) * K : (n + j + 1) * K] = W[:, i] * H[:, j]
    weight = np.where(observed, weight, 0.0)
    information = np.einsum("ij,ija,ijb->ab", np.broadcast_to(weight, mean.shape), slopes, slopes)
    return information + np.diag(np.repeat([0.8, 1.5], [K * n, K * m]))


@pytest.mark.parametrize("name", small.short_of(small.DISTINCT, "poisson", "negative_binomial"))
def test_margins_are_those_of_the_dense_information(name):
    model, data, W, H, parameters, V = problem(name)
    information = dense_information(model, W, H, parameters, V)
    found = response.response_at(model, data, W, H, parameters)
    ours = np.concatenate([x.ravel() for x in copula._margins(found)])
    np.testing.assert_allclose(ours**2, np.diag(np.linalg.inv(information)), rtol=1e-6)


def test_sparse_counts_have_the_information_of_stored_cells():
    model, data, W, H, parameters, V = problem("poisson", sparse=True)
    information = dense_information(model, W, H, parameters, V, sparse=True)
    found = response.response_at(model, data, W, H, parameters)
    ours = np.concatenate([x.ravel() for x in copula._margins(found)])
    np.testing.assert_allclose(ours**2, np.diag(np.linalg.inv(information)), rtol=1e-6)


def test_gram_matrices_have_the_information_of_cells():
    model, data, W, H, parameters, V = problem("gaussian", missing=0.0)
    step = jnp.asarray(np.random.default_rng(0).normal(size=H.shape))
    moments = moments_of(Matrix.of(V))
    ours, theirs = (
        x.cross_information(model, W, H, step, parameters, axis=1) for x in (moments, data)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_few_directions_are_found_without_all():
    """Iteratively, those of the scales and trades alone: what is left out is small."""
    rng = np.random.default_rng(0)
    W, H = rng.gamma(1.0, size=(3, 30)), rng.gamma(1.0, size=(3, 20))
    V = rng.poisson(20.0 * W.T @ H).astype(float)
    model = bn.NMF(3, "poisson", Gamma(1.0, 1.0), Gamma(1.0, 1.0))
    data = dense_cells_of(model, Matrix.of(V))
    W, H = (jnp.asarray(np.sqrt(20.0) * x) for x in (W, H))
    whole = response.response_at(model, data, W, H, {})
    response_small, response.SMALL = response.SMALL, 0
    try:
        few = response.response_at(model, data, W, H, {})
    finally:
        response.SMALL = response_small
    assert len(few.correlations) == 9
    np.testing.assert_allclose(
        np.sort(few.correlations), np.sort(whole.correlations)[-9:], rtol=1e-4
    )
    for ours, theirs in zip(copula._margins(few), copula._margins(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.05)


def test_conjugate_gradients_solve_the_dense_system():
    model, data, W, H, parameters, V = problem("gamma")
    information = dense_information(model, W, H, parameters, V)
    rng = np.random.default_rng(1)
    right = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in (W, H))
    found = solve(model, data, information_at(model, data, W, H, parameters), right, parameters)
    whole = np.concatenate([np.asarray(x).T.ravel() for x in right])
    expected = np.linalg.solve(information, whole)
    ours = np.concatenate([np.asarray(x).T.ravel() for x in found])
    assert np.linalg.norm(ours - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize("n_known", [0, 1])
def test_the_density_of_draws_is_theirs(n_known):
    """Any other density, over that of the draws, has a mean of one: here gamma distributions of the same spread."""
    H = np.array([[2.0, 1.0, 3.0], [1.0, 3.0, 0.5]])
    known = {"H": H[:n_known]} if n_known else {}
    model = bn.NMF(2, "poisson", Gamma(2.0, 1.0), Gamma(3.0, 1.0), **known)
    V = np.array([[7.0, 9.0, 8.0], [4.0, 2.0, 1.0]])
    data = dense_cells_of(model, Matrix.of(V))
    W = np.array([[2.0, 1.0], [0.5, 1.5]])
    found = response.response_at(model, data, jnp.asarray(W), jnp.asarray(H), {})
    drawn = copula.draw(found, 200_000, np.random.default_rng(0), np.float64)
    log_other = np.zeros(len(drawn.W))
    for draws in (drawn.W, drawn.H[:, n_known:]):
        mean, log_variance = draws.mean(axis=0), np.log(draws).var(axis=0)
        shape = 1.0 / log_variance
        log_other += stats.gamma(shape, scale=mean / shape).logpdf(draws).sum(axis=(1, 2))
    weight = np.exp(log_other - drawn.log_density)
    error = weight.std() / np.sqrt(len(weight))
    assert error < 0.05
    assert weight.mean() == pytest.approx(1.0, abs=4 * error)


def test_scales_leave_the_means_of_cells_as_they_are():
    """A cell is far better known than W and H, whose scale only the priors hold."""
    model = bn.NMF(1, "poisson", Gamma(1.0, 1.0), Gamma(1.0, 1.0))
    V = np.full((4, 3), 1e6)
    data = dense_cells_of(model, Matrix.of(V))
    W, H = jnp.full((1, 4), 1e3), jnp.full((1, 3), 1e3)
    found = response.response_at(model, data, W, H, {})
    drawn = copula.draw(found, 2000, np.random.default_rng(0), np.float64)
    assert np.log(drawn.W).std() > 0.3
    cells = drawn.W @ drawn.H
    np.testing.assert_allclose(cells.mean(axis=0), V, rtol=3e-4)
    assert cells.std() < 2e3


@pytest.mark.parametrize("shape", [0.05, 5.0, 300.0])
def test_the_density_of_values_is_the_derivative_of_their_scores(shape):
    scores = np.linspace(-4.0, 4.0, 9)[:, None]
    step = 1e-5
    values, log_ratio = copula._gamma_values(scores, np.array([shape]))
    (above, _), (below, _) = (
        copula._gamma_values(scores + d, np.array([shape])) for d in (step, -step)
    )
    kept = values > 1e-300
    slope = (above - below) / (2 * step)
    np.testing.assert_allclose(log_ratio[kept], -np.log(slope[kept]), rtol=1e-4, atol=1e-4)
    exact = stats.gamma(shape).ppf(stats.norm.cdf(scores))
    np.testing.assert_allclose(values, exact, rtol=2e-3, atol=1e-300)


def test_known_components_stay():
    model, data, W, H, parameters, _ = problem("poisson", H=np.array([[0.0, 1.0, 2.0, 0.5, 1.0]]))
    found = response.response_at(model, data, W, H, parameters)
    drawn = copula.draw(found, 7, np.random.default_rng(0), np.float64)
    np.testing.assert_array_equal(drawn.H[:, 0], np.broadcast_to(model.H[0], (7, 5)))
    assert np.ptp(drawn.W[:, 0, 0]) > 0
    assert np.isfinite(drawn.log_density).all()
