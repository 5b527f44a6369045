"""Every likelihood's density and its derivatives, against SciPy and automatic differentiation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likelihood_cases import CASES, compiled, every_case, spread
from scipy import stats

from bayesnmf.likelihoods import REGISTRY, Likelihood

pytestmark = pytest.mark.usefixtures("float64")


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
    atol = 2e-6 if name.startswith("negative_binomial") else 1e-12
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
    numerator, denominator = compiled(name, "score_parts")(v, mean, **parameters)
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
    numerator, denominator = compiled(name, "score_parts")(v, mean, **parameters)
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
        weight = compiled(name, "fisher_information")(values, np.full((1, 2), mean), **parameters)
        scale = float(weight[0, 0]) ** 0.5
        assert expectation(law, score) == pytest.approx(0, abs=1e-4 * scale)
        np.testing.assert_allclose(weight, expectation(law, lambda v: score(v) ** 2), rtol=1e-3)


@every_case
def test_derivative_in_the_inferred_parameters(name):
    case = CASES[name]
    for parameter, at in itertools.product(case.likelihood.priors, case.ordinary):
        law = case.law(0.7, **at)
        v = np.array([law.ppf(1e-3), law.median(), law.ppf(0.999)])

        def ours(p, v=v, parameter=parameter, at=at):
            return case.likelihood.log_density(v, 0.7, **{**at, parameter: p})

        def theirs(p, v=v, parameter=parameter, at=at):
            return case.log_density(v, 0.7, **{**at, parameter: p})

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
            others = [
                likelihood.score(v, mean, **parameters),
                likelihood.fisher_information(v, mean, **parameters),
                *likelihood.score_parts(v, mean, **parameters),
            ]
        assert {x.dtype for x in (ours, *others)} == {np.dtype(np.float32)}
        expected = case.log_density(v, mean.astype(float), **parameters)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@every_case
def test_log_kernel_is_the_density_up_to_what_the_mean_does_not_touch(name):
    case = CASES[name]
    for parameters in case.ordinary:
        v, mean = spread(np.array(case.values[1:4]).reshape(-1, 1), [[0.02, 0.5, 3.0]])
        rest = case.log_density(v, mean, **parameters) - compiled(name, "mean_terms")(
            v, mean, **parameters
        )
        expected = np.broadcast_to(rest[:, :1], rest.shape)
        np.testing.assert_allclose(rest, expected, rtol=1e-10, atol=1e-12)


@every_case
def test_varying_terms_are_the_density_up_to_what_neither_mean_nor_parameters_touch(name):
    case = CASES[name]
    v, mean = spread(np.array(case.values[1:4]).reshape(-1, 1), [[0.02, 0.5, 3.0]])
    rest = np.concatenate(
        [
            case.log_density(v, mean, **parameters)
            - compiled(name, "varying_terms")(v, mean, **parameters)
            for parameters in case.ordinary
        ],
        axis=1,
    )
    expected = np.broadcast_to(rest[:, :1], rest.shape)
    np.testing.assert_allclose(rest, expected, rtol=1e-9, atol=1e-11)


@every_case
def test_gain_is_the_difference_of_two_densities(name):
    case = CASES[name]
    log_density_change = compiled(name, "log_density_change")
    for parameters in case.ordinary:
        v, mean, step = spread(
            np.array(case.values[1:5]).reshape(-1, 1, 1), [[[0.02], [0.5], [3.0]]], [[[-0.9, 2.0]]]
        )
        before, after = (case.log_density(v, m, **parameters) for m in (mean, mean * (1 + step)))
        np.testing.assert_allclose(
            log_density_change(v, mean, mean * step, **parameters),
            after - before,
            rtol=1e-9,
            atol=1e-12,
        )
        if (
            type(case.likelihood).log_density_change is not Likelihood.log_density_change
        ):  # claims not to cancel
            small = 1e-13 * mean
            expected = compiled(name, "score")(v, mean, **parameters) * small
            np.testing.assert_allclose(
                log_density_change(v, mean, small, **parameters), expected, rtol=1e-9
            )
