"""Data at the edges of floating point, empty rows, and starts with zeros."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise import descent
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.observed.cells import dense_cells_of
from bayesnmf.priors import Exponential, Flat, Gamma


def counts():
    """Counts with a gap, as other tests of this size have one, so that all run one program."""
    V = np.random.default_rng(0).poisson(3.0, small.SHAPE).astype(float)
    V[5, 0] = np.nan
    return V


def fit(V, likelihood, prior=None, **options):
    priors = () if prior is None else (prior, prior)
    return small.run(V, bn.NMF(2, likelihood, *priors), bn.MAP(n_init=1, **options))


def assert_finite(result):
    for value in (result.W, result.H, result.mean):
        assert np.isfinite(value).all()
        assert (value >= 0).all()
    assert np.isfinite(result.tree.attrs["objective"])


def positive(seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, size=(8, 2)) @ rng.gamma(2.0, size=(2, 6)) * rng.gamma(9, 1 / 9, (8, 6))


DOUBLE = [-300, -200, -125, -100, -30, -12, 0, 12, 30, 100, 125, 200, 300]
SINGLE = [-37, -25, -17, -12, -6, 0, 5, 7, 12, 17, 25, 37]


def scaled(name, power, dtype=np.float64, missing=0.0):
    """Data of a likelihood times a power of ten; proportions stay below 1."""
    V = small.data(small.LIKELIHOODS[name], missing=missing).astype(np.float128)
    return (V * np.float128(10.0) ** min(power, 0 if name == "beta" else power)).astype(dtype)


def assert_fit_or_sentence(V, name):
    """A fit that has converged is finite; data for which it cannot be are refused in a sentence."""
    result, refusal = None, ""
    try:
        result = small.run(V, bn.NMF(2, name), bn.MAP(n_init=1, max_iter=120))
    except ValueError as error:
        refusal = str(error)
    if result is None:
        words = "is too (large|small) for the arithmetic|, too small for|is not positive|has no log"
        assert re.search(f"{words}|not strictly between", refusal), refusal
        return False
    assert_finite(result)
    assert result.converged == result.message.startswith("converged after")
    if result.converged and name in ("gamma", "gaussian"):  # whose scale the priors follow
        dense = V.toarray() if scipy.sparse.issparse(V) else V
        assert 0.5 < float(result.mean.mean()) / float(np.nanmean(dense)) < 1.5
    return True


@pytest.mark.parametrize(
    ("name", "dtype"),
    small.short_of(
        [(name, dtype) for name in small.PLAIN for dtype in ("float64", "float32")],
        *((name, "float64") for name in small.PLAIN),
        ("poisson", "float32"),
        ("gaussian", "float32"),
    ),
)
def test_every_scale_ends_in_finite_numbers_or_a_sentence(name, dtype):
    """Complete in single precision, with missing cells in double; both programs serve other tests."""
    double = dtype == "float64"
    for power in DOUBLE if double else SINGLE:
        with np.errstate(over="ignore", under="ignore"):
            V = scaled(name, power, dtype, missing=0.2 if double else 0.0)
        if not np.isinf(V).any():
            fitted = assert_fit_or_sentence(V, name)
            # Ordinary scientific units have to work; counts must be exact.
            counts = name == "negative_binomial"
            assert fitted or abs(power) > (30 - 18 * counts if double else 6 - 2 * counts)


@pytest.mark.parametrize("name", ["poisson", "gaussian"])
def test_every_scale_of_sparse_data_ends_in_finite_numbers_or_a_sentence(name):
    for power in (-300, -100, 0, 12, 100, 300):
        V = scipy.sparse.csr_array(np.maximum(scaled(name, power), 0.0))
        assert assert_fit_or_sentence(V, name) == (abs(power) <= 100)


@pytest.mark.parametrize("name", small.PLAIN)
def test_no_likelihood_lets_pass_what_its_arithmetic_cannot_carry(name):
    likelihood = small.LIKELIHOODS[name]
    with pytest.raises(ValueError, match=r"the largest value of V is 1e-200, too small for"):
        likelihood.check(Matrix.of([[1e-200, 1e-201]]))
    if name != "beta":
        with pytest.raises(ValueError, match=r"V\[0, 1\] = 1e\+200 is too large for"):
            likelihood.check(Matrix.of([[1.0, 1e200]]))


@pytest.mark.parametrize("value", [1e-310, 1e-200])
def test_one_gamma_cell_far_below_the_others_is_refused_by_name(value):
    V = positive()
    V[1, 2] = value
    with pytest.raises(ValueError, match=r"V\[1, 2\] = 1e-\d+ is too small .* mark that cell"):
        fit(V, "gamma")


def test_a_proportion_without_a_logarithm_is_refused():
    with pytest.raises(ValueError, match=r"V\[0, 1\] = 1e-310 has no logarithm"):
        bn.likelihoods.Beta().check(Matrix.of([[0.5, 1e-310]]))


@pytest.mark.parametrize("power", [-100, 100, 300])
@pytest.mark.parametrize("name", ["gamma", "gaussian"])
def test_units_scale_the_fit_and_change_nothing_else(name, power):
    """A power of two is exact, and so is the root of an even one that the priors take."""
    V = small.data(small.LIKELIHOODS[name], missing=0.2)
    unit = 2.0**power
    method = bn.MAP(n_init=1)
    plain, other = (small.run(u * V, bn.NMF(2, name), method) for u in (1.0, unit))
    assert plain.converged
    assert other.converged
    np.testing.assert_allclose(other.mean / unit, plain.mean, rtol=1e-4, atol=1e-6)
    n_cells = np.isfinite(V).sum()
    expected = plain.tree.attrs["objective"] + n_cells * np.log(unit)
    assert other.tree.attrs["objective"] == pytest.approx(expected, abs=1e-3 * n_cells)


@pytest.mark.parametrize("solver", ["newton", "accelerated"])
def test_large_counts_converge_as_small_ones(solver):
    V = 1e12 * np.ceil(positive()[:6, :5])
    assert small.run(V, bn.NMF(2, "poisson"), bn.MAP(solver, n_init=1)).converged


def test_what_is_not_finite_has_not_converged():
    model = bn.NMF(2, bn.likelihoods.Gaussian(sigma=1e-200))
    with np.errstate(invalid="ignore"):
        V = small.data(small.LIKELIHOODS["gaussian"])
        result = small.run(V, model, bn.MAP(n_init=1, max_iter=120))
    assert not result.converged
    assert "stopped at numbers that are not finite, not converged," in result.message


@pytest.mark.parametrize("prior", [Flat(), Exponential(1.0), Gamma(2.0), Gamma(0.5)], ids=str)
def test_empty_rows_and_columns_of_counts(prior):
    """Their factors go to zero, or to the maximum of the prior."""
    V = counts()
    V[2], V[:, 4] = 0.0, 0.0
    result = fit(V, "poisson", prior, tol=1e-6)
    assert_finite(result)
    if prior.shape == 1:
        assert result.mean[2].max() < 1e-6
        assert result.mean[:, 4].max() < 1e-6


def test_all_zero_counts():
    for name in ("poisson", "negative_binomial"):
        assert_finite(fit(0.0 * counts(), name))


def test_one_enormous_count_among_zeros():
    V = 0.0 * counts()
    V[3, 2] = 1e6
    for name in ("poisson", "negative_binomial", "gaussian"):
        assert_finite(fit(V, name))
    assert float(fit(V, "poisson", Exponential(1e-9)).mean[3, 2]) == pytest.approx(1e6, rel=1e-6)


@pytest.mark.parametrize("shape", small.short_of([((1, 7),), ((7, 1),)], ((7, 1),)))
def test_a_single_row_or_column(shape):
    V = np.random.default_rng(0).poisson(5.0, shape) + 1.0
    model = bn.NMF(1, "poisson", Flat(), Flat())
    result = small.run(V, model, bn.MAP(n_init=1, tol=1e-8))
    np.testing.assert_allclose(result.mean, V, rtol=1e-6)


EVERY_SOLVER = pytest.mark.parametrize("solver", ["newton", "accelerated", "mu"])


@EVERY_SOLVER
@pytest.mark.parametrize("name", small.PLAIN)
def test_a_start_of_zeros_is_refused(name, solver):
    V = small.data(small.LIKELIHOODS[name])
    for factor, start in (
        ("W", (np.zeros((6, 2)), np.ones((2, 5)))),
        ("H", (np.ones((6, 2)), np.zeros((2, 5)))),
    ):
        with pytest.raises(ValueError, match=f"initial {factor} holds nothing but zeros"):
            small.run(V, bn.NMF(2, name), bn.MAP(solver, init=start))


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array])
def test_a_component_of_zeros_is_lifted_or_refused(container):
    V = container(counts())
    W, H = np.ones((6, 2)), np.ones((2, 5)) + np.eye(2, 5)
    W[:, 1] = 0.0
    assert_finite(fit(V, "poisson", init=(W, H), max_iter=200))
    with pytest.raises(ValueError, match=r"component 1 of the initial W is zero \(its column\)"):
        fit(V, "poisson", solver="mu", init=(W, H))
    with pytest.raises(
        ValueError, match=r"component 0 \(and 1 more\) of the initial H|nothing but"
    ):
        fit(V, "poisson", solver="mu", init=(np.ones((6, 2)), 0 * H))
    H[0, 1:] = 0.0  # scikit-learn decides about a zero entry
    assert_finite(fit(V, "poisson", solver="mu", init=(np.ones((6, 2)), H), max_iter=50))


@pytest.mark.parametrize("name", small.PLAIN)
@pytest.mark.parametrize("size", [0.0, 1e-12])
def test_a_component_that_could_help_is_not_optimal_when_empty(name, size, float64):
    """Its own entries, against which slopes are measured, vanish with it; the mean WH does not."""
    likelihood = small.LIKELIHOODS[name]
    model = bn.NMF(2, likelihood, Flat(), Flat()).resolve(small.data(likelihood))
    data = dense_cells_of(model, Matrix.of(small.data(likelihood)))
    rng = np.random.default_rng(4)
    W, H = jnp.asarray(rng.uniform(0.1, 0.2, (2, 6))), jnp.asarray(rng.uniform(0.1, 0.2, (2, 5)))
    parameters = {n: jnp.asarray(x) for n, x in likelihood.start().items()}
    point = Factors(W.at[1].set(size), H, parameters)
    assert float(descent.certificate(model, data, point, log_space=False).residual) > 1e-3
    tol = jnp.asarray(1e-4)
    released, _, improved = descent.release(model, data, point, tol, log_space=False)
    assert float(jnp.max(released.W[1])) > 1e-6
    assert bool(improved)


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
