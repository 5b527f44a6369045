"""The one-dimensional draws that moves are made of, against SciPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from bayesnmf.methods.sampler.moves.parameters import slice_move
from bayesnmf.methods.sampler.moves.scale import N_PROPOSALS, log_gig
from bayesnmf.methods.sampler.moves.shear import truncated_exponential
from bayesnmf.methods.sampler.moves.truncated import truncated_normal

pytestmark = [pytest.mark.statistical, pytest.mark.usefixtures("float64")]
SIZE, FALSE_ALARM = 20_000, 1e-3
gig = jax.jit(log_gig)

#: Orders and rates, the last few where SciPy's own density over- or underflows.
ORDERS = [
    (0.5, 1.0, 1.0),
    (-3.0, 0.1, 2.0),
    (0.0, 1e-8, 1e-8),
    (40.0, 30.0, 1e-6),
    (0.0, 1e6, 1e6),
    (5000.0, 1e3, 2e3),
    (-5000.0, 1.0, 10.0),
    (0.1, 5.0, 1e-12),
]


def gig_draws(order, alpha, beta, size=SIZE):
    u = jax.random.uniform(jax.random.key(1), (3, N_PROPOSALS, size))
    return gig(u, *(jnp.full(size, float(x)) for x in (order, alpha, beta)))


def by_quadrature(log_density, draws):
    """Return the distribution function of a density by the trapezium rule, around the draws."""
    reach = 5 * draws.std()
    grid = np.linspace(draws.min() - reach, draws.max() + reach, 200_001)
    height = log_density(grid)
    mass = np.exp(height - height.max())
    total = np.concatenate([[0.0], np.cumsum(mass[1:] + mass[:-1])])
    return lambda x: np.interp(x, grid, total / total[-1])


@pytest.mark.parametrize(("order", "alpha", "beta"), ORDERS)
def test_generalised_inverse_gaussian_draws(order, alpha, beta):
    draws, found = (np.asarray(x) for x in gig_draws(order, alpha, beta))
    assert found.all()
    cdf = by_quadrature(lambda t: order * t - alpha * np.exp(t) - beta * np.exp(-t), draws)
    assert stats.kstest(draws, cdf).pvalue > FALSE_ALARM / len(ORDERS)


@pytest.mark.parametrize(("order", "alpha", "beta"), ORDERS[:2])
def test_generalised_inverse_gaussian_draws_by_scipy(order, alpha, beta):
    draws = np.exp(np.asarray(gig_draws(order, alpha, beta, 2000)[0]))
    law = stats.geninvgauss(order, 2 * np.sqrt(alpha * beta), scale=np.sqrt(beta / alpha))
    assert stats.kstest(draws, law.cdf).pvalue > FALSE_ALARM
    wrong = stats.geninvgauss(order + 1, 2 * np.sqrt(alpha * beta), scale=np.sqrt(beta / alpha))
    assert stats.kstest(draws, wrong.cdf).pvalue < 1e-6


def test_most_proposals_are_accepted():
    for parameters in ORDERS:
        u = jax.random.uniform(jax.random.key(2), (3, 1, SIZE))
        _, found = gig(u, *(jnp.full(SIZE, x) for x in parameters))
        assert found.mean() > 0.8, parameters


def test_truncated_normal_draws_invert_the_distribution_function():
    u = np.array([1e-12, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9])[:, None]
    lower = np.array([-30.0, -8.0, -1.0, 0.0, 2.0, 3.999, 4.0, 6.0, 12.0, 30.0])[None, :]
    u, lower = np.broadcast_arrays(u, lower)
    excess = np.asarray(truncated_normal(jnp.asarray(u), jnp.asarray(lower)))
    # Equality of log survival functions; near the left end its derivative bounds the digits.
    got = special.log_ndtr(-(lower + excess)) - special.log_ndtr(-lower)
    slack = 1e-13 * np.maximum(1.0, lower**2)
    np.testing.assert_array_less(np.abs(got - np.log1p(-u)), 1e-8 * -np.log1p(-u) + slack)
    assert (excess > 0).all()


def test_far_tails_are_exponential():
    u = jnp.array([1e-6, 0.2, 0.999])
    for lower in (1e5, 1e12, 1e100):
        expected = -np.log1p(-np.asarray(u)) / lower
        np.testing.assert_allclose(truncated_normal(u, jnp.full(3, lower)), expected, rtol=1e-8)


@pytest.mark.parametrize("rate", [-1e4, -2.0, -1e-18, 0.0, 1e-9, 3.0, 1e6])
def test_truncated_exponential_draws(rate):
    u = jax.random.uniform(jax.random.key(3), (SIZE,))
    lower, upper = jnp.full(SIZE, -0.3), jnp.full(SIZE, 1.2)
    draws = np.asarray(truncated_exponential(u, jnp.full(SIZE, rate), lower, upper))
    assert ((draws >= -0.3) & (draws <= 1.2)).all()

    def cdf(x):
        if abs(rate) < 1e-12:
            return (x + 0.3) / 1.5
        if rate > 0:
            return np.expm1(-rate * (x + 0.3)) / np.expm1(-rate * 1.5)
        return 1 - np.expm1(rate * (1.2 - x)) / np.expm1(rate * 1.5)

    assert stats.kstest(draws, cdf).pvalue > FALSE_ALARM / 7


def test_slices_leave_their_density():
    """A beta density with a spike at each end, on the interval that shears live on."""
    law = stats.beta(0.4, 0.7)
    start = jnp.asarray(law.rvs(SIZE, random_state=5))

    def log_density(x):
        return -0.6 * jnp.log(x) - 0.3 * jnp.log1p(-x)

    move = jax.jit(lambda x, key: slice_move(log_density, x, 0.0 * x, 0.0 * x + 1.0, key)[0])
    for i in range(3):
        start = move(start, jax.random.key(i))
    assert stats.kstest(np.asarray(start), law.cdf).pvalue > FALSE_ALARM
