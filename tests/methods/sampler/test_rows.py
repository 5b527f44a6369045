"""Rows that are independent, since the other factor is known: coordinates, metric and moves."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small
from methods.sampler import prior_check as check

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.methods.sampler import adaptation, coordinates, row_metric
from bayesnmf.methods.sampler.moves import row
from bayesnmf.methods.sampler.plan import row_plan
from bayesnmf.methods.sampler.row_metric import RowMetric, RowMetrics, RowReference
from bayesnmf.methods.sampler.sweep import sweep
from bayesnmf.methods.sampler.target import Position, independent_rows
from bayesnmf.methods.sampler.tuning import Steps, Tuning
from bayesnmf.observed.cells import dense_cells_of
from bayesnmf.observed.counts import counts_of
from bayesnmf.observed.interface import pairs
from bayesnmf.observed.moments import moments_of
from bayesnmf.priors import ARD, Gamma

pytestmark = pytest.mark.usefixtures("float64")
H = np.array([[0.3, 0.8, 0.0, 1.4], [1.1, 0.2, 0.6, 0.4]])
every_likelihood = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("poisson", "gamma") else pytest.mark.long)
        for name in check.LIKELIHOODS
    ],
)


# -- coordinates --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 3.0, -200.0])
def test_coordinates_are_smooth_and_have_an_inverse(scale):
    x = jnp.asarray([-900.0, -41.0, -39.9, -3.0, 0.1, 2.0, 40.0, 1e6])
    log_w, log_ratio = coordinates.to_log(x, scale)
    back, same = coordinates.to_softplus(log_w, scale)
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(log_ratio, same, rtol=1e-9, atol=1e-12)
    slopes = jax.vmap(jax.grad(lambda x: coordinates.to_log(x, scale)[0]))(x)
    np.testing.assert_allclose(jnp.exp(log_ratio), slopes, rtol=1e-9)
    point = coordinates.point_at(x, jnp.exp(scale))
    np.testing.assert_allclose(point.w, jnp.exp(log_w), rtol=1e-9)
    np.testing.assert_allclose(point.ratio, slopes, rtol=1e-9)


def test_the_slope_in_x_is_that_of_the_density_in_x():
    x = jnp.asarray([-60.0, -2.0, 0.5, 7.0])

    def log_density(x):  # of w ~ Gamma(1.7, 0.9)
        log_w, log_ratio = coordinates.to_log(x, 0.3)
        return 1.7 * log_w - 0.9 * jnp.exp(log_w) + log_ratio

    point = coordinates.point_at(x, jnp.exp(0.3))
    found = coordinates.slope_in_x(point, 1.7 - 0.9 * point.w)
    np.testing.assert_allclose(found, jax.vmap(jax.grad(log_density))(x), rtol=1e-9)


# -- information and metric ---------------------------------------------------------------------


def storages():
    V = np.random.default_rng(0).poisson(2.0, (5, 4)).astype(float)
    gaussian, missing = bn.likelihoods.Gaussian(sigma=1.0), V.copy()
    missing[1, 2] = missing[3, :3] = np.nan
    poisson = bn.NMF(3).resolve(V)
    yield poisson, dense_cells_of(poisson, Matrix.of(missing))
    yield poisson, counts_of(SparseMatrix.of(scipy.sparse.csr_array(V)))
    yield bn.NMF(3, gaussian).resolve(V), moments_of(Matrix.of(V))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("storage", range(3))
def test_information_of_some_is_a_part_of_that_of_all(storage, axis):
    model, data = list(storages())[storage]
    rng = np.random.default_rng(1)
    factors = [jnp.asarray(rng.gamma(2.0, 1.0, (3, size))) for size in (5, 4)]
    packed = data.information(model, *factors, {})[1 - axis]
    x, y = factors if axis == 1 else factors[::-1]
    whole = np.zeros((3, 3, x.shape[1]))
    first, second = pairs(3)
    whole[first, second] = whole[second, first] = packed
    own = data.information_diagonal(model, x, y, {}, axis=axis)
    np.testing.assert_allclose(own, np.einsum("kki->ki", whole), rtol=1e-12)
    chosen = jnp.asarray(rng.permuted(np.tile(np.arange(3), (x.shape[1], 1)), axis=1).T[:2])
    among = data.information_among(model, x, y, {}, chosen, axis=axis)
    for i in range(x.shape[1]):
        np.testing.assert_allclose(
            among[:, :, i], whole[np.ix_(chosen[:, i], chosen[:, i])][:, :, i], rtol=1e-12
        )


def target_of(shape=1.0, K=3, n=5):
    rng = np.random.default_rng(2)
    H, W = rng.gamma(0.5, 1.0, (K, 6)), rng.gamma(0.5, 4.0, (n, K))
    V = rng.poisson(W @ H).astype(float)
    model = bn.NMF(prior_W=Gamma(shape, 0.5), H=H).resolve(V)
    position = Position(jnp.log(W.T), jnp.log(jnp.asarray(H)), {})
    return *independent_rows(model, dense_cells_of(model, Matrix.of(V)), position), model


@pytest.mark.parametrize("leading", [24, 2])
def test_the_metric_is_the_information_of_each_row(leading, monkeypatch):
    """In single precision; whole where all components are leading ones, else without some pairs."""
    monkeypatch.setattr(row_metric, "LEADING", leading)
    target, log_w, _ = target_of(shape=1.4)
    reference = row_metric.row_reference(target, log_w)
    scale = reference.log_scale(target.prior.terms(log_w)[1])
    metric = reference.at(scale)
    assert metric.leading.dtype == jnp.float32
    ratio = np.exp(coordinates.to_softplus(log_w, scale)[1])
    everything = jnp.tile(jnp.arange(3)[:, None], (1, 5))
    information = np.asarray(target.information_among(log_w, everything))
    information = (information + 1.4 * np.eye(3)[:, :, None]) * ratio[:, None] * ratio[None]
    for i in range(5):
        unit = jnp.zeros((3, 5), jnp.float32)
        columns = [np.asarray(metric.unwhiten(unit.at[k, i].set(1.0)))[:, i] for k in range(3)]
        rows = [np.asarray(metric.whiten(unit.at[k, i].set(1.0)))[:, i] for k in range(3)]
        root = np.stack(columns, axis=1)
        np.testing.assert_allclose(np.stack(rows), root, rtol=1e-6)  # transposes of each other
        expected = information[:, :, i].copy()
        rest = np.setdiff1d(np.arange(3), reference.order[:leading, i])
        for k in rest:
            expected[k, np.arange(3) != k] = expected[np.arange(3) != k, k] = 0
        np.testing.assert_allclose(np.linalg.inv(root @ root.T), expected, rtol=1e-4, atol=1e-5)


# -- moves --------------------------------------------------------------------------------------


def fixed_tuning(position, *, of_rates=False):
    """Return masses that do not depend on the data, with components in another order in each row."""
    n_rows = position.W.shape[1]
    order = jnp.asarray([[i % 2, 1 - i % 2] for i in range(n_rows)]).T
    one = jnp.ones((1, n_rows))
    rows = RowReference(
        0.4 * jnp.ones((2, n_rows)), order, jnp.argsort(order, axis=0), 0.8 * one[None], one, one
    )
    rates = RowMetric.of(order[:, :1], order[:, :1], jnp.full((1, 1, 1), 0.5), jnp.ones((1, 1)))
    sizes = (position.W.shape[1:], position.H.shape[1:], ())
    steps = Steps(*(adaptation.first_step_size(jnp.full(size, jnp.log(0.7))) for size in sizes))
    parameters = conditioned_names(position)
    widths = {name: jnp.ones_like(x) for name, x in parameters.items()}
    zero = jax.tree.map(jnp.zeros_like, position)
    return Tuning(
        RowMetrics(rows, rates if of_rates else None), steps, widths, zero, None, jnp.zeros(())
    )


def conditioned_names(position):
    return {name: x for name, x in position.parameters.items() if not name.startswith("rate_")}


def sweeps(single):
    def move(model, data, position, noise):
        plan = replace(row_plan(single_precision=single), block_leapfrogs=3, joint_leapfrogs=3)
        tuning = fixed_tuning(position, of_rates=bool(model.hyper_priors))
        return sweep(plan, model, data, position, tuning, noise.slices)[0]

    return move


in_full, in_single = sweeps(False), sweeps(True)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "move"),
    small.short_of(
        [(name, move) for name in check.LIKELIHOODS for move in (in_full, in_single)],
        ("poisson", in_full),
        ("gamma", in_single),
    ),
)
def test_sweeps_leave_the_joint_distribution(name, move):
    model = replace(check.model_of(name), H=H)
    p = check.p_values(model, move, seed=1)
    assert check.agrees(p), p


@pytest.mark.statistical
@pytest.mark.parametrize("shape", [0.5, pytest.param(2.5, marks=pytest.mark.long)])
def test_sweeps_leave_priors_of_other_shapes(shape):
    p = check.p_values(replace(check.model_of("poisson", shape), H=H), in_full, seed=2)
    assert check.agrees(p), p


@pytest.mark.statistical
@pytest.mark.parametrize("prior", [Gamma(1.3, Gamma(4.0, 3.0)), ARD(1.0, Gamma(3.0, 2.0))])
def test_sweeps_leave_the_distribution_of_rates(prior):
    model = bn.NMF(check.RANK, prior_W=prior, prior_H=Gamma(1.0, 1.0), H=H)
    p = check.p_values(model, in_single, seed=3)
    assert check.agrees(p), p


@pytest.mark.statistical
def test_a_forgotten_jacobian_is_found_out(monkeypatch):
    """In the force too: with the right one, hardly a trajectory would need to be rejected."""

    def without(function):
        def wrong(x, log_scale):
            value, log_ratio = function(x, log_scale)
            return value, 0.0 * log_ratio

        return wrong

    for name in ("to_log", "to_softplus"):
        monkeypatch.setattr(row, name, without(getattr(coordinates, name)))
    monkeypatch.setattr(row, "slope_in_x", lambda point, log_slope: point.ratio * log_slope)
    p = check.p_values(replace(check.model_of("poisson"), H=H), sweeps(False), seed=4)
    assert not check.agrees(p), p


@pytest.mark.statistical
@pytest.mark.long
@pytest.mark.parametrize("shape", [0.6, 1.0])
def test_two_known_components_have_the_posterior_of_a_grid(shape):
    V = np.array([[3.0, 0.0, 2.0, 7.0], [40.0, 12.0, 21.0, 55.0], [0.0, 0.0, 1.0, 0.0]])
    method = bn.MCMC(num_warmup=200, num_samples=2000, num_chains=2)
    fit = small.run(V, bn.NMF(prior_W=Gamma(shape, 0.4), H=H), method)
    W = (fit.tree["posterior/W"] / fit.tree["sample_stats/scale"]).to_numpy()
    for i, v in enumerate(V):
        # Midpoints in log w, where the density has no pole.
        z = np.linspace(-40.0, 6.0, 6001)
        w = np.exp(z)
        log_p = sum(
            x * np.log(w[:, None] * h[0] + w[None, :] * h[1]) - w[:, None] * h[0] - w[None] * h[1]
            for x, h in zip(v, H.T, strict=True)
        )
        log_p += shape * (z[:, None] + z[None]) - 0.4 * (w[:, None] + w[None])
        p = np.exp(log_p - log_p.max())
        for k, marginal in enumerate((p.sum(axis=1), p.sum(axis=0))):
            cdf = np.cumsum(marginal) / marginal.sum()
            thinned = np.sort(W[:, ::10, i, k].ravel())
            exact = np.interp(np.log(thinned), z, cdf)
            steps = np.arange(1, len(thinned) + 1) / len(thinned)
            distance = max(np.abs(exact - steps).max(), np.abs(exact - steps + steps[0]).max())
            assert distance < 2.1 / np.sqrt(len(thinned)), (i, k)  # chance of 3e-4
