"""Data at the edges of floating point, empty rows, and starts with zeros."""

from __future__ import annotations

import numpy as np
import pytest
import small

import bayesnmf as bn
from bayesnmf.priors import Exponential, Flat, Gamma


def fit(V, likelihood, prior=None, **options):
    prior = prior or Exponential()
    return small.run(V, bn.NMF(2, likelihood, prior, prior), bn.MAP(n_init=1, **options))


def assert_finite(result):
    for value in (result.W, result.H, result.mean):
        assert np.isfinite(value).all()
        assert (value >= 0).all()
    assert np.isfinite(result.tree.attrs["objective"])


def positive(seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, size=(8, 2)) @ rng.gamma(2.0, size=(2, 6)) * rng.gamma(9, 1 / 9, (8, 6))


@pytest.mark.parametrize("unit", [1e-300, 1e-100, 1e100, 1e300])
@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_units_at_the_edges_leave_numbers(name, unit):
    result = fit(unit * positive(), name, max_iter=200)
    assert np.isfinite(result.W).all()
    assert np.isfinite(result.H).all()


@pytest.mark.parametrize(
    ("unit", "message"),
    [(1e300, r"V\[0, 0\] = .* has a square that overflows in float64 \(and 47 more\)\. Divide V"),
     (1e-300, "the largest cell of V is .*, whose square underflows in float64. Multiply V")],
)  # fmt: skip
def test_gaussian_data_whose_squares_are_no_numbers_are_refused(unit, message):
    with pytest.raises(ValueError, match=message):
        fit(unit * positive(), "gaussian")


@pytest.mark.parametrize("unit", [1e-30, 1e30])
@pytest.mark.parametrize("name", ["gamma", "gaussian"])
def test_units_scale_the_fit_and_change_nothing_else(name, unit):
    plain, scaled = (fit(u * positive(), name, tol=1e-6) for u in (1.0, unit))
    np.testing.assert_allclose(scaled.mean / unit, plain.mean, rtol=1e-3)


@pytest.mark.parametrize("prior", [Flat(), Exponential(1.0), Gamma(2.0), Gamma(0.5)], ids=str)
def test_empty_rows_and_columns_of_counts(prior):
    """Their factors go to zero, or to the mode of the prior."""
    V = np.random.default_rng(0).poisson(3.0, (8, 6)).astype(float)
    V[2], V[:, 4] = 0.0, 0.0
    result = fit(V, "poisson", prior, tol=1e-6)
    assert_finite(result)
    if prior.shape == 1:
        assert result.mean[2].max() < 1e-6
        assert result.mean[:, 4].max() < 1e-6


def test_all_zero_counts():
    assert_finite(fit(np.zeros((5, 4)), "poisson"))
    assert_finite(fit(np.zeros((5, 4)), "negative_binomial"))


def test_one_enormous_count_among_zeros():
    V = np.zeros((6, 5))
    V[3, 2] = 1e6
    for name in ("poisson", "negative_binomial", "gaussian"):
        assert_finite(fit(V, name))
    assert float(fit(V, "poisson", Flat()).mean[3, 2]) == pytest.approx(1e6, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1)])
def test_a_single_row_or_column(shape):
    V = np.random.default_rng(0).poisson(5.0, shape) + 1.0
    model = bn.NMF(1, "poisson", Flat(), Flat())
    result = small.run(V, model, bn.MAP(n_init=1, tol=1e-8))
    np.testing.assert_allclose(result.mean, V, rtol=1e-6)


@pytest.mark.parametrize("solver", ["newton", "accelerated", "mu"])
def test_a_start_of_zeros_ends_without_nan(solver):
    V = np.random.default_rng(0).poisson(3.0, (8, 6)).astype(float)
    W, H = np.zeros((8, 2)), np.ones((2, 6))
    assert_finite(fit(V, "poisson", solver=solver, init=(W, H), max_iter=50))
    W[:, 0] = 1.0
    assert_finite(fit(V, "poisson", solver=solver, init=(W, H), max_iter=50))


def test_starts_of_a_wrong_kind_are_refused():
    V = np.ones((8, 6))
    with pytest.raises(ValueError, match=r"initial H has shape \(3, 6\); it must be \(2, 6\)"):
        fit(V, "poisson", init=(np.ones((8, 2)), np.ones((3, 6))))
    with pytest.raises(ValueError, match=r"initial W holds -1 at \(0, 0\)"):
        fit(V, "poisson", init=(-np.ones((8, 2)), np.ones((2, 6))))


def test_zeros_in_data_of_the_gamma_likelihood_are_refused():
    V = positive()
    V[1, 2] = 0.0
    with pytest.raises(ValueError, match=r"V\[1, 2\] = 0 is not positive"):
        fit(V, "gamma")
