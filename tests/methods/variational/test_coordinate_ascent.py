"""Coordinate ascent: its bound against draws, that no step lowers it, and where Newton steps end."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.likelihoods import Poisson
from bayesnmf.methods.optimise.initial import random_start
from bayesnmf.methods.variational import coordinate_ascent as ascent
from bayesnmf.methods.variational.approximation import by_ascent
from bayesnmf.model.completion import put_known
from bayesnmf.observed import dense_cells_of, observe
from bayesnmf.priors import ARD, Gamma
from bayesnmf.progress import Silent

pytestmark = pytest.mark.usefixtures("float64")

V = small.data(small.LIKELIHOODS["poisson"])
MISSING = small.data(small.LIKELIHOODS["poisson"], missing=0.2)
PRIORS = Gamma(0.7, 0.5), Gamma(1.5, 1.2)
TABLE = np.linspace(0.5, 2.0, 5)[None]
CASES = {
    "dense": (V, bn.NMF(2, "poisson", *PRIORS)),
    "missing": (MISSING, bn.NMF(2, "poisson", *PRIORS)),
    "sparse": (scipy.sparse.csr_array(V), bn.NMF(2, "poisson", *PRIORS)),
    "sparse, missing": (MISSING, bn.NMF(2, "poisson", *PRIORS)),
    "exposure": (V, bn.NMF(2, small.LIKELIHOODS["poisson-exposure"], *PRIORS)),
    "sparse, exposure": (
        scipy.sparse.csr_array(V),
        bn.NMF(2, Poisson(exposure=np.linspace(0.5, 2.0, 6)), *PRIORS),
    ),
    "known": (V, bn.NMF(3, "poisson", *PRIORS, H=np.array([[0.0, 1.0, 2.0, 3.0, 1.0]]))),
    "known whole": (V, bn.NMF(2, "poisson", *PRIORS, W=np.arange(12.0).reshape(6, 2))),
    "entrywise": (V, bn.NMF(2, "poisson", PRIORS[0], Gamma(TABLE, 0.5 + TABLE))),
    "ard": (V, bn.NMF(3, "poisson", ARD(), ARD())),
    "one rate": (V, bn.NMF(3, "poisson", ARD(), Gamma(1.0, 1.0))),
}
every = pytest.mark.parametrize(
    "case", small.short_of(list(CASES), "sparse, exposure", "known", "ard")
)


def problem(case, seed=0):
    """A model, its data in storage, and a random start."""
    values, model = CASES[case]
    if case == "sparse, missing":
        matrix = SparseMatrix.of(scipy.sparse.csr_array(np.nan_to_num(values)), ~np.isnan(values))
    else:
        sparse = scipy.sparse.issparse(values)
        matrix = SparseMatrix.of(values) if sparse else Matrix.of(values)
    model = model.resolve(matrix)
    data = observe(model, matrix) if matrix.is_sparse else dense_cells_of(model, matrix)
    start = put_known(model, *random_start(model, matrix, np.random.default_rng(seed)))
    return model, matrix, data, start


def climb(model, data, start, n_plain, n_newton):
    """The bound before each of some plain steps, then of some Newton steps; and the last state."""
    point = ascent.first(model, data, jnp.asarray(start[0].T), jnp.asarray(start[1]))
    bounds = []
    for _ in range(n_plain):
        point, bound = ascent._map(model, data, point)
        bounds.append(float(bound))
    state = ascent.start_at(point)
    for _ in range(n_newton):
        state = ascent.newton_step(model, data, state)
        bounds.append(float(state.bound))
    return np.array(bounds), state


@every
def test_no_step_lowers_the_bound(case):
    model, _, data, start = problem(case)
    bounds, _ = climb(model, data, start, 5, 6)
    assert np.all(np.diff(bounds) > -1e-9 * np.abs(bounds[:-1]))
    assert bounds[-1] > bounds[0]


@every
def test_newton_steps_end_where_plain_steps_stay(case):
    model, _, data, start = problem(case)
    options = {"max_iter": 400, "tol": 1e-10, "progress": Silent()}
    end = ascent.ascend(model, data, start, **options)
    assert end.converged
    image, bound = ascent._map(model, data, end.point)
    for x, y in zip(image[:2], end.point[:2], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6)
    assert float(ascent._map(model, data, image)[1]) - float(bound) < 1e-6


@pytest.mark.parametrize(
    "case", small.short_of(["missing", "exposure", "sparse, exposure"], "missing")
)
def test_the_bound_of_one_component_is_the_mean_over_draws(case):
    """All counts go to it, so the bound loses nothing but independence."""
    values, model = CASES[case]
    one = bn.NMF(1, model.likelihood, *PRIORS)
    matrix = SparseMatrix.of(values) if scipy.sparse.issparse(values) else Matrix.of(values)
    found = by_ascent(
        one.resolve(matrix),
        matrix,
        jax.random.key(0),
        n_init=1,
        max_iter=200,
        tol=1e-10,
        correlated=False,
        progress=Silent(),
    )
    drawn = found.draw(4000, np.random.default_rng(1))
    assert drawn.elbo == pytest.approx(found.info["elbo_fitted"], abs=4 * drawn.elbo_error)
    assert drawn.elbo_error < 0.1


def test_storages_have_the_same_bound():
    ends = []
    for case in ("dense", "sparse"):
        model, _, data, start = problem(case)
        bounds, _ = climb(model, data, start, 5, 0)
        ends.append(bounds[-1] + data.constant(model))
    assert ends[0] == pytest.approx(ends[1], rel=1e-10)


def test_with_rates_inferred_components_empty_out():
    """Of six components of data of rank two; emptied ones hold what their prior says."""
    rng = np.random.default_rng(1)
    values = rng.poisson(
        30.0 * rng.dirichlet(np.full(2, 0.3), 40) @ rng.dirichlet(np.ones(20), 2) * 20
    )
    fit = bn.fit(values, bn.NMF(6, "poisson", "ard", "ard"), "svi", progress=False)
    assert fit.converged
    active = fit.active().mean(("chain", "draw")).to_numpy()
    assert np.sum(active > 0.99) == 2
    assert np.sum(active < 0.01) == 4
