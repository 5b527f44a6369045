"""The fast solver: descent, the certificate, the same optima as slow updates, compilation."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from sklearn.decomposition import NMF as SklearnNMF

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise import acceleration, descent, multiplicative
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.initial import random_start
from bayesnmf.methods.optimise.search import find_optima
from bayesnmf.methods.optimise.solution import Search
from bayesnmf.observed import observe
from bayesnmf.priors import Exponential, Flat, Gamma
from bayesnmf.progress import Silent

every_likelihood = pytest.mark.parametrize("name", small.DISTINCT)
plain = pytest.mark.parametrize("name", small.PLAIN)


def problem(name: str, prior: object, missing: float = 0.0, seed: int = 0):
    """Return a resolved model, its data and a random point, component first."""
    likelihood = small.LIKELIHOODS[name]
    matrix = Matrix.of(small.data(likelihood, seed=seed, missing=missing))
    model = bn.NMF(2, likelihood, prior, prior).resolve(matrix)
    rng = np.random.default_rng(seed + 100)
    W, H = rng.gamma(2.0, 0.5, (6, 2)), rng.gamma(2.0, 0.5, (2, 5))
    data = observe(model, matrix)
    parameters = {p: jnp.asarray(x) for p, x in small.parameters(likelihood).items()}
    return model, data, Factors(jnp.asarray(W.T), jnp.asarray(H), parameters)


def nearly_complete(name: str) -> np.ndarray:
    """Draw data of the shape and the kind that other tests here have compiled for.

    Complete Gaussian data are stored as moments.
    """
    return small.data(small.LIKELIHOODS[name], seed=4, missing=0.0 if name == "gaussian" else 0.1)


def objective(model, data, point):
    W, H, parameters = point
    return float(multiplicative.objective(model, data, W.T, H, parameters, log_space=False))


@pytest.mark.parametrize(
    "prior", small.short_of([Flat(), Gamma(2.0), Gamma(0.5)], Gamma(2.0)), ids=str
)
@plain
def test_no_half_step_increases_the_objective(name, prior, float64):
    model, data, point = problem(name, prior, missing=0.2)
    improve = jax.jit(type(data).improve, static_argnames=("axis", "log_space"))
    before = objective(model, data, point)
    for _ in range(6):
        for factor, other, prior_of, axis in (
            ("W", "H", model.prior_W, 1),
            ("H", "W", model.prior_H, 0),
        ):
            x, y = getattr(point, factor), getattr(point, other)
            new = improve(
                data,
                model,
                x=x,
                y=y,
                parameters=point.parameters,
                prior=prior_of,
                axis=axis,
                log_space=False,
            )
            point = point._replace(**{factor: new.x})
            after = objective(model, data, point)
            assert after <= before + 1e-11 * abs(before)
            before = after


@every_likelihood
def test_the_certificate_is_the_worst_violation_of_the_optimality_conditions(name, float64):
    """Gradients by automatic differentiation, conditions written out entry by entry."""
    model, data, point = problem(name, Gamma(1.7), missing=0.2)

    def value(W, H):
        return multiplicative.objective(model, data, W.T, H, point.parameters, log_space=False)

    slopes = jax.grad(value, argnums=(0, 1))(point.W, point.H)
    worst = 0.0
    for x, slope, n_cells in zip(point[:2], slopes, (5, 6), strict=True):
        for k in range(2):
            unit = float(x[k].max())
            for entry, gradient in zip(x[k], slope[k], strict=True):
                scaled = float(gradient) * unit / n_cells
                worst = max(worst, abs(min(float(entry) / unit, scaled)))
    got = float(descent.certificate(model, data, point, log_space=False).residual)
    assert got == pytest.approx(worst, rel=1e-9)


def test_the_certificate_knows_no_units(float64):
    V = small.data(small.LIKELIHOODS["gamma"])
    W, H = np.ones((6, 2)), np.arange(1.0, 11.0).reshape(2, 5)
    got = []
    for unit in (1e-8, 1.0, 1e9):
        model = bn.NMF(2, bn.likelihoods.Gamma(shape=2.0), Flat(), Flat())
        data = observe(model, Matrix.of(unit * V))
        for scale in (1e-3, 1.0, 1e5):
            point = Factors(jnp.asarray(W.T * scale), jnp.asarray(H * unit / scale), {})
            got.append(float(descent.certificate(model, data, point, log_space=False).residual))
    np.testing.assert_allclose(got, got[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "solver"),
    small.short_of(
        [(name, solver) for name in small.DISTINCT for solver in ("newton", "accelerated")],
        *((name, "newton") for name in small.DISTINCT if name[:4] != "beta"),
        ("poisson", "accelerated"),
    ),
)
def test_it_ends_where_slow_updates_end_or_lower(name, solver):
    """From the same start; a hundred times the steps for plain multiplicative updates."""
    if solver == "accelerated" and name.startswith("beta"):
        pytest.skip("the beta likelihood's updates are no proven majorisation to accelerate")
    rng = np.random.default_rng(5)
    W, H = rng.gamma(2.0, 0.5, (6, 2)), rng.gamma(2.0, 0.5, (2, 5))
    V = small.data(small.LIKELIHOODS[name], seed=4, missing=0.1)
    fast = small.run(V, small.model(name), bn.MAP(solver, init=(W, H), tol=1e-6))
    slow = small.run(V, small.model(name), bn.MAP("mu", init=(W, H), tol=1e-6, max_iter=20_000))
    assert fast.converged
    assert fast.tree.attrs["residual"] <= 1e-6
    scale = max(1.0, abs(slow.tree.attrs["objective"]))
    assert fast.tree.attrs["objective"] <= slow.tree.attrs["objective"] + 1e-6 * scale


@pytest.mark.parametrize(
    "name", small.short_of(["poisson", "gaussian", "beta"], "poisson", "gaussian")
)
def test_single_precision_comes_to_the_same_optimum(name):
    rng = np.random.default_rng(5)
    W, H = rng.gamma(2.0, 0.5, (6, 2)), rng.gamma(2.0, 0.5, (2, 5))
    V, model = nearly_complete(name), small.model(name)
    double = small.run(V, model, bn.MAP(init=(W, H)))
    single = small.run(V.astype(np.float32), model, bn.MAP(init=(W, H)))
    assert single.W.dtype == np.float32
    np.testing.assert_allclose(single.mean, double.mean, rtol=0.02)
    scale = max(1.0, abs(double.tree.attrs["objective"]))
    assert abs(single.tree.attrs["objective"] - double.tree.attrs["objective"]) < 1e-4 * scale


def test_entries_locked_at_zero_are_released(float64):
    """Both zeros of the start are wrong; plain updates can never leave them."""
    W, H = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 5.0]]), np.array([[1.0, 2, 3], [4, 1, 1]])
    V = 10 * W @ H
    start = W.copy()
    start[0, 0] = start[2, 1] = 0.0
    model = bn.NMF(2, "poisson", Flat(), Flat())
    locked = small.run(V, model, bn.MAP("mu", init=(start, H), max_iter=500))
    assert not locked.converged
    for solver in ("accelerated", "newton"):
        free = small.run(V, model, bn.MAP(solver, init=(start, H), tol=1e-6))
        assert free.converged
        np.testing.assert_allclose(free.mean, V, rtol=1e-4)


def test_the_second_fit_of_the_same_shape_compiles_nothing():
    V = small.data(small.LIKELIHOODS["negative_binomial"])
    small.run(V, bn.NMF(2, "negative_binomial"), bn.MAP(n_init=1))
    compiled = [f._cache_size() for f in (descent.advance, multiplicative.iterate)]
    prior = Exponential(rate=0.123)
    small.run(V + 1, bn.NMF(2, "negative_binomial"), bn.MAP(n_init=3, tol=1e-3), seed=7)
    assert compiled == [f._cache_size() for f in (descent.advance, multiplicative.iterate)]
    # Other kinds of priors are another program; no other test has this pair.
    small.run(V, bn.NMF(2, "negative_binomial", prior, Gamma(2.0, 0.5)), bn.MAP(n_init=1))
    assert descent.advance._cache_size() == compiled[0] + 1


@pytest.mark.parametrize("name", small.short_of(small.PLAIN, "poisson", "gamma"))
def test_starts_in_a_batch_end_where_they_end_alone(name, float64):
    V = nearly_complete(name)
    model, matrix = small.model(name).resolve(V), Matrix.of(V)
    starts = [random_start(model, matrix, rng) for rng in np.random.default_rng(0).spawn(3)]
    alone, batch = (
        find_optima(Search("newton", 500, 1e-5, batched=batched), model, matrix, starts, Silent())
        for batched in (False, True)
    )
    for a, b in zip(alone, batch, strict=True):
        assert a.converged == b.converged
        assert a.objective == pytest.approx(b.objective, rel=1e-8, abs=1e-8)


@pytest.mark.long
def test_a_sweep_of_ranks_compiles_once_a_rank():
    V = small.data(small.LIKELIHOODS["poisson"])
    functions = (descent.advance, descent.certificate, multiplicative.iterate)
    before = [function._cache_size() for function in functions]
    for _ in range(2):
        for rank in (1, 2, 3, 4):
            small.run(V, bn.NMF(rank, "poisson", Exponential(1.0), Gamma(1.1)), bn.MAP(n_init=2))
    assert all(f._cache_size() - b <= 4 for f, b in zip(functions, before, strict=True))


def test_a_continued_acceleration_is_the_uninterrupted_one(float64):
    model, data, point = problem("poisson", Gamma(1.0))
    options = {"algorithm": "newton", "log_space": False}
    before, tol = jnp.asarray(objective(model, data, point)), jnp.asarray(0.0)
    start = partial(acceleration.first_state, point, before)  # the loop writes over it
    whole = descent.advance(model, data, start(), jnp.asarray(17), tol, **options)
    part = descent.advance(model, data, start(), jnp.asarray(5), tol, **options)
    rest = descent.advance(model, data, part, jnp.asarray(17), tol, **options)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(rest), strict=True):
        np.testing.assert_array_equal(a, b)


# -- the classic updates ------------------------------------------------------------------------

LOSSES = {
    "poisson": ("kullback-leibler", bn.likelihoods.Poisson()),
    "gaussian": ("frobenius", bn.likelihoods.Gaussian(sigma=1.0)),
    "gamma": ("itakura-saito", bn.likelihoods.Gamma(shape=1.0)),
}


def classic(loss: str, seed: int = 2):
    rng = np.random.default_rng(seed)
    mean = rng.gamma(1.0, 1.0, (30, 4)) @ rng.gamma(1.0, 1.0, (4, 20))
    V = rng.gamma(5.0, mean / 5.0) if loss == "gamma" else rng.poisson(3 * mean).astype(float)
    return V, rng.uniform(0.1, 1.0, (30, 3)), rng.uniform(0.1, 1.0, (3, 20))


def sklearn_factors(V, W, H, loss, max_iter, tol=0.0, alpha=0.0):
    reference = SklearnNMF(
        3,
        init="custom",
        solver="mu",
        beta_loss=LOSSES[loss][0],
        max_iter=max_iter,
        tol=tol,
        alpha_W=alpha,
        alpha_H=alpha,
        l1_ratio=1.0,
    )
    W = reference.fit_transform(V, W=W.copy(), H=H.copy())
    return W, reference.components_, reference.n_iter_


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("max_iter", [1, 10, 100])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
@pytest.mark.parametrize("loss", LOSSES)
def test_plain_updates_are_those_of_scikit_learn(loss, alpha, max_iter):
    V, W, H = classic(loss)
    # An l1 penalty is the rate of an exponential prior; scikit-learn scales it by the other side.
    priors = (Exponential(20 * alpha), Exponential(30 * alpha)) if alpha else (Flat(), Flat())
    method = bn.MAP("mu", init=(W, H), max_iter=max_iter, tol=0.0)
    fit = small.run(V, bn.NMF(3, LOSSES[loss][1], *priors), method)
    ours_W, ours_H = (x[0, 0] for x in small.originals(fit))
    theirs_W, theirs_H, _ = sklearn_factors(V, W, H, loss, max_iter, alpha=alpha)
    order = np.argsort(-(theirs_W.sum(axis=0) * theirs_H.sum(axis=1)), kind="stable")
    np.testing.assert_allclose(ours_W, theirs_W[:, order], rtol=1e-10)
    np.testing.assert_allclose(ours_H, theirs_H[order], rtol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_divergence_rule_stops_where_scikit_learn_stops(loss):
    V, W, H = classic(loss)
    model = bn.NMF(3, LOSSES[loss][1], Flat(), Flat())
    for tol in (1e-3, 1e-4):
        method = bn.MAP("mu", init=(W, H), tol=tol, stop="divergence", max_iter=5000)
        fit = small.run(V, model, method)
        assert fit.converged
        assert fit.tree.attrs["n_iter"] == sklearn_factors(V, W, H, loss, 5000, tol)[2]
