"""Native code against XLA: every operation, both precisions, many threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from bayesnmf.data import SparseMatrix
from bayesnmf.observed import work
from bayesnmf.observed.sparse_ops import (
    contract_change,
    contract_ratio,
    contract_ratio_both,
    contract_values,
    share_products,
    sum_log,
    sweep,
)
from bayesnmf.observed.stored_rows import rows_of

FLOOR = 1e-15
OPERATIONS = {
    "contract_values": lambda rows, x, y: contract_values(rows, y),
    "contract_ratio": lambda rows, x, y: contract_ratio(rows, x, y, FLOOR),
    "contract_ratio_both": lambda rows, x, y: contract_ratio_both(rows, x, y, FLOOR),
    "contract_change": lambda rows, x, y: contract_change(rows, x, y, y - 1.0, FLOOR),
    "share_products": lambda rows, x, y: share_products(rows, x, y, FLOOR),
    "sum_log": lambda rows, x, y: sum_log(rows, x, y, FLOOR),
    "sweep": lambda rows, x, y: sweep(rows, x, y, _linear(x, y), jnp.zeros((), x.dtype), FLOOR, 1),
    "sweep, prior": lambda rows, x, y: sweep(
        rows, x, y, _linear(x, y), jnp.full((len(x), 1), 0.5, x.dtype), FLOOR
    ),
}
every = pytest.mark.parametrize("name", OPERATIONS)
#: Few cells, which one thread works through, and many.
SHAPES = {"few": (40, 30), "many": (400, 90)}


def _linear(x, y):
    return jnp.broadcast_to(jnp.sum(y, axis=1, keepdims=True) + 0.3, x.shape)


def problem(shape, dtype=float, density=0.2):
    """Return counts with empty rows at both ends and between, and factors."""
    rng = np.random.default_rng(0)
    V = rng.poisson(3.0, shape) * (rng.random(shape) < density)
    V[[0, 7, -1]], V[:, 3] = 0, 0
    x, y = (jnp.asarray(rng.gamma(1.0, size=(4, n)), dtype) for n in shape)
    return scipy.sparse.csr_array(V.astype(dtype)), x, y


def answers(operation, V, x, y):
    """Return what native code answers, and what XLA does."""
    return (jax.jit(operation)(rows_of(V, native=native), x, y) for native in (True, False))


def same(ours, theirs, **tolerance):
    compare = lambda a, b: np.testing.assert_allclose(a, b, **tolerance)  # noqa: E731
    jax.tree.map(compare, ours, theirs)


@every
@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.usefixtures("float64")
def test_native_code_answers_as_xla_does(name, size):
    V, x, y = problem(SHAPES[size])
    assert (V.nnz < work.FEW) == (size == "few")
    same(*answers(OPERATIONS[name], V, x, y), rtol=1e-9, atol=1e-9)


@every
def test_it_does_in_single_precision(name):
    V, x, y = problem(SHAPES["many"], np.float32)
    ours, theirs = answers(OPERATIONS[name], V, x, y)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(ours)} == {"float32"}
    same(ours, theirs, rtol=2e-3, atol=2e-3)


@every
@pytest.mark.usefixtures("float64")
def test_types_of_stored_numbers_may_be_wide_or_narrow(name):
    V, x, y = problem(SHAPES["many"])
    rows = rows_of(V, native=True)
    expected = OPERATIONS[name](rows, x, y)
    for value, index in ((jnp.float32, jnp.int64), (jnp.float64, jnp.int32)):
        parts = {"indices": rows.indices.astype(index), "starts": rows.starts.astype(index)}
        cast = replace(rows, values=rows.values.astype(value), **parts)
        same(OPERATIONS[name](cast, x, y), expected, rtol=1e-15)


@every
@pytest.mark.usefixtures("float64")
def test_nothing_needs_to_be_stored(name):
    _, x, y = problem(SHAPES["few"])
    V = scipy.sparse.csr_array(SHAPES["few"])
    same(*answers(OPERATIONS[name], V, x, y), rtol=1e-12, atol=1e-12)


@every
@pytest.mark.usefixtures("float64")
def test_a_batch_is_answered_one_by_one(name):
    V, x, y = problem(SHAPES["many"])
    xs, ys, rows = jnp.stack([x, 2 * x, x**2]), jnp.stack([y, y**2, y]), rows_of(V, native=True)
    together = jax.jit(jax.vmap(OPERATIONS[name], (None, 0, 0)))(rows, xs, ys)
    for i in range(len(xs)):
        alone = OPERATIONS[name](rows, xs[i], ys[i])
        same(jax.tree.map(lambda a, i=i: a[i], together), alone, rtol=1e-14)


@every
@pytest.mark.usefixtures("float64")
def test_threads_may_call_at_the_same_time(name):
    """As chains do: each gets what it would get alone, to the last digit."""
    V, x, y = problem(SHAPES["many"])
    rows = rows_of(V, native=True)

    @jax.jit
    def often(x):
        def once(_, total):
            return jax.tree.map(jnp.add, total, OPERATIONS[name](rows, x, y))

        return jax.lax.fori_loop(0, 20, once, OPERATIONS[name](rows, x, y))

    points = [x * (1 + i) for i in range(4)]
    alone = [often(point) for point in points]

    def call(i):
        with jax.enable_x64(True):
            return [jax.block_until_ready(often(points[i])) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(call, range(4)), alone, strict=True):
            for one in got:
                jax.tree.map(np.testing.assert_array_equal, one, expected)


@pytest.mark.usefixtures("float64")
def test_programs_use_the_memory_of_the_data():
    matrix = SparseMatrix.of(problem(SHAPES["many"])[0])
    for stored in (matrix.stored, matrix.stored_columns):
        rows = rows_of(stored, native=True)
        for ours, theirs in zip(
            (rows.values, rows.indices, rows.starts),
            (stored.data, stored.indices, stored.indptr),
            strict=True,
        ):
            assert ours.unsafe_buffer_pointer() == theirs.ctypes.data
