"""The structured sampler on sparse data: the dense sampler's numbers, from the stored cells."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import small
from exact import RankOne, rank_one_scores
from scipy import stats

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.data import matrix as matrices
from bayesnmf.methods.sampler import Plan, chains, plan_for
from bayesnmf.methods.sampler.sweep import sweep
from bayesnmf.methods.sampler.target import log_joint_at
from bayesnmf.observed import observe_for_sampling
from bayesnmf.observed.counts import Counts
from bayesnmf.observed.moments import Moments
from bayesnmf.observed.stored_rows import Compressed
from bayesnmf.priors import Exponential, Gamma

pytestmark = pytest.mark.usefixtures("float64")
FALSE_ALARM = 1e-3

POISSON = bn.NMF(2, bn.likelihoods.Poisson(exposure=1.7), Gamma(0.8, 0.9), Gamma(1.5, 1.1))
MODELS = {
    "poisson": (POISSON, 0.2),
    "gaussian, truncated": (bn.NMF(2, "gaussian", Exponential(0.9), Exponential(1.1)), 0.0),
    "gaussian, block": (bn.NMF(2, "gaussian", Gamma(2.0, 0.9), Gamma(1.5, 1.1)), 0.0),
}


def counts(held=0.2, shape=(9, 7), seed=3):
    """Return counts with an empty row and an empty column, NaN where held out."""
    rng = np.random.default_rng(seed)
    V = rng.poisson(rng.gamma(0.5, size=(shape[0], 1)) * rng.gamma(1.5, size=shape)).astype(float)
    V[2], V[:, 1] = 0.0, 0.0
    V[rng.random(shape) < held] = np.nan
    return V


def observed(model, V):
    """Return the resolved model, and V dense and sparse as the sampler sees it."""
    matrix = Matrix.of(V)
    model = model.resolve(matrix)
    matrices = matrix, SparseMatrix.of(scipy.sparse.csr_array(V))
    return model, *(observe_for_sampling(model, m) for m in matrices)


def starts(model, shape, num_chains=1, seed=1):
    rng, (n, m), K = np.random.default_rng(seed), shape, model.n_components
    values = {name: np.full(num_chains, x) for name, x in model.likelihood.start().items()}
    values["W"] = rng.gamma(2.0, 0.4, (num_chains, n, K))
    values["H"] = rng.gamma(2.0, 0.4, (num_chains, K, m))
    return {name: jnp.asarray(x) for name, x in values.items()}


# -- the same numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", small.short_of(list(MODELS), "poisson"))
def test_a_sweep_is_the_dense_one(name):
    """With the same keys and masses, to rounding, over ten sweeps."""
    (model, held) = MODELS[name]
    model, dense, sparse = observed(model, counts(held))
    assert isinstance(sparse, Counts if name == "poisson" else Moments)
    plan = plan_for(model, sparse)
    # The dense sampler computes trajectories in single precision.
    assert plan == replace(plan_for(model, dense), single_precision=False)
    state = chains.begin(model, dense, starts(model, dense.shape), jax.random.key(0), 0)
    position, tuning = jax.tree.map(lambda x: x[0], (state.z, state.tuning))
    once = jax.jit(sweep, static_argnums=0)
    ours = theirs = position
    for seed in range(10):
        key = jax.random.key(seed)
        ours, accept = once(plan, model, sparse, ours, tuning, key)
        theirs, expected = once(plan, model, dense, theirs, tuning, key)
        # Rounding grows along trajectories, and a decision would make it a jump.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), accept, expected)
    assert not np.array_equal(theirs.W, position.W)
    np.testing.assert_allclose(
        log_joint_at(model, sparse, ours), log_joint_at(model, dense, theirs), rtol=1e-6
    )


def plain(counts):
    """Return stored counts for XLA in place of native code."""
    return jax.tree.map(
        lambda part: replace(part, native=False) if isinstance(part, Compressed) else part,
        counts,
        is_leaf=lambda part: isinstance(part, Compressed),
    )


@pytest.mark.parametrize("kind", ["native", "xla", "transposed", "gaussian"])
def test_it_answers_as_every_cell_does(kind):
    V = counts(0.0 if kind == "gaussian" else 0.2)
    V = V.T.copy() if kind == "transposed" else V  # the smaller side is summed out of order
    model, dense, sparse = observed(
        MODELS["gaussian, block"][0] if kind == "gaussian" else POISSON, V
    )
    sparse = plain(sparse) if kind == "xla" else sparse
    rng = np.random.default_rng(0)
    (W, H), (new_W, new_H) = (
        (
            jnp.asarray(rng.gamma(1.0, size=(2, V.shape[0]))),
            jnp.asarray(rng.gamma(1.0, size=(2, V.shape[1]))),
        )
        for _ in range(2)
    )
    parameters = {"sigma": jnp.asarray(0.7)} if kind == "gaussian" else {}

    def answers(data):
        return (
            data.gradients(model, W, H, parameters),
            data.gradient(model, W, H, parameters, axis=1),
            data.log_density_change(model, W, new_W, H, parameters, axis=1),
            data.log_density_change(model, H, new_H, W, parameters, axis=0),
            data.joint_log_density_change(model, (W, H), (new_W, new_H), parameters),
            data.density(model, W, H)(parameters),
            data.information(model, W, H, parameters) if kind == "gaussian" else (),
        )

    got, expected = answers(sparse), answers(dense)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), got, expected
    )
    if kind == "gaussian":
        np.testing.assert_allclose(sparse.squares(W, H), dense.squares(W, H), rtol=1e-12)


def test_information_at_the_expected_counts_is_fishers():
    """It is linear in the counts, so this is its expectation."""
    rng = np.random.default_rng(0)
    W, H = rng.gamma(1.0, size=(3, 6)), rng.gamma(1.0, size=(3, 5))
    model, dense, sparse = observed(bn.NMF(3), W.T @ H)
    W, H = jnp.asarray(W), jnp.asarray(H)
    for got, expected in zip(
        sparse.information(model, W, H, {}), dense.information(model, W, H, {}), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


# -- the same posterior -----------------------------------------------------------------------


@pytest.mark.statistical
def test_rank_one_against_the_exact_posterior():
    """With masses of its own, in XLA, whose calls cost less on so small a matrix."""
    V = np.array([[2, 1, 0, 4], [4, 5, 0, 10], [0, 0, 0, 0], [3, 0, 0, 2], [0, 0, 0, 3]], float)
    model, _, sparse = observed(bn.NMF(1, "poisson", Gamma(0.5, 0.7), Gamma(0.5, 1.3)), V)
    plan, sparse = Plan(exponential=False, joint_leapfrogs=4), plain(sparse)
    state = chains.begin(model, sparse, starts(model, V.shape, 2), jax.random.key(3), 200)
    pieces = list(chains.draw_chunks(plan, model, sparse, state, 1500))
    sites = {name: np.concatenate([piece.sites[name] for piece in pieces], axis=1) for name in "WH"}
    w, h = sites["W"][..., 0], sites["H"][..., 0, :]
    z = rank_one_scores(w, h, RankOne(V, 0.5, 0.7, 0.5, 1.3))
    limit = stats.norm.isf(FALSE_ALARM / z.size / 2)
    assert np.abs(z).max() < limit
    # Negative control: the same scores see another prior's shape.
    assert np.abs(rank_one_scores(w, h, RankOne(V, 0.7, 0.7, 0.7, 1.3))).max() > 1.5 * limit


# -- fits -------------------------------------------------------------------------------------

METHOD = bn.MCMC(num_warmup=8, num_samples=8, num_chains=2)


def test_a_fit_is_never_expanded_and_goes_on(monkeypatch, tmp_path):
    """Bit for bit, and from a file too."""
    monkeypatch.setattr(matrices, "DENSE_BUDGET", 0)
    monkeypatch.setattr(bn.Fit, "V", property(lambda self: pytest.fail("V was expanded")))
    model, held = MODELS["poisson"]
    V = scipy.sparse.csr_array(counts(held))
    whole = small.run(V, model, METHOD)
    part = small.run(V, model, bn.MCMC(num_warmup=8, num_samples=4, num_chains=2))
    part.save(tmp_path / "part.nc")
    resumed = bn.resume(bn.load(tmp_path / "part.nc"), 4, progress=False)
    for site, values in whole.tree["posterior"].data_vars.items():
        np.testing.assert_array_equal(resumed.tree["posterior"][site], values)
        assert np.isfinite(values).all()
        assert (values > 0).all()
    np.testing.assert_array_equal(resumed.tree["sample_stats/lp"], whole.tree["sample_stats/lp"])
    assert resumed.tree["observed_data"].dataset.identical(whole.tree["observed_data"].dataset)
    assert np.isfinite(bn.check(resumed).table["rhat"]).all()
    assert np.isfinite(resumed.summary()["mass"]).all()


def test_what_has_no_sparse_storage_is_expanded():
    method = bn.MCMC()
    assert method.keeps_sparse(POISSON, masked=True)
    assert method.keeps_sparse(bn.NMF(2, "gaussian"), masked=False)
    assert not method.keeps_sparse(bn.NMF(2, "gaussian"), masked=True)
    assert not method.keeps_sparse(bn.NMF(2, "negative_binomial"), masked=False)
    assert not method.keeps_sparse(bn.load_model("cemgil2009", n_components=2), masked=False)
    assert not bn.MCMC("nuts").keeps_sparse(POISSON, masked=False)


def test_a_sweep_of_a_matrix_that_no_memory_holds():
    """Expanded in double precision the cells would take 160 GB."""
    shape, rng = (200_000, 100_000), np.random.default_rng(0)
    rows, columns = (rng.integers(size, size=3000) for size in shape)
    V = scipy.sparse.coo_array((np.ones(3000), (rows, columns)), shape=shape)
    held = scipy.sparse.coo_array((np.ones(50, bool), (rows[:50], columns[50:100])), shape=shape)
    matrix = SparseMatrix.of(V, held_out=held)
    model = bn.NMF(1).resolve(matrix)
    counts = observe_for_sampling(model, matrix)
    state = chains.begin(model, counts, starts(model, shape), jax.random.key(0), 0)
    position, tuning = jax.tree.map(lambda x: x[0], (state.z, state.tuning))
    plan = Plan(joint_leapfrogs=2)
    new, _ = jax.jit(sweep, static_argnums=0)(
        plan, model, counts, position, tuning, jax.random.key(1)
    )
    assert np.isfinite(new.W).all()
    assert np.isfinite(new.H).all()
    assert (np.asarray(new.W) != np.asarray(position.W)).mean() > 0.5
