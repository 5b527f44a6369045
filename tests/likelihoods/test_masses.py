"""Counts under every likelihood: the mass of the unit interval around each."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from likelihood_cases import CASES, compiled, of_counts, spread
from scipy import special, stats

from bayesnmf.likelihoods import Beta, Gamma, Gaussian

pytestmark = pytest.mark.usefixtures("float64")


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
