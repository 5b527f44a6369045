"""Every likelihood's mathematics against SciPy, automatic differentiation and brute force.

A likelihood that joins the registry needs one line in `CASES` and inherits every test here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bayesnmf.likelihoods import (
    REGISTRY,
    Beta,
    Gamma,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
)

pytestmark = pytest.mark.usefixtures("float64")

COUNTS = (0.0, 1.0, 2.0, 7.0, 100.0, 5000.0)


@dataclass(frozen=True)
class Case:
    """A likelihood, its law according to SciPy, and where to look.

    `extreme` spans a grid of parameter values on which densities are compared; `ordinary` lists
    settings in which expectations are computed and data are drawn.
    """

    likelihood: Likelihood
    law: Callable[..., Any]  # law(mean, **parameters) -> frozen SciPy distribution
    values: tuple[float, ...]
    means: tuple[float, ...]
    draw: st.SearchStrategy[float]
    extreme: dict[str, tuple[float, ...]] = field(default_factory=dict)
    ordinary: tuple[dict[str, float], ...] = ({},)

    def grid(self, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray, dict]:
        """Return values, means and parameters that broadcast against each other."""
        v = np.array(self.values, dtype).reshape(-1, 1, 1)
        mean = np.array(self.means, dtype).reshape(1, -1, 1)
        return v, mean, {k: np.array(p, dtype).reshape(1, 1, -1) for k, p in self.extreme.items()}

    def log_density(self, v: Any, mean: Any, **parameters: Any) -> np.ndarray:
        """Return SciPy's log density or log mass."""
        law = self.law(mean, **parameters)
        return law.logpmf(v) if isinstance(law.dist, stats.rv_discrete) else law.logpdf(v)


def _beta(link: str) -> Case:
    def law(mean, precision):
        complement = np.exp(-mean) if link == "cloglog" else 1 / (1 + mean)
        mu = -np.expm1(-mean) if link == "cloglog" else mean / (1 + mean)
        return stats.beta(precision * mu, precision * complement)

    return Case(
        Beta(link=link), law, (1e-12, 0.01, 0.4, 0.9, 1 - 1e-9), (1e-6, 0.3, 2.0, 30.0),
        st.floats(1e-9, 1 - 1e-9), {"precision": (0.1, 5.0, 20.0, 1e4)},
        ({"precision": 6.0}, {"precision": 40.0}),
    )  # fmt: skip


CASES = {
    "poisson": Case(
        Poisson(), stats.poisson, COUNTS, (1e-6, 1e-3, 0.4, 3.0, 250.0, 1e5),
        st.integers(0, 10**5).map(float),
    ),
    "poisson-exposure": Case(
        Poisson(exposure=[[2.0]]), lambda mean, exposure: stats.poisson(exposure * mean),
        COUNTS, (1e-6, 0.4, 3.0, 250.0), st.integers(0, 10**5).map(float),
        {"exposure": (1e-3, 0.7, 40.0)}, ({"exposure": 0.5}, {"exposure": 3.0}),
    ),
    "negative_binomial": Case(
        NegativeBinomial(), lambda mean, concentration: stats.nbinom(
            concentration, concentration / (concentration + mean)),
        COUNTS, (1e-3, 0.4, 3.0, 250.0, 1e5), st.integers(0, 10**5).map(float),
        {"concentration": (0.05, 2.0, 9.9, 300.0)},
        ({"concentration": 0.4}, {"concentration": 30.0}),
    ),
    "gaussian": Case(
        Gaussian(), lambda mean, sigma: stats.norm(loc=mean, scale=sigma),
        (-1e4, -2.0, 0.0, 0.3, 5.0, 1e6), (1e-8, 0.5, 20.0, 1e5),
        st.floats(-1e6, 1e6), {"sigma": (1e-3, 1.0, 1e4)}, ({"sigma": 0.3}, {"sigma": 5.0}),
    ),
    "gamma": Case(
        Gamma(), lambda mean, shape: stats.gamma(shape, scale=mean / shape),
        (1e-12, 1e-3, 0.8, 4.0, 1e6), (1e-8, 0.5, 20.0, 1e5), st.floats(1e-9, 1e9),
        {"shape": (0.05, 1.0, 9.9, 30.0, 1e5)}, ({"shape": 0.8}, {"shape": 20.0}),
    ),
    "beta-cloglog": _beta("cloglog"),
    "beta-odds": _beta("odds"),
}  # fmt: skip

every_case = pytest.mark.parametrize("name", CASES)
of_counts = pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("beta")])
majorising = pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("beta")])


@cache
def compiled(name: str, function: str) -> Callable[..., Any]:
    """Return one compiled function of a case's likelihood; ``gradient`` is by autodiff."""
    likelihood = CASES[name].likelihood

    def total(mean, v, parameters):
        return jnp.sum(likelihood.log_density(v, mean, **parameters))

    if function == "gradient":
        return jax.jit(lambda v, mean, **parameters: jax.grad(total)(mean, v, parameters))
    return jax.jit(getattr(likelihood, function))


def spread(*arrays: Any) -> list[np.ndarray]:
    """Return the arrays broadcast to full size, so that each cell has its own mean."""
    return [np.array(a) for a in np.broadcast_arrays(*arrays)]


def test_every_likelihood_has_a_case():
    assert {case.likelihood.name for case in CASES.values()} == set(REGISTRY)


@every_case
def test_log_density_is_scipys(name):
    case = CASES[name]
    v, mean, parameters = case.grid()
    ours = compiled(name, "log_density")(v, mean, **parameters)
    np.testing.assert_allclose(
        ours, case.log_density(v, mean, **parameters), rtol=1e-10, atol=1e-12
    )


@every_case
def test_numpyro_distribution_has_the_same_density(name):
    case = CASES[name]
    v, mean, parameters = case.grid()
    theirs = case.likelihood.distribution(jnp.asarray(mean), **parameters).log_prob(v)
    # NumPyro's negative binomial goes through jax.scipy.special.betaln, which is off by 1e-6.
    atol = 2e-6 if name == "negative_binomial" else 1e-12
    expected = case.log_density(v, mean, **parameters)
    np.testing.assert_allclose(theirs, expected, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("r", [1e-3, 0.3, 9.999, 10.001, 50.0, 1e4, 1e8, 1e12])
def test_negative_binomial_keeps_its_digits_near_poisson(r):
    v, mean = spread([[0.0], [1.0], [5.0], [200.0], [3000.0]], [[1e-3, 0.5, 10.0, 1e3]])

    def by_hand(v, mean):  # Gamma(v + r) / Gamma(r) / v! is a product of v ratios
        ratios = (math.log((r + i) / (i + 1)) for i in range(int(v)))
        return math.fsum([*ratios, -r * math.log1p(mean / r), -v * math.log1p(r / mean)])

    expected = np.vectorize(by_hand)(v, mean)
    log_density = compiled("negative_binomial", "log_density")
    np.testing.assert_allclose(
        log_density(v, mean, concentration=r), expected, rtol=1e-11, atol=1e-15
    )
    single = log_density(v.astype(np.float32), mean.astype(np.float32), concentration=np.float32(r))
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-3)


@every_case
def test_score_is_the_derivative_on_the_grid(name):
    v, mean, parameters = CASES[name].grid()
    v, mean, *values = spread(v, mean, *parameters.values())
    parameters = dict(zip(parameters, values, strict=True))
    numerator, denominator = compiled(name, "split")(v, mean, **parameters)
    gradient = compiled(name, "gradient")(v, mean, **parameters)
    error = np.abs(compiled(name, "score")(v, mean, **parameters) - gradient)
    # The score is a difference: its digits are those of the larger part.
    assert np.all(error <= 1e-9 * (np.abs(numerator) + denominator))


@every_case
@settings(max_examples=50)
@given(data=st.data(), log_mean=st.floats(-12, 9), log_parameter=st.floats(-3, 6))
def test_split_is_nonnegative_and_differs_by_the_score(name, data, log_mean, log_parameter):
    case = CASES[name]
    v = np.float64(data.draw(case.draw))
    mean = np.exp(np.float64(min(log_mean, 3.0) if name.startswith("beta") else log_mean))
    parameters = dict.fromkeys(case.extreme, np.exp(np.float64(log_parameter)))
    numerator, denominator = compiled(name, "split")(v, mean, **parameters)
    assert denominator >= 0
    assert numerator >= 0 or v < 0
    gradient = compiled(name, "gradient")(v, mean, **parameters)
    assert abs(numerator - denominator - gradient) <= 1e-9 * (abs(numerator) + denominator)


def differentiate(f: Callable[[float], np.ndarray], x: float) -> np.ndarray:
    """Return a central difference of fourth order."""
    h = 1e-3 * x
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def expectation(law: Any, function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return an exact sum over the counts, or Gauss-Legendre quadrature over the quantiles."""
    if isinstance(law.dist, stats.rv_discrete):
        v = np.arange(law.isf(1e-16) + 50)
        return float(np.sum(law.pmf(v) * function(v)))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return float(np.sum(0.5 * weights * function(law.ppf(0.5 * (nodes + 1)))))


@every_case
@pytest.mark.parametrize("mean", [0.2, 0.9, 1.6])
def test_weight_is_the_variance_of_the_score(name, mean):
    case = CASES[name]
    for parameters in case.ordinary:

        def score(v, parameters=parameters):
            return differentiate(lambda m: case.log_density(v, m, **parameters), mean)

        law = case.law(mean, **parameters)
        values = np.array([[case.values[1]], [case.values[3]]])
        weight = compiled(name, "weight")(values, np.full((1, 2), mean), **parameters)
        scale = float(weight[0, 0]) ** 0.5
        assert expectation(law, score) == pytest.approx(0, abs=1e-4 * scale)
        np.testing.assert_allclose(weight, expectation(law, lambda v: score(v) ** 2), rtol=1e-3)


@every_case
def test_derivative_in_the_inferred_parameters(name):
    case = CASES[name]
    for parameter, at in itertools.product(case.likelihood.priors, case.ordinary):
        law = case.law(0.7, **at)
        v = np.array([law.ppf(1e-3), law.median(), law.ppf(0.999)])

        def ours(p, v=v, parameter=parameter):
            return case.likelihood.log_density(v, 0.7, **{parameter: p})

        def theirs(p, v=v, parameter=parameter):
            return case.log_density(v, 0.7, **{parameter: p})

        expected = differentiate(theirs, at[parameter])
        np.testing.assert_allclose(jax.jacfwd(ours)(at[parameter]), expected, rtol=1e-6, atol=1e-8)


@every_case
def test_single_precision_stays_single_and_close(name):
    case = CASES[name]
    likelihood = case.likelihood
    for parameters in case.ordinary:
        mean = np.array([0.05, 0.5, 3.0], np.float32)
        v = np.array([0.9, 0.3, 0.6] if name.startswith("beta") else [1, 3, 2], np.float32)
        with jax.enable_x64(False):
            ours = likelihood.log_density(v, mean, **parameters)
            others = [likelihood.score(v, mean, **parameters),
                      likelihood.weight(v, mean, **parameters),
                      *likelihood.split(v, mean, **parameters)]  # fmt: skip
        assert {x.dtype for x in (ours, *others)} == {np.dtype(np.float32)}
        expected = case.log_density(v, mean.astype(float), **parameters)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


# -- multiplicative updates -------------------------------------------------------------------


def simulate(case: Case, missing: bool) -> tuple[np.ndarray, np.ndarray, dict, np.ndarray]:
    """Return data of rank 2, the mask, parameters and a random stream."""
    rng = np.random.default_rng(11)
    W, H = rng.gamma(1.0, size=(8, 2)), rng.gamma(1.0, size=(2, 7))
    # Known parameters may differ from cell to cell.
    low, high = (case.ordinary[i] for i in (0, -1))
    parameters = {k: rng.uniform(low[k], high[k], (8, 7)) for k in low}
    if name_of_parameter := next(iter(case.likelihood.priors), None):
        parameters = {name_of_parameter: low[name_of_parameter]}
    V = case.law(W @ H, **parameters).rvs(size=(8, 7), random_state=rng).astype(float)
    observed = rng.random((8, 7)) > 0.3 if missing else np.ones((8, 7), bool)
    return V, observed, parameters, rng


@majorising
@pytest.mark.parametrize("shape", [1.0, 2.0])
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_updates_never_increase_the_objective(name, shape, missing):
    case = CASES[name]
    V, observed, parameters, rng = simulate(case, missing)
    V = np.where(observed, V, case.likelihood.placeholder)
    factors = [rng.gamma(2.0, size=(8, 2)), rng.gamma(2.0, size=(2, 7))]
    rates = (0.3, 1.7)

    def objective():
        log_density = case.log_density(V, factors[0] @ factors[1], **parameters)
        prior = [special.xlogy(shape - 1, x) - b * x for x, b in zip(factors, rates, strict=True)]
        return -log_density[observed].sum() - sum(p.sum() for p in prior)

    path = [objective()]
    for step in range(60):
        W, H = factors
        parts = compiled(name, "split")(V, W @ H, **parameters)
        side = step % 2
        numerator, denominator = (
            (np.where(observed, p, 0.0) @ H.T) if side == 0 else (W.T @ np.where(observed, p, 0.0))
            for p in parts
        )
        factors[side] = np.asarray(
            compiled(name, "update")(factors[side], numerator, denominator, shape - 1,
                                     rates[side], case.likelihood.exponent)
        )  # fmt: skip
        path.append(objective())
    assert all(factor.min() >= 0 for factor in factors)
    assert np.max(np.diff(path)) <= 1e-12 * np.abs(path).max()
    assert path[-1] < path[0] - 1


@every_case
@pytest.mark.parametrize("pull", [0.0, 1.0])
def test_updates_stop_where_the_gradient_vanishes(name, pull):
    rng = np.random.default_rng(5)
    w, rate = rng.uniform(1.0, 3.0, (4, 3)), 0.5
    denominator = rng.uniform(1.0, 4.0, w.shape)
    # The gradient of the objective is denominator + rate - numerator - pull / w.
    balance = denominator + rate - pull / w
    update = compiled(name, "update")
    for exponent in (0.5, 1.0):
        np.testing.assert_allclose(
            update(w, balance, denominator, pull, rate, exponent), w, rtol=1e-12
        )
        assert np.all(update(w, 1.3 * balance, denominator, pull, rate, exponent) > w)
        assert np.all(update(w, 0.7 * balance, denominator, pull, rate, exponent) < w)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.likelihood.majorises])
def test_a_heuristic_update_can_be_damped_to_nothing(name):
    w, numerator, denominator = np.random.default_rng(2).gamma(1.0, size=(3, 4, 2))
    update = compiled(name, "update")
    np.testing.assert_array_equal(update(w, numerator, denominator, 0.5, 0.1, 0.0), w)


def test_only_beta_lacks_a_proof():
    assert [n for n, c in CASES.items() if not c.likelihood.majorises] == [
        "beta-cloglog",
        "beta-odds",
    ]


# -- counts under a continuous likelihood ---------------------------------------------------


@of_counts
def test_masses_of_the_counts_sum_to_one(name):
    case = CASES[name]
    for parameters in case.ordinary:
        means = np.array([[0.02, 0.3, 1.0, 7.3, 150.0]])
        end = int(case.law(150.0, **parameters).isf(1e-14)) + 50
        masses = compiled(name, "log_mass")(
            np.arange(float(end)).reshape(-1, 1), means, **parameters
        )
        np.testing.assert_allclose(np.exp(masses).sum(axis=0), 1.0, rtol=1e-11)


@pytest.mark.parametrize("name", ["gaussian", "gamma"])
def test_mass_is_the_probability_of_rounding_to_the_count(name):
    case = CASES[name]
    for parameters in case.ordinary:
        v, mean = spread(np.arange(40.0).reshape(-1, 1), [[0.02, 0.3, 1.0, 7.3, 30.0]])
        law = case.law(mean, **parameters)
        upper = law.cdf(v + 0.5)
        expected = np.where(v == 0, upper, upper - law.cdf(v - 0.5))
        ours = np.exp(compiled(name, "log_mass")(v, mean, **parameters))
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-13)


def log_erlang_tail(shape: int, x: float, upper: bool) -> float:
    """Return the log probability beyond `x`, a sum over Poisson counts, for integer shapes."""
    k = np.arange(shape) if upper else np.arange(shape, shape + 20000)
    return float(special.logsumexp(k * np.log(x) - special.gammaln(k + 1.0)) - x)


@pytest.mark.parametrize("shape", [1, 5, 100, 3000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gamma_masses_far_in_the_tails(shape, dtype):
    for mean in (0.1, 1.0, 30.0, 1000.0):
        rate = shape / mean
        for v in (0, 1, 3, 20, 60, 300, 1500):
            if v > mean:
                near, far = (log_erlang_tail(shape, (v + d) * rate, True) for d in (-0.5, 0.5))
            elif (v + 0.5) * rate > 1.5 * shape:
                continue  # no tail: the body is compared with SciPy above
            else:
                near = log_erlang_tail(shape, (v + 0.5) * rate, False)
                far = log_erlang_tail(shape, (v - 0.5) * rate, False) if v else -np.inf
            expected = near + np.log(-np.expm1(min(far - near, -1e-300)))
            with jax.enable_x64(dtype == np.float64):
                got = Gamma().log_mass(*map(dtype, (v, mean)), shape=dtype(shape))
            assert got == pytest.approx(expected, rel=1e-4, abs=0.02), (mean, v)


@pytest.mark.parametrize("v", [0.0, 2.0, 50.0, 4000.0])
def test_gaussian_masses_far_in_the_tails(v):
    mean, sigma = np.array([0.1, 30.0, 1000.0]), 0.7
    edges = (np.array([v - 0.5, v + 0.5])[:, None] - mean) / sigma
    high, low = stats.norm.logsf(np.sort(np.abs(edges), axis=0))
    if v == 0:  # everything below one half
        high, low = stats.norm.logcdf(edges[1]), -np.inf
    expected = high + np.log1p(-np.exp(low - high))
    np.testing.assert_allclose(
        Gaussian().log_mass(np.full(3, v), mean, sigma=sigma), expected, rtol=1e-9
    )


def test_beta_gives_counts_no_mass():
    with pytest.raises(ValueError, match="gives counts no mass"):
        Beta().log_mass(1.0, 0.5, precision=5.0)
