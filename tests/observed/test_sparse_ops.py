"""Sparse operations: native code and XLA against dense arithmetic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from bayesnmf.observed.sparse_ops import (
    contract_change,
    contract_ratio,
    contract_ratio_both,
    contract_values,
    share_products,
    sum_log,
    sweep,
)
from bayesnmf.observed.stored_rows import rows_of as rows_of_matrix

pytestmark = pytest.mark.usefixtures("float64")
FLOOR = 1e-150


both = pytest.mark.parametrize("native", [True, False], ids=["native", "xla"])


def rows_of(V, native):
    return rows_of_matrix(scipy.sparse.csr_array(V), native=native)


def problem(seed=0):
    """Return sparse counts with an empty row and an empty column, and factors."""
    rng = np.random.default_rng(seed)
    V = rng.poisson(0.4, (9, 7)).astype(float)
    V[3], V[:, 2] = 0.0, 0.0
    x, y = rng.gamma(1.0, size=(3, 9)), rng.gamma(1.0, size=(3, 7))
    linear = np.broadcast_to(y.sum(axis=1, keepdims=True) + 0.3, x.shape)
    return V, *map(jnp.asarray, (x, y, linear))


def objective(V, x, y, linear, log_coefficient):
    """Return the objective of every row from the dense matrix."""
    mean = np.maximum(np.asarray(x.T @ y), FLOOR)
    prior = np.sum(np.asarray(linear * x) - log_coefficient * np.log(np.maximum(x, FLOOR)), axis=0)
    return prior - np.sum(V * np.log(mean), axis=1)


@both
def test_contractions_are_the_dense_ones(native):
    V, x, y, _ = problem()
    rows = rows_of(V, native)
    mean = np.asarray(x.T @ y)
    got = jax.jit(contract_values)(rows, y)
    np.testing.assert_allclose(got, y @ V.T, rtol=1e-12)
    got = jax.jit(lambda *a: contract_ratio(*a, FLOOR))(rows, x, y)
    np.testing.assert_allclose(got, y @ (V / mean).T, rtol=1e-12)
    got = jax.jit(lambda *a: sum_log(*a, FLOOR))(rows, x, y)
    np.testing.assert_allclose(got, np.sum(V * np.log(mean), axis=1), rtol=1e-12, atol=1e-12)


@both
def test_one_visit_serves_both_factors(native):
    """For a batch of factors too, as of chains."""
    V, x, y, _ = problem()
    rows = rows_of(V, native)
    both_sides = jax.jit(jax.vmap(lambda x, y: contract_ratio_both(rows, x, y, FLOOR)))
    xs, ys = jnp.stack([x, 2 * x]), jnp.stack([y, y**2])
    for of_x, of_y, one, other in zip(*both_sides(xs, ys), xs, ys, strict=True):
        ratio = V / np.asarray(one.T @ other)
        np.testing.assert_allclose(of_x, other @ ratio.T, rtol=1e-12)
        np.testing.assert_allclose(of_y, one @ ratio, rtol=1e-12)


@both
def test_a_change_of_the_mean_is_the_dense_one(native):
    V, x, y, _ = problem()
    step = y * np.random.default_rng(1).normal(size=y.shape)
    got = jax.jit(lambda *a: contract_change(*a, FLOOR))(rows_of(V, native), x, y, step)
    mean, change = np.asarray(x.T @ y), np.asarray(x.T @ step)
    np.testing.assert_allclose(got, y @ (V * change / mean**2).T, rtol=1e-12, atol=1e-14)


@both
def test_products_of_shares_are_the_dense_ones(native):
    V, x, y, _ = problem()
    got = jax.jit(lambda *a: share_products(*a, FLOOR))(rows_of(V, native), x, y)
    share = np.einsum("ki,kj,ij->kij", x, y, 1 / np.asarray(x.T @ y))
    full = np.einsum("kij,lij,ij->kli", share, share, V)
    np.testing.assert_allclose(got, full[np.tril_indices(3)], rtol=1e-12)


@both
@pytest.mark.parametrize("log_coefficient", [0.0, 0.7])
def test_no_row_rises_in_a_sweep_and_sweeps_end_where_slopes_vanish(native, log_coefficient):
    V, x, y, linear = problem()
    rows = rows_of(V, native)
    step = jax.jit(lambda *a: sweep(*a, FLOOR))
    before = objective(V, x, y, linear, log_coefficient)
    for _ in range(200):
        x, _, kernel = step(rows, x, y, linear, jnp.asarray(log_coefficient))
        after = objective(V, x, y, linear, log_coefficient)
        assert np.all(after <= before + 1e-12 * np.abs(before))
        before = after
    mean = np.maximum(np.asarray(x.T @ y), FLOOR)
    slope = linear - y @ (V / mean).T - log_coefficient / np.maximum(x, FLOOR)
    assert np.abs(np.minimum(x, slope)).max() < 1e-8
    np.testing.assert_allclose(kernel, np.sum(V * np.log(mean), axis=1), atol=1e-6)


def test_native_code_does_what_xla_does():
    for seed, log_coefficient in ((1, 0.0), (2, 1.5)):
        V, x, y, linear = problem(seed)
        ours, plain = (
            sweep(rows_of(V, native), x, y, linear, jnp.asarray(log_coefficient), FLOOR)
            for native in (True, False)
        )
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@both
def test_an_entry_goes_to_the_minimum_of_its_model(native):
    """With one stored cell and one component the model is the objective itself."""
    rows = rows_of([[5.0]], native)
    x, y, linear = (jnp.asarray([[value]]) for value in (0.1, 2.0, 3.0))
    new, slope, kernel = sweep(rows, x, y, linear, jnp.asarray(0.0), FLOOR)
    assert float(new[0, 0]) == pytest.approx(5 / 3)
    assert float(slope[0, 0]) == pytest.approx(3 - 5 / 0.1)
    assert float(kernel[0]) == pytest.approx(5 * np.log(0.2))
    new, _, _ = sweep(rows, x, y, linear, jnp.asarray(2.0), FLOOR)
    assert float(new[0, 0]) == pytest.approx(7 / 3)


@both
def test_numbers_keep_their_digits_across_the_border(native):
    rows = rows_of([[1.0 + 2.0**-40]], native)
    y = jnp.asarray([[1.0 + 2.0**-30]])
    got = jax.jit(contract_values)(rows, y)
    assert float(got[0, 0]) == (1 + 2.0**-40) * (1 + 2.0**-30)
