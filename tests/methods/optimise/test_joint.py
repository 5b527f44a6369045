"""Steps of both factors at once: their quadratic model against autodiff and SciPy, and where they end."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small
from scipy.optimize import minimize

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise import joint
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.descent import slopes
from bayesnmf.methods.optimise.quadratic import minimum, product, quadratic_at
from bayesnmf.observed.cells import dense_cells_of
from bayesnmf.priors import ARD, Exponential, Flat, Gamma


def problem(name, *priors, missing=0.15, seed=0, **options):
    """A model, its cells, and a random point."""
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=missing)
    matrix = Matrix.of(V)
    model = bn.NMF(2, likelihood, *priors, **options).resolve(matrix)
    rng = np.random.default_rng(seed)
    W, H = rng.gamma(2.0, 0.5, (2, 6)), rng.gamma(2.0, 0.5, (2, 5))
    parameters = {k: jnp.asarray(x) for k, x in small.parameters(likelihood).items()}
    return model, dense_cells_of(model, matrix), Factors(jnp.asarray(W), jnp.asarray(H), parameters)


def flat(pair):
    return np.concatenate([np.ravel(x) for x in pair])


def pair_of(vector):
    return jnp.asarray(vector[:12].reshape(2, 6)), jnp.asarray(vector[12:].reshape(2, 5))


def hessian(model, damping):
    columns = [flat(product(model, pair_of(column), damping)) for column in np.eye(22)]
    return np.array(columns)


#: Their curvature in the mean is the second derivative itself; other likelihoods have a positive stand-in.
EXACT = ["poisson", "poisson-exposure", "gaussian", "gaussian-known"]


@pytest.mark.parametrize("name", small.short_of(EXACT, "poisson", "gaussian-known"))
@pytest.mark.parametrize("log_space", [False, True])
def test_the_model_has_the_second_derivative_of_the_objective(name, log_space, float64):
    model, cells, point = problem(name, Gamma(2.0, 0.7), Gamma(1.5, 1.2))
    step = pair_of(np.random.default_rng(1).normal(size=22))

    def gradient(W, H):
        return slopes(model, cells, Factors(W, H, point.parameters), log_space)

    exact = jax.jvp(gradient, point[:2], step)[1]
    local = quadratic_at(model, cells, point, log_space=log_space)
    np.testing.assert_allclose(flat(product(local, step, jnp.asarray(0.0))), flat(exact), rtol=1e-9)
    np.testing.assert_allclose(flat(local.slope), flat(gradient(*point[:2])), rtol=1e-12)


@pytest.mark.parametrize("name", small.short_of(small.DISTINCT, "poisson", "gamma"))
def test_its_minimum_over_bounds_is_scipys(name, float64):
    local = quadratic_at(*problem(name, Exponential(1.0), Exponential(2.0)), log_space=False)
    step, damping = minimum(local, jnp.asarray(1e-3))
    assert damping >= 1e-3
    second, slope, lowest = hessian(local, damping), flat(local.slope), flat(local.lowest)
    np.testing.assert_allclose(second, second.T, rtol=1e-5, atol=1e-6 * np.abs(second).max())
    assert np.all(flat(step) >= lowest)

    def value(x):
        return slope @ x + 0.5 * x @ second @ x, slope + second @ x

    bounds = [(low, None) for low in lowest]
    options = {"maxiter": 5000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 22}
    theirs = minimize(
        value, 0 * lowest, jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    assert value(flat(step))[0] <= theirs.fun + 1e-4 * abs(theirs.fun)


def test_a_model_without_a_minimum_is_damped(float64):
    """Far above the data the curvature of counts is small, and the coupling of both factors is not."""
    model, cells, point = problem("poisson", Exponential(1.0), Exponential(1.0))
    far = point._replace(W=30.0 * point.W, H=30.0 * point.H)
    local = quadratic_at(model, cells, far, log_space=False)
    assert np.linalg.eigvalsh(hessian(local, jnp.asarray(0.0))).min() < 0
    step, damping = minimum(local, jnp.asarray(1e-6))
    assert damping > 1e-6
    assert flat(local.slope) @ flat(step) < 0


@pytest.mark.parametrize("name", small.short_of(small.DISTINCT, "poisson"))
@pytest.mark.parametrize(
    ("priors", "log_space"),
    [
        ((Exponential(1.0), Exponential(1.0)), False),
        ((Gamma(2.0, 1.0), Flat()), False),
        ((Gamma(1.5, 0.8), Gamma(1.0, 1.1)), True),
        ((ARD(rate=Gamma(2.0, 1.0)), Exponential(1.0)), False),
    ],
    ids=["exponential", "gamma and flat", "log space", "rates inferred"],
)
def test_no_step_increases_the_objective_and_they_end_at_an_optimum(
    name, priors, log_space, float64
):
    model, cells, point = problem(name, *priors)
    at, path = joint.start_at(point, jnp.asarray(1.0)), []
    for _ in range(60):
        at = joint.joint_step(model, cells, at, log_space=log_space)
        path.append(float(at.objective))
        if at.residual < 1e-6:
            break
    assert np.all(np.diff(path) <= 1e-10 * np.abs(path[1:]))
    assert at.residual < 1e-6


# -- in a search ----------------------------------------------------------------------------------


def precise(name, seed=3):
    """Data that say a thousand times as much as the default priors."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(1.0, 1.0, (14, 3)) @ rng.gamma(1.0, 1.0, (3, 12))
    return {
        "poisson": lambda: rng.poisson(1e4 * mean).astype(float),
        "negative_binomial": lambda: rng.poisson(1e4 * mean * rng.gamma(1e3, 1e-3, mean.shape)),
        "gaussian": lambda: mean + 1e-3 * rng.normal(size=mean.shape),
        "gamma": lambda: mean * rng.gamma(1e4, 1e-4, mean.shape),
        "beta": lambda: rng.beta(1e4 * (1 - np.exp(-mean / 4)), 1e4 * np.exp(-mean / 4)),
    }[name]().astype(float)


def assert_certain(V, model, **options):
    """All starts of two seeds converge in 1,000 steps, and the best of both is the same optimum."""
    fits = [
        small.run(V, model, bn.MAP(max_iter=1000, tol=1e-6, **options), seed=seed)
        for seed in (0, 1)
    ]
    best = [fit.tree.attrs["objective"] for fit in fits]
    assert all(fit.converged for fit in fits)
    assert best[0] == pytest.approx(best[1], abs=1e-6 * max(abs(best[0]), 1.0))
    return fits[0]


@pytest.mark.parametrize("name", small.short_of(small.PLAIN, "gaussian"))
def test_precise_data_under_default_priors_converge(name):
    # With a concentration to infer, noise in place of a component is an optimum too.
    given = {"negative_binomial": bn.likelihoods.NegativeBinomial(concentration=1e3)}
    assert_certain(precise(name), bn.NMF(3, given.get(name, name)))


STORAGES = {
    "masked": lambda V: np.where(np.random.default_rng(0).random(V.shape) < 0.2, np.nan, V),
    "sparse": scipy.sparse.csr_array,
}


@pytest.mark.parametrize(
    ("name", "storage"),
    small.short_of(
        [(name, storage) for name in ("poisson", "gaussian") for storage in STORAGES],
        ("poisson", "sparse"),
    ),
)
def test_so_do_masked_and_sparse_ones(name, storage):
    V = precise(name)
    found = assert_certain(STORAGES[storage](V), bn.NMF(3, name))
    if storage == "sparse":
        dense = small.run(V, bn.NMF(3, name), bn.MAP(max_iter=1000, tol=1e-6))
        assert found.tree.attrs["objective"] == pytest.approx(
            dense.tree.attrs["objective"], rel=1e-9
        )


def test_known_components_stay_while_the_others_move():
    V = precise("poisson")
    known = np.random.default_rng(9).gamma(1.0, 1.0, (1, 12))
    fit = assert_certain(V, bn.NMF(3, H=known))
    np.testing.assert_allclose(fit.H[0], known[0] / known.sum(), rtol=1e-12)


def test_single_precision_takes_no_joint_steps(monkeypatch):
    monkeypatch.setattr(joint, "joint_step", lambda *_, **__: pytest.fail("a joint step"))
    small.run(precise("poisson").astype(np.float32), bn.NMF(3), bn.MAP(n_init=1, max_iter=400))


@pytest.mark.parametrize(
    ("prior_W", "prior_H", "words"),
    [
        ("exponential", "flat", "prior_W has a rate and prior_H is flat"),
        ("flat", "exponential", "prior_H has a rate and prior_W is flat"),
        ("ard", "flat", "prior_W has a rate"),
    ],
)
def test_a_penalty_on_one_factor_alone_is_refused(prior_W, prior_H, words):
    with pytest.raises(ValueError, match=words):
        bn.fit(precise("poisson"), bn.NMF(2, "poisson", prior_W, prior_H), "map", progress=False)
    # A known factor fixes the scale, and a shape above 1 keeps entries from shrinking.
    model = bn.NMF(None, "poisson", prior_W, prior_H, H=np.ones((1, 12)))
    assert small.run(precise("poisson"), model, bn.MAP(n_init=1)).converged
