"""Chains of the structured sampler: exactness, robustness, continuation, compilation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from exact import RankOne, rank_one_scores
from numpyro.infer import MCMC, NUTS
from scipy import stats

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map
from bayesnmf.methods.sampler import NMFKernel, Plan, chains, plan_for
from bayesnmf.methods.sampler.kernel import start_chain
from bayesnmf.model.sites import log_joint
from bayesnmf.observed.cells import dense_cells_of
from bayesnmf.progress import Silent

pytestmark = pytest.mark.usefixtures("float64")
FALSE_ALARM = 1e-3


def draws_of(V, model, *, num_warmup=200, num_samples=100, num_chains=2, plan=None, seed=0):
    """Return sites and statistics of chains that start at random points."""
    matrix = Matrix.of(V)
    model = model.resolve(matrix)
    data = dense_cells_of(model, matrix)
    plan = plan_for(model, data) if plan is None else plan
    state = chains.begin(
        model, data, starts(model, matrix, num_chains), jax.random.key(seed), num_warmup
    )
    return collected(chains.draw_chunks(plan, model, data, state, num_samples))


def starts(model, matrix, num_chains):
    rng = np.random.default_rng(1)
    (n, m), K = matrix.shape, model.n_components
    scale = np.sqrt(max(float(np.nanmean(np.abs(matrix.cells))), 1e-3) / K)
    values = {name: np.full(num_chains, x) for name, x in model.likelihood.start().items()}
    W = scale * rng.gamma(2.0, 0.5, (num_chains, n, K))
    H = scale * rng.gamma(2.0, 0.5, (num_chains, K, m))
    values |= {"W": W, "H": H}
    return {name: jnp.asarray(x, matrix.dtype) for name, x in values.items()}


def collected(pieces):
    pieces = list(pieces)
    joined = [
        {
            name: np.concatenate([getattr(p, kind)[name] for p in pieces], axis=1)
            for name in getattr(pieces[0], kind)
        }
        for kind in ("sites", "stats")
    ]
    return *joined, pieces[-1].state


# -- exactness --------------------------------------------------------------------------------

V_ONE = np.array([[2, 1, 1, 4], [4, 5, 0, 10], [0, 0, 0, 0], [3, 0, 1, 2], [1, 0, 0, 3]], float)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "shape",
    [0.5, pytest.param(1.0, marks=pytest.mark.long), pytest.param(2.0, marks=pytest.mark.long)],
)
def test_rank_one_poisson_against_the_exact_posterior(shape):
    priors = bn.priors
    model = bn.NMF(1, "poisson", priors.Gamma(shape, 0.7), priors.Gamma(shape, 1.3))
    sites, _, _ = draws_of(
        V_ONE,
        model,
        num_samples=10_000,
        num_chains=4,
        plan=Plan(exponential=False, single_precision=shape != 1.0),
    )
    w, h = sites["W"][..., 0], sites["H"][..., 0, :]
    z = rank_one_scores(w, h, RankOne(V_ONE, shape, 0.7, shape, 1.3))
    limit = stats.norm.isf(FALSE_ALARM / z.size / 2)
    assert np.abs(z).max() < limit
    # Negative control: the same scores see another prior's shape.
    wrong = rank_one_scores(w, h, RankOne(V_ONE, 1.2 * shape, 0.7, shape, 1.3))
    assert np.abs(wrong).max() > 1.5 * limit


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.numpyro_promotion
def test_it_agrees_with_nuts():
    from arviz_stats.base import array_stats

    V, model = small.data(small.LIKELIHOODS["negative_binomial"]), small.model("negative_binomial")
    sites, _, _ = draws_of(V, model, num_samples=1000, num_chains=4)
    matrix = Matrix.of(V)
    model = model.resolve(matrix)
    nuts = MCMC(
        NUTS(model),
        num_warmup=400,
        num_samples=1000,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    nuts.run(jax.random.key(0), jnp.asarray(V))
    theirs = nuts.get_samples(group_by_chain=True)
    axes, z = {"chain_axis": 0, "draw_axis": 1}, []
    pairs = [(s["W"] @ s["H"]).reshape(*s["W"].shape[:2], -1) for s in (sites, theirs)]
    logs = [np.log(np.asarray(s["concentration"]))[..., None] for s in (sites, theirs)]
    for ours, other in (pairs, logs):
        other = np.asarray(other)  # noqa: PLW2901
        for method, summary in (("mean", np.mean), ("sd", np.std)):
            error = np.hypot(*(array_stats.mcse(x, **axes, method=method) for x in (ours, other)))
            z.append((summary(ours, axis=(0, 1)) - summary(other, axis=(0, 1))) / error)
    z = np.concatenate(z)
    assert np.abs(z).max() < stats.norm.isf(FALSE_ALARM / z.size / 2)


@pytest.mark.parametrize("name", small.short_of(["gaussian", "beta-odds"], "gaussian"))
def test_the_log_joint_density_is_that_of_the_program(name):
    V, model = small.data(small.LIKELIHOODS[name], missing=0.2), small.model(name)
    sites, found, _ = draws_of(V, model, num_warmup=20, num_samples=5)
    matrix = Matrix.of(V)
    expected = log_joint(model.resolve(matrix), matrix, sites)
    np.testing.assert_allclose(found["log_joint"], expected, rtol=1e-12)


# -- robustness -------------------------------------------------------------------------------


def hard_cases():
    rng = np.random.default_rng(3)
    empty = rng.poisson(3.0, (6, 5)).astype(float)
    empty[2], empty[:, 1] = 0.0, 0.0
    enormous = np.zeros((6, 5))
    enormous[3, 2] = 1e6
    missing, _, _ = bn.datasets.make_nmf(25, 24, 2, seed=1, missing=0.95)
    return {
        "empty rows and columns": (empty, 2),
        "one enormous count": (enormous, 2),
        "nearly all missing": (missing, 2),
        "rank above the sides": (empty, 8),
        "one row": (np.array([[3.0, 0.0, 5.0, 1.0]]), 2),
        "one column": (np.array([[3.0], [0.0], [5.0]]), 2),
    }


@pytest.mark.parametrize(
    ("case", "shape"),
    small.short_of(
        [
            *((case, 0.1) for case in hard_cases()),
            ("empty rows and columns", 1.0),
            ("one row", 1.0),
        ],
        ("one enormous count", 0.1),
        ("nearly all missing", 0.1),
    ),
)
def test_no_draw_is_lost(case, shape):
    V, rank = hard_cases()[case]
    priors = bn.priors
    model = bn.NMF(rank, "poisson", priors.Gamma(shape), priors.Gamma(shape))
    sites, found, _ = draws_of(
        V, model, num_warmup=300, num_samples=50, plan=Plan(exponential=shape == 1.0)
    )
    for values in (*sites.values(), *found.values()):
        assert values.shape[:2] == (2, 50)
        assert np.isfinite(values).all()
    assert (sites["W"] > 0).all()
    assert (sites["H"] > 0).all()
    # The chain moves, and nearly always accepts.
    assert (np.diff(np.log(sites["W"]), axis=1) != 0).mean() > 0.95
    assert found["block_accept_prob"].mean() > 0.5


def test_single_precision_stays_single():
    with jax.enable_x64(False):
        V = small.data(small.LIKELIHOODS["poisson"]).astype(np.float32)
        sites, found, _ = draws_of(V, small.model("poisson"), num_warmup=50, num_samples=25)
    for values in (*sites.values(), *found.values()):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_plans_follow_the_model():
    V = small.data(small.LIKELIHOODS["gaussian"])
    exponential = bn.NMF(2, "gaussian", "exponential", "exponential")
    gamma = bn.NMF(2, "gaussian", bn.priors.Gamma(2.0), "exponential")
    known = bn.NMF(2, small.LIKELIHOODS["gaussian-known"], "exponential", "exponential")
    gaps = np.where(np.eye(*V.shape) > 0, np.nan, V)
    expected = [
        (exponential, V, "truncated"),
        (gamma, V, "block"),
        (known, V, "block"),
        (exponential, gaps, "block"),
        (bn.NMF(2), np.abs(V).round(), "block"),
    ]
    for model, values, factors in expected:
        matrix = Matrix.of(values)
        resolved = model.resolve(matrix)
        assert plan_for(resolved, dense_cells_of(resolved, matrix)).factors == factors


# -- running ----------------------------------------------------------------------------------


def setting(seed=0):
    matrix = Matrix.of(small.data(small.LIKELIHOODS["poisson"], seed=seed))
    model = small.model("poisson").resolve(matrix)
    data = dense_cells_of(model, matrix)
    return model, matrix, data, plan_for(model, data)


def test_a_continued_run_is_the_uninterrupted_one():
    model, matrix, data, plan = setting()
    state = chains.begin(model, data, starts(model, matrix, 2), jax.random.key(0), 30)
    whole, _, end = collected(chains.draw_chunks(plan, model, data, state, 60))
    first, _, middle = collected(chains.draw_chunks(plan, model, data, state, 17))
    second, _, last = collected(chains.draw_chunks(plan, model, data, middle, 43))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([first[name], second[name]], axis=1))
    np.testing.assert_array_equal(end.z.W, last.z.W)
    # Adaptation has ended for good.
    jax.tree.map(np.testing.assert_array_equal, middle.tuning, last.tuning)


def test_the_second_run_of_the_same_shapes_compiles_nothing():
    collected(chains.draw_chunks(*_with_state(setting()), 10))
    compiled = (
        chains._advance.jitted._cache_size(),
        start_chain._cache_size(),
    )
    collected(chains.draw_chunks(*_with_state(setting(seed=5), seed=9), 20))
    again = (
        chains._advance.jitted._cache_size(),
        start_chain._cache_size(),
    )
    assert compiled == again


def test_what_is_compiled_beside_is_what_chains_run():
    model, matrix, data, plan = setting()
    state = chains.begin(model, data, starts(model, matrix, 2), jax.random.key(0), 30)
    jax.clear_caches()
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    for thread in chains.compile_advances(plan, model, data, like):
        thread.join()
    compiled = []

    def listen(event, seconds, **about):
        if event.endswith("backend_compile_duration"):
            compiled.append(str(about))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        next(iter(chains.draw_chunks(plan, model, data, state, 5)))
        jax.jit(lambda x: x + 1)(1.0)  # which shows that compilation is heard of
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert [about for about in compiled if "lambda" not in about] == []
    assert compiled


def _with_state(given, seed=0):
    model, matrix, data, plan = given
    state = chains.begin(model, data, starts(model, matrix, 2), jax.random.key(seed), 30 + seed)
    return plan, model, data, state


@pytest.mark.numpyro_promotion
@pytest.mark.parametrize("chain_method", small.short_of(["vectorized", "sequential"], "sequential"))
def test_numpyro_drives_the_kernel(chain_method):
    model, matrix, data, plan = setting()
    run = MCMC(
        NMFKernel(plan),
        num_warmup=20,
        num_samples=10,
        num_chains=2,
        thinning=2,
        chain_method=chain_method,
        progress_bar=False,
        jit_model_args=True,
    )
    run.run(
        jax.random.key(0),
        model,
        data,
        init_params=starts(model, matrix, 2),
        extra_fields=("block_accept_prob",),
    )
    sites, extra = run.get_samples(group_by_chain=True), run.get_extra_fields(group_by_chain=True)
    assert sites["W"].shape == (2, 5, 6, 2)
    assert sites["H"].shape == (2, 5, 2, 5)
    assert set(extra) == {"log_joint", "accept_prob", "block_accept_prob"}
    assert (sites["W"][0] != sites["W"][1]).any()


def test_it_starts_at_given_values_only():
    model, _, data, plan = setting()
    with pytest.raises(ValueError, match="starts at given values"):
        NMFKernel(plan).init(jax.random.key(0), 5, None, (model, data), {})


def test_chains_start_at_the_mode_without_losing_it():
    model, matrix, data, _ = setting()
    mode = log_map(model, matrix, jax.random.key(0), Silent())
    values = {name: jnp.asarray(x)[None] for name, x in mode.items()}
    state = chains.begin(model, data, values, jax.random.key(0), 10)
    expected = log_joint(model, matrix, {k: np.asarray(v)[:, None] for k, v in values.items()})
    np.testing.assert_allclose(state.log_joint, expected[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("likelihood", "V", "single_precision"),
    [
        ("poisson", [[3.0, 0.0], [1.0, 1e6]], True),
        ("poisson", [[3.0, 0.0], [1.0, 1e300]], False),
        ("gamma", [[1e-13, 1.0], [2.0, 3.0]], False),
        ("beta", [[0.5, 0.25], [0.75, 1 - 1e-4]], True),
        ("beta", [[0.5, 0.25], [0.75, 1 - 1e-12]], False),
        ("gaussian", [[3.0, np.nan], [1.0, 2.0]], False),
    ],
)
def test_single_precision_is_left_to_data_that_it_can_hold(likelihood, V, single_precision):
    matrix = Matrix.of(np.array(V))
    model = bn.NMF(1, likelihood).resolve(matrix)
    assert plan_for(model, dense_cells_of(model, matrix)).single_precision == single_precision


@pytest.mark.parametrize("mean", [1e-6, 1.0, 30.0])
@pytest.mark.parametrize("name", [name for name in small.LIKELIHOODS if name != "gaussian"])
def test_scores_hold_in_single_precision(name, mean):
    """Along a rough trajectory, at means from nearly nothing to far beyond the data."""
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood)
    known = {k: jnp.asarray(x) for k, x in likelihood.known.items()}
    known |= {k: jnp.asarray(x) for k, x in likelihood.start().items()}
    scores = [
        likelihood.score(
            jnp.asarray(V, dtype),
            jnp.full(V.shape, mean, dtype),
            **{k: x.astype(dtype) for k, x in known.items()},
        )
        for dtype in (jnp.float32, jnp.float64)
    ]
    assert jnp.isfinite(scores[0]).all()
    np.testing.assert_allclose(scores[0], scores[1], rtol=2e-3, atol=1e-3)
