"""Rates under hyper-priors at the MAP estimate, and automatic relevance determination by every method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small
from numpyro.infer.util import log_density

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise import multiplicative
from bayesnmf.observed import observe
from bayesnmf.priors import ARD, Gamma

PRIORS = {
    "W": (Gamma(1.0, Gamma(2.0)), Gamma(1.0)),
    "apart": (Gamma(1.5, Gamma(2.0, 3.0)), Gamma(0.7, Gamma(3.0, 4.0))),
    "tied": (ARD(floor=0.1), ARD(floor=0.1)),
}
places = pytest.mark.parametrize("place", PRIORS)


def program_objective(model, V, sites, logs):
    """Return the negative log density by NumPyro, of the rates' logarithms."""
    rates = {name: jnp.exp(x) for name, x in logs.items()}
    value = -log_density(model, (jnp.asarray(V),), {}, {**sites, **rates})[0]
    return value - sum(jnp.sum(x) for x in logs.values())


# -- the mode ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "solver"),
    small.short_of(
        [(place, s) for place in ("W", "tied") for s in ("newton", "mu", "accelerated")],
        ("W", "newton"),
        ("tied", "newton"),
        ("tied", "mu"),
    ),
)
def test_factors_and_rates_are_stationary(place, solver, float64):
    """By automatic differentiation of the program, with respect to all unknowns at once."""
    V = small.data(small.LIKELIHOODS["poisson"])
    method = bn.MAP(solver=solver, tol=1e-5, n_init=2, max_iter=50_000)
    fit = small.run(V, bn.NMF(3, "poisson", *PRIORS[place]), method)
    assert fit.converged
    W, H = (x[0, 0] for x in small.originals(fit))
    logs = {n: jnp.log(fit.tree["posterior"][n].to_numpy()[0, 0]) for n in fit.model.hyper_priors}
    sites = {"W": jnp.asarray(W), "H": jnp.asarray(H)}
    # An empty component's zeros are lifted, since the program has no density at zero.
    lifted = jax.tree.map(lambda x: jnp.maximum(x, 1e-300), sites)
    slopes, of_logs = jax.grad(program_objective, argnums=(2, 3))(fit.model, V, lifted, logs)
    for name, x in sites.items():
        slope = np.asarray(slopes[name]) * np.asarray(x).max()
        assert np.all(slope > -1e-3)
        assert np.abs(np.minimum(np.asarray(x) / np.asarray(x).max(), slope)).max() < 1e-3
    for slope in of_logs.values():
        np.testing.assert_allclose(slope, 0.0, atol=1e-9)


@pytest.mark.parametrize("name", small.short_of(list(small.PLAIN), "poisson", "beta"))
@places
def test_the_objective_never_increases(name, place, float64):
    V = small.data(small.LIKELIHOODS[name], missing=0.1)
    model = bn.NMF(3, small.LIKELIHOODS[name], *PRIORS[place]).resolve(V)
    data, rng = observe(model, Matrix.of(V)), np.random.default_rng(0)
    parameters = small.parameters(model.likelihood)
    point = multiplicative.first_point(
        model, rng.gamma(2.0, 0.5, (6, 3)), rng.gamma(2.0, 0.5, (3, 5)), parameters
    )
    path = []
    for steps in (0, *[1] * 25):
        point = multiplicative.iterate(model, data, point, num_steps=steps, log_space=False)
        path.append(float(point.objective))
    assert np.all(np.diff(path) <= 1e-10 * np.abs(path[1:]))
    assert path[-1] < path[0]


def test_tan_and_fevottes_formula(float64):
    """Their scale of a component is ``(sum W + sum H + b) / (n + m + a + 1)``, with exponential priors.

    The package maximises over the logarithm, and its hyper-shape is their ``a + 1``.
    """
    n, m, a, b = 6, 5, 4.0, 0.3
    prior = ARD(rate=Gamma(a + 1.0, b))
    fit = small.run(
        small.data(small.LIKELIHOODS["poisson"]), bn.NMF(2, "poisson", prior, prior), "map"
    )
    W, H = (x[0, 0] for x in small.originals(fit))
    expected = (W.sum(axis=0) + H.sum(axis=1) + b) / (n + m + a + 1.0)
    np.testing.assert_allclose(
        1 / fit.tree["posterior/rate"].to_numpy()[0, 0], expected, rtol=1e-12
    )


def test_sparse_counts_have_rates_too():
    V = small.data(small.LIKELIHOODS["poisson"])
    model = bn.NMF(3, "poisson", *PRIORS["tied"])
    rng = np.random.default_rng(0)
    method = bn.MAP(init=(rng.gamma(2.0, 0.5, (6, 3)), rng.gamma(2.0, 0.5, (3, 5))))
    dense, sparse = (small.run(x, model, method) for x in (V, scipy.sparse.csr_array(V)))
    assert sparse.converged
    assert sparse.tree.attrs["objective"] == pytest.approx(dense.tree.attrs["objective"], rel=1e-3)


def test_moments_have_rates_too():
    V = small.data(small.LIKELIHOODS["gaussian"])
    fit = small.run(V, bn.NMF(3, "gaussian", *PRIORS["W"]), bn.MAP(tol=1e-6))
    slow = small.run(V, bn.NMF(3, "gaussian", *PRIORS["W"]), bn.MAP(solver="mu", max_iter=20_000))
    assert fit.converged
    assert fit.tree.attrs["objective"] <= slow.tree.attrs["objective"] + 1e-4


# -- excess components empty out --------------------------------------------------------------

METHODS = {
    "map": bn.MAP(),
    "mu": bn.MAP(solver="mu"),
    "svi": bn.SVI(num_samples=200),
    "mcmc": bn.MCMC(num_warmup=200, num_samples=200, num_chains=2),
}


@pytest.mark.parametrize(
    ("method", "both"),
    [
        ("map", True),
        ("map", False),
        ("mu", True),
        ("mu", False),
        pytest.param("svi", True, marks=pytest.mark.long),
        pytest.param("mcmc", True, marks=pytest.mark.long),
    ],
)
def test_excess_components_empty_out(method, both):
    V, W, H = bn.datasets.make_nmf(30, 20, 2, "poisson", seed=1)
    model = bn.NMF(5, prior_W="ard", prior_H="ard" if both else "gamma")
    fit = small.run(V, model, METHODS[method])
    counts = fit.active().sum("component").to_numpy()
    assert np.median(counts) == 2
    assert np.mean(counts == 2) > 0.8
    # The others shrink very little.
    assert float(fit.mean.sum()) == pytest.approx(V.sum(), rel=0.02)
    plain = small.run(V, bn.NMF(2), METHODS["map"])
    error, least = (np.sqrt(np.mean((f.mean.to_numpy() - W @ H) ** 2)) for f in (fit, plain))
    assert error < 1.1 * least
    assert "2 of 5 components" in bn.check(fit).message
    if method in ("svi", "mcmc"):
        assert not bn.check(fit).components["uncertain"].to_numpy()[2:].any()


def test_activity_is_a_share():
    fit = small.fitted("poisson", "mcmc")
    assert fit.active(0.0).all()
    assert fit.active().dims == ("chain", "draw", "component")
    with pytest.raises(ValueError, match="threshold must be a share between 0 and 1, not 2"):
        fit.active(2)
