"""The model as a NumPyro program: its sites, its density, and NumPyro's handlers on it."""

from __future__ import annotations

import exact
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density

from bayesnmf import likelihoods, priors
from bayesnmf.data import Matrix
from bayesnmf.likelihoods import REGISTRY
from bayesnmf.model import NMF, Program, as_model
from bayesnmf.model.mean import observations, product

NAN = float("nan")
some_likelihoods = pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in ("poisson", "gaussian") else pytest.mark.long)
        for n in REGISTRY
    ],
)
every_likelihood = pytest.mark.parametrize("name", REGISTRY)
MODELS = {
    **{name: NMF(2, name, "exponential", priors.Gamma(2.0)) for name in REGISTRY},
    "beta, odds": NMF(2, likelihoods.Beta(link="odds")),
    "poisson, exposure": NMF(2, likelihoods.Poisson(exposure=[[1.0], [2.0], [0.5], [3.0]])),
    "gaussian, sigma": NMF(2, likelihoods.Gaussian(sigma=np.linspace(0.5, 2.0, 12).reshape(4, 3))),
}


def simulate(name: str, dtype: type = np.float64) -> np.ndarray:
    """Return a 4 x 3 matrix in the support of a likelihood, with two cells missing."""
    rng = np.random.default_rng(3)
    V = rng.beta(2.0, 2.0, (4, 3)) if name.startswith("beta") else rng.poisson(3.0, (4, 3)) + 1.0
    V[0, 1] = V[2, 2] = NAN
    return V.astype(dtype)


def point(model: NMF) -> dict[str, np.ndarray]:
    """Return a value for every latent site of a model of 4 x 3 cells."""
    rng = np.random.default_rng(4)
    sites = {"W": rng.gamma(2.0, 0.5, (4, 2)), "H": rng.gamma(2.0, 0.5, (2, 3))}
    return {**sites, **{name: np.float64(1.7) for name in model.likelihood.priors}}


def trace(model, *args, **kwargs):
    return handlers.trace(handlers.seed(model, 0)).get_trace(*args, **kwargs)


# -- construction and resolution ----------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, -1])
def test_at_least_one_component(rank):
    with pytest.raises(ValueError, match=f"n_components must be at least 1, not {rank}"):
        NMF(rank)


@pytest.mark.parametrize("rank", [2.0, "2", True])
def test_a_whole_number_of_components(rank):
    with pytest.raises(TypeError, match="n_components must be an integer"):
        NMF(rank)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": "poison"}, r"unknown likelihood 'poison'; valid names: poisson, .*, beta"),
        ({"prior_W": "ridge"}, r"unknown prior_W 'ridge'; valid names: gamma, exponential, flat"),
        ({"prior_H": "ridge"}, r"unknown prior_H 'ridge'; valid names: gamma, exponential, flat"),
    ],
)
def test_unknown_names_list_the_valid_ones(options, message):
    with pytest.raises(ValueError, match=message):
        NMF(2, **options)


def test_names_stand_for_instances():
    model = NMF(np.int64(3), "gaussian", "exponential", "flat")
    expected = NMF(3, likelihoods.Gaussian(), priors.Exponential(), priors.Flat())
    assert model == expected
    assert hash(model) == hash(expected)
    assert type(model.n_components) is int
    assert NMF(3) == NMF(3, likelihoods.Poisson(), priors.Gamma(), priors.Gamma()) != NMF(2)


@pytest.mark.parametrize("name", MODELS)
def test_resolution_records_the_rates_and_is_done_once(name):
    model, V = MODELS[name], simulate(name)
    resolved = model.resolve(V)
    mean = 2 * resolved.prior_W.mean * resolved.prior_H.mean
    assert mean == pytest.approx(resolved.likelihood.typical_mean(Matrix.of(V)))
    assert resolved.resolve(V) == resolved
    assert (model.prior_W.rate, model.prior_H.rate) == (None, None)


def test_resolution_keeps_what_is_given_and_leaves_out_what_is_missing():
    model = NMF(2, prior_W=priors.Gamma(2.0, 4.0)).resolve([[1.0, NAN], [2.0, 6.0]])
    assert model.prior_W == priors.Gamma(2.0, 4.0)
    assert 2 * 0.5 * model.prior_H.mean == pytest.approx(3.0)


def test_all_zero_data_still_give_a_scale():
    model = NMF(2).resolve(np.zeros((2, 3)))
    assert 2 * model.prior_W.mean * model.prior_H.mean == pytest.approx(1 / 6)


def test_check_tells_draws_from_modes():
    matrix, flat = Matrix.of([[1.0, 2.5]]), NMF(1, "gamma", "flat")
    flat.check(matrix, draws=False)
    with pytest.raises(ValueError, match="prior_W is flat, which is no distribution: use method="):
        flat.check(matrix, draws=True)
    NMF(1).check(matrix, draws=False)
    with pytest.raises(ValueError, match="is not an integer"):
        NMF(1).check(matrix, draws=True)


# -- sites and density ------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sites_plates_and_types(name, dtype):
    V = simulate(name, dtype)
    model = MODELS[name].resolve(V)
    with jax.enable_x64(dtype == np.float64):
        sites = trace(model, V)
    samples = {key for key, site in sites.items() if site["type"] == "sample"}
    assert samples == {"W", "H", "V", *model.likelihood.priors}
    assert {key: sites[key]["value"].shape for key in "WHV"} == {
        "W": (4, 2),
        "H": (2, 3),
        "V": (4, 3),
    }
    assert {sites[key]["value"].dtype for key in samples} == {np.dtype(dtype)}
    plates = {key: {f.name for f in sites[key]["cond_indep_stack"]} for key in "WHV"}
    assert plates == {"W": {"row", "component"}, "H": {"component"}, "V": {"row", "column"}}
    assert [key for key in samples if sites[key]["is_observed"]] == ["V"]


def test_the_program_needs_data_or_a_shape():
    with pytest.raises(ValueError, match="give the model either V or the shape of V"):
        trace(NMF(2).resolve(np.ones((2, 2))))


def test_an_unresolved_model_says_so():
    with pytest.raises(ValueError, match="the prior's rate is not set"):
        trace(NMF(2), np.ones((2, 2)))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", MODELS)
def test_density_is_scipys_over_the_observed_cells(name):
    V = simulate(name)
    model = MODELS[name].resolve(V)
    sites = point(model)
    ours, _ = log_density(model, (V,), {}, sites)
    assert ours == pytest.approx(exact.log_joint(model, V, **sites), rel=1e-9)


@pytest.mark.usefixtures("float64")
def test_flat_priors_leave_the_likelihood():
    V = simulate("poisson")
    model = NMF(2, "poisson", "flat", "flat").resolve(V)
    ours, _ = log_density(model, (V,), {}, point(model))
    assert ours == pytest.approx(exact.log_likelihood(model, V, **point(model)), rel=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", MODELS)
def test_masked_cells_leave_no_trace_in_density_or_gradient(name):
    V = simulate(name)
    mask = ~np.isnan(V)

    def evaluate(hidden):
        matrix = Matrix.of(np.where(mask, V, hidden), mask=mask)
        model = MODELS[name].resolve(matrix)
        value, gradient = jax.value_and_grad(
            lambda sites: log_density(model, (matrix.values,), {}, sites)[0]
        )(point(model))
        return {"density": value, **gradient}

    expected = evaluate(NAN)
    assert all(np.isfinite(x).all() for x in expected.values())
    for hidden in (0.25, -7.0, np.inf):
        for key, value in evaluate(hidden).items():
            assert np.asarray(value).tobytes() == np.asarray(expected[key]).tobytes()


def test_known_values_of_missing_cells_do_not_matter():
    V, sigma = simulate("gaussian", np.float32), np.full((4, 3), 2.0)
    sigma[0, 1] = NAN
    models = [NMF(2, likelihoods.Gaussian(sigma=s)).resolve(V) for s in (2.0, sigma)]
    sites = {key: value.astype(np.float32) for key, value in point(models[0]).items()}
    densities = [log_density(model, (V,), {}, sites)[0] for model in models]
    assert densities[0] == densities[1]


def test_means_of_zero_keep_a_finite_density():
    V = simulate("poisson", np.float32)
    model = NMF(2).resolve(V)
    sites = {"W": np.full((4, 2), 1e-30, np.float32), "H": np.full((2, 3), 1e-30, np.float32)}
    value, gradient = jax.value_and_grad(lambda s: log_density(model, (V,), {}, s)[0])(sites)
    assert all(np.isfinite(x).all() for x in (value, *gradient.values()))
    assert np.all(sites["W"] @ sites["H"] == 0)
    assert np.all(product(sites["W"], sites["H"]) > 0)
    np.testing.assert_allclose(product(np.eye(2), np.ones((2, 3))), 1.0)


def test_observations_split_values_from_missing_cells():
    assert observations(None, 1.0) == (True, None)
    observed, values = observations(np.array([[1.0, NAN]], np.float32), 0.5)
    np.testing.assert_array_equal(observed, [[True, False]])
    np.testing.assert_array_equal(values, np.array([[1.0, 0.5]], np.float32))
    observed, values = observations(np.array([[1, 2]]), 0.5)
    assert observed.all()
    assert jnp.issubdtype(values.dtype, jnp.floating)


# -- handlers and inference ---------------------------------------------------------------------


@some_likelihoods
def test_prior_predictive(name):
    model = NMF(2, name).resolve(simulate(name))
    draws, again, other = (
        Predictive(model, num_samples=5)(jax.random.key(seed), shape=(4, 3)) for seed in (0, 0, 1)
    )
    assert draws["V"].shape == (5, 4, 3)
    assert draws["W"].shape == (5, 4, 2)
    assert draws["H"].shape == (5, 2, 3)
    assert np.isfinite(draws["V"]).all()
    assert all(np.asarray(draws[k]).tobytes() == np.asarray(again[k]).tobytes() for k in draws)
    assert not np.array_equal(draws["V"], other["V"])
    if model.likelihood.base_measure == "counting":
        np.testing.assert_array_equal(draws["V"], np.round(draws["V"]))


def test_posterior_predictive_follows_the_draws_and_fills_every_cell():
    model = NMF(2).resolve(simulate("poisson"))
    W, H = np.full((2000, 1, 2), 3.0, np.float32), np.full((2000, 2, 3), 5.0, np.float32)
    W = np.broadcast_to(W, (2000, 4, 2))
    V = Predictive(model, {"W": W, "H": H})(jax.random.key(0), shape=(4, 3))["V"]
    assert V.shape == (2000, 4, 3)
    # Cells are Poisson(30): twelve z-scores, a false alarm in 1e-4 of all seeds.
    z = (np.asarray(V).mean(axis=0) - 30) / np.sqrt(30 / 2000)
    assert np.abs(z).max() < 4.5


def test_handlers_condition_and_block():
    V = simulate("gaussian", np.float32)
    model = NMF(2, "gaussian").resolve(V)
    sites = trace(
        handlers.block(handlers.condition(model, {"sigma": jnp.float32(0.5)}), hide=["W"]), V
    )
    assert "W" not in sites
    assert sites["sigma"]["value"] == 0.5
    assert handlers.seed(model, 0)(V)["W"].shape == (4, 2)


@some_likelihoods
def test_svi_with_a_guide(name):
    V = simulate(name, np.float32)
    model = NMF(2, name).resolve(V)
    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    result = svi.run(jax.random.key(0), 5, V, progress_bar=False)
    assert np.isfinite(result.losses).all()
    assert guide.median(result.params)["W"].shape == (4, 2)


@pytest.mark.numpyro_promotion("rank")
def test_draws_from_a_guide():
    V = simulate("poisson", np.float32)
    model = NMF(2).resolve(V)
    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    params = svi.run(jax.random.key(0), 5, V, progress_bar=False).params
    draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(6,))
    assert {name: x.shape for name, x in draws.items()} == {"W": (6, 4, 2), "H": (6, 2, 3)}
    assert all(np.all(x > 0) for x in draws.values())


@pytest.mark.numpyro_promotion
@pytest.mark.parametrize(("name", "dtype"), [("poisson", np.float64), ("gaussian", np.float32)])
def test_nuts(name, dtype):
    V = simulate(name, dtype)
    model = NMF(2, name).resolve(V)
    with jax.enable_x64(dtype == np.float64):
        mcmc = MCMC(NUTS(model, max_tree_depth=3), num_warmup=5, num_samples=4, progress_bar=False)
        mcmc.run(jax.random.key(0), V)
        draws = jax.tree.map(np.asarray, mcmc.get_samples())
    assert set(draws) == {"W", "H", *model.likelihood.priors}
    assert {x.dtype for x in draws.values()} == {np.dtype(dtype)}
    assert all((x > 0).all() for x in draws.values())


def test_models_that_differ_in_numbers_share_a_compilation():
    V, traces = simulate("gamma", np.float32), []

    @jax.jit
    def density(model, sites):
        traces.append(model)
        return log_density(model, (V,), {}, sites)[0]

    for rate in (0.5, 2.0):
        model = NMF(2, likelihoods.Gamma(shape=rate), prior_W=priors.Gamma(1.0, rate)).resolve(V)
        sites = {key: value.astype(np.float32) for key, value in point(model).items()}
        expected, _ = log_density(model, (V,), {}, sites)
        assert density(model, sites) == pytest.approx(float(expected), rel=1e-5)
    assert len(traces) == 1


# -- other programs ---------------------------------------------------------------------------


def columns_alike(V=None, shape=None, rate=1.0):
    """Counts whose columns share one profile."""
    n_rows, n_columns = shape if V is None else V.shape
    with numpyro.plate("row", n_rows, dim=-2), numpyro.plate("component", 1, dim=-1):
        W = numpyro.sample("W", dist.Exponential(rate))
    H = numpyro.deterministic("H", jnp.ones((1, n_columns)))
    with numpyro.plate("row", n_rows, dim=-2), numpyro.plate("column", n_columns, dim=-1):
        numpyro.sample("V", dist.Poisson(W @ H), obs=V)


def test_a_function_becomes_a_program():
    program = as_model(columns_alike)
    assert program == Program(columns_alike)
    assert as_model(program) is program
    assert as_model(model := NMF(2)) is model
    V = np.ones((2, 3), np.float32)
    assert program.resolve(V) is program
    program.check(Matrix.of(V), draws=True)
    expected = "Program(columns_alike, options={'rate': 2.0})"
    assert repr(Program(columns_alike, {"rate": 2.0})) == expected
    sites = trace(Program(columns_alike, {"rate": 2.0}), V)
    np.testing.assert_array_equal(sites["W"]["fn"].base_dist.rate, 2.0)
    assert trace(program, shape=(2, 3))["V"]["value"].shape == (2, 3)


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"model must be a bayesnmf\.NMF, .* not str"):
        as_model("poisson")


def test_a_program_is_checked_against_the_data():
    def without_H(V=None, shape=None):
        numpyro.sample("W", dist.Exponential(1.0).expand([2, 1]))
        numpyro.sample("V", dist.Poisson(1.0).expand([2, 3]), obs=V)

    def of_one_column(V=None, shape=None):
        numpyro.sample("W", dist.Exponential(1.0).expand([2, 1]))
        numpyro.sample("H", dist.Exponential(1.0).expand([1, 1]))
        numpyro.sample("V", dist.Poisson(1.0).expand([2, 3]), obs=V)

    def unconditioned(V=None, shape=None):
        columns_alike(shape=V.shape)

    for function, message in (
        (without_H, "the program without_H has no site 'H'"),
        (of_one_column, r"site 'H' of of_one_column has shape \(1, 1\), not \(1, 3\)"),
        (unconditioned, "site 'V' of unconditioned is not conditioned on the data"),
    ):
        with pytest.raises(ValueError, match=message):
            Program(function).check(Matrix.of(np.ones((2, 3), np.float32)), draws=True)
    bad = Matrix.of(np.array([[1, 1, 1], [1, 1, -1]], np.float32))
    with pytest.raises(ValueError, match=r"V\[1, 2\] = -1 lies outside the support of the program"):
        Program(columns_alike).check(bad, draws=True)
