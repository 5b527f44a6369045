"""Multiplicative updates: monotone, at rest where the gradient vanishes, and scikit-learn's."""

from __future__ import annotations

import exact
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.infer.util import potential_energy, unconstrain_fn
from scipy import special

import bayesnmf as bn
from bayesnmf.likelihoods import REGISTRY
from bayesnmf.methods.optimise import multiplicative
from bayesnmf.methods.optimise.multiplicative import first_point, iterate, objective
from bayesnmf.observed.cells import Cells
from bayesnmf.priors import Exponential, Flat, Gamma

pytestmark = pytest.mark.usefixtures("float64")

every_likelihood = pytest.mark.parametrize("name", small.LIKELIHOODS)


def test_every_likelihood_has_a_case():
    assert {likelihood.name for likelihood in small.LIKELIHOODS.values()} == set(REGISTRY)


def problem(name, *, seed=0, missing=0.2, prior_W=None, prior_H=None, scale=1.0):
    """Return a resolved model, its data, and a point drawn at random."""
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, seed, missing)
    model = bn.NMF(small.RANK, likelihood, prior_W or Gamma(2.0, 0.7), prior_H or Gamma(1.0, 1.3))
    model = model.resolve(V)
    rng = np.random.default_rng(seed + 1)
    W = scale * rng.gamma(1.0, size=(V.shape[0], small.RANK))
    H = rng.gamma(1.0, size=(small.RANK, V.shape[1]))
    filled = np.where(np.isnan(V), likelihood.placeholder, V)
    return model, V, Cells(jnp.asarray(filled), jnp.asarray(~np.isnan(V))), W, H


def by_scipy(model, V, W, H, parameters, *, log_space):
    """Compute the objective with SciPy's densities."""
    total = -exact.log_likelihood(model, V, W, H, **parameters)
    for prior, factor in ((model.prior_W, W), (model.prior_H, H)):
        log_coefficient = prior.shape if log_space or prior.shape < 1 else prior.shape - 1
        total -= special.xlogy(log_coefficient, factor).sum() - prior.rate * factor.sum()
    total -= exact.log_parameter_prior(model.likelihood, **parameters)
    return total - sum(np.log(x) for x in parameters.values())


@every_likelihood
@pytest.mark.parametrize("log_space", [False, True], ids=["", "log space"])
def test_the_objective_is_scipys(name, log_space):
    for seed, prior_W in enumerate((Gamma(0.5, 2.0), Gamma(3.0, 0.2), Exponential(1.5))):
        model, V, data, W, H = problem(name, seed=seed, prior_W=prior_W)
        parameters = small.parameters(model.likelihood)
        expected = by_scipy(model, V, W, H, parameters, log_space=log_space)
        got = objective(model, data, W, H, parameters, log_space=log_space)
        assert float(got) == pytest.approx(expected, rel=1e-10, abs=1e-9)


@every_likelihood
def test_the_objective_in_log_space_is_the_programs_potential(name):
    """So it is the maximum of the density that NUTS and SVI use."""
    gaps = []
    for seed in (1, 2, 3):
        model, V, data, *_ = problem(name)
        rng = np.random.default_rng(seed)
        W, H = rng.gamma(1.0, size=(6, 2)), rng.gamma(1.0, size=(2, 5))
        parameters = {
            k: v * rng.uniform(0.5, 2) for k, v in small.parameters(model.likelihood).items()
        }
        sites = {"W": jnp.asarray(W), "H": jnp.asarray(H), **jax.tree.map(jnp.asarray, parameters)}
        z = unconstrain_fn(model, (V,), {}, sites)
        ours = objective(model, data, W, H, parameters, log_space=True)
        gaps.append(float(ours) - float(potential_energy(model, (V,), {}, z)))
    # NumPyro's negative binomial is off by up to 1e-6 a cell.
    assert np.ptp(gaps) < (1e-4 if name.startswith("negative") else 1e-8)


@every_likelihood
@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    shapes=st.tuples(*[st.sampled_from([0.5, 1.0, 2.0])] * 2),
    log_rates=st.tuples(*[st.floats(-4, 4)] * 2),
    missing=st.sampled_from([0.0, 0.3]),
    log_scale=st.floats(-5, 5),
)
def test_the_objective_never_increases(name, seed, shapes, log_rates, missing, log_scale):
    priors = [Gamma(a, float(np.exp(b))) for a, b in zip(shapes, log_rates, strict=True)]
    model, _, data, W, H = problem(
        name,
        seed=seed,
        missing=missing,
        scale=float(np.exp(log_scale)),
        prior_W=priors[0],
        prior_H=priors[1],
    )
    parameters = model.likelihood.start()
    point = first_point(model, W, H, parameters)
    path, sizes = [], []
    for steps in (0, *[1] * 30):
        point = iterate(model, data, point, num_steps=steps, log_space=False)
        path.append(float(point.objective))
        sizes.append(magnitude(model, data, point))
    assert np.all(np.isfinite(path))
    assert min(point.W.min(), point.H.min()) >= 0
    # Rounding is relative to the sum of the absolute terms, not to their total.
    assert np.all(np.diff(path) <= 1e-14 * np.array(sizes[1:]))
    assert path[-1] < path[0]


@jax.jit
def magnitude(model, data, point):
    """Return the sum of the absolute values of the objective's terms."""
    likelihood, mean = model.likelihood, point.W @ point.H
    cells = likelihood.log_density(data.values, mean, **likelihood.known, **point.parameters)
    total = jnp.sum(jnp.abs(jnp.where(data.observed, cells, 0.0)) + jnp.abs(data.values))
    for prior, x in ((model.prior_W, point.W), (model.prior_H, point.H)):
        total += jnp.sum(prior.rate * x + jnp.abs(jnp.log(jnp.maximum(x, 1e-300))))
    return total


@jax.jit
def slopes(model, data, point):
    """Return the derivatives of the objective in W, H and the log parameters."""

    def value(W, H, log_parameters):
        parameters = jax.tree.map(jnp.exp, log_parameters)
        return objective(model, data, W, H, parameters, log_space=False)

    # At 0 itself the derivative of x log y is 0 / 0.
    W, H = (jnp.maximum(factor, 1e-300) for factor in (point.W, point.H))
    return jax.grad(value, argnums=(0, 1, 2))(W, H, jax.tree.map(jnp.log, point.parameters))


def rest(model, data, W, H):
    """Iterate until the objective has stopped to the last digit."""
    point = first_point(model, W, H, model.likelihood.start())
    for _ in range(40):
        before = point.objective
        point = iterate(model, data, point, num_steps=500, log_space=False)
        if np.isfinite(before) and before - point.objective <= 1e-13 * abs(before):
            break
    return point


@every_likelihood
@pytest.mark.parametrize("shape", [2.0, 1.0, 0.5])
def test_updates_come_to_rest_where_the_gradient_vanishes(name, shape):
    """Or, under an exponential prior, where an entry is 0 and the objective rises from there."""
    model, _, data, W, H = problem(name, prior_W=Gamma(shape, 0.7), prior_H=Gamma(shape, 1.3))
    point = rest(model, data, W, H)
    *of_factors, of_parameters = slopes(model, data, point)
    for factor, slope in zip((point.W, point.H), of_factors, strict=True):
        assert np.abs(factor * slope).max() < 1e-4
        if shape == 1:
            assert slope[factor < 1e-9].min(initial=0.0) > -1e-4
    assert all(abs(slope) < 1e-4 for slope in of_parameters.values())


def test_models_that_differ_in_numbers_share_a_compilation(monkeypatch):
    traces, penalty = [], multiplicative.penalty

    def counted(*args, **options):
        traces.append(1)
        return penalty(*args, **options)

    monkeypatch.setattr(multiplicative, "penalty", counted)
    rng = np.random.default_rng(0)
    seen = []
    for shape, rate, concentration in ((1.0, 0.5, 3.0), (2.0, 0.1, 7.0), (0.5, 4.0, 0.2)):
        likelihood = bn.likelihoods.NegativeBinomial(concentration=concentration)
        V = rng.poisson(3.0, (7, 3)).astype(float)  # a shape that no other test has
        model = bn.NMF(3, likelihood, Gamma(shape, rate), Gamma(shape)).resolve(V)
        data = Cells(jnp.asarray(V), jnp.ones((7, 3), bool))
        W, H = rng.gamma(1.0, size=(7, 3)), rng.gamma(1.0, size=(3, 3))
        point = first_point(model, W, H, {})
        for _ in range(3):
            point = iterate(model, data, point, num_steps=2, log_space=False)
        seen.append(len(traces))
    assert seen[0] > 0
    assert seen == seen[:1] * 3


# -- the classic updates ------------------------------------------------------------------------

CLASSIC = {
    "kullback-leibler": bn.likelihoods.Poisson(),
    "frobenius": bn.likelihoods.Gaussian(sigma=0.3),
    "itakura-saito": bn.likelihoods.Gamma(shape=1.7),
}


@pytest.mark.parametrize("loss", CLASSIC)
def test_flat_priors_give_scikit_learns_updates(loss):
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(4)
    V = rng.gamma(2.0, size=(9, 7)) + 0.1
    W, H = rng.uniform(0.1, 1.0, (9, 3)), rng.uniform(0.1, 1.0, (3, 7))
    theirs = NMF(3, solver="mu", beta_loss=loss, init="custom", max_iter=60, tol=0)
    expected = theirs.fit_transform(V, W=W.copy(), H=H.copy())

    model = bn.NMF(3, CLASSIC[loss], Flat(), Flat())
    data = Cells(jnp.asarray(V), jnp.ones(V.shape, bool))
    point = first_point(model, W, H, {})
    point = iterate(model, data, point, num_steps=60, log_space=False)
    np.testing.assert_allclose(point.W, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(point.H, theirs.components_, rtol=1e-9, atol=1e-12)
