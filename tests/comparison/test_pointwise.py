"""Log densities tile by tile, against SciPy's densities of the whole."""

from __future__ import annotations

from contextlib import contextmanager

import jax
import numpy as np
import pytest
import small
import synthetic
from exact import law
from numpyro import handlers
from scipy import stats

import bayesnmf as bn
from bayesnmf.comparison.densities import nmf_density
from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.comparison.loo import loo
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.comparison.waic import waic
from bayesnmf.posterior.original import original_factors

LEAD = (2, 15)


def scattered(name, missing=0.2):
    """Return a fit of made-up draws under a likelihood, with some cells missing."""
    rng = np.random.default_rng(5)
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=missing)
    scale = 0.5 if likelihood.name == "beta" else 2.0
    W = rng.gamma(1.5, scale, (*LEAD, small.SHAPE[0], 2))
    H = rng.gamma(1.5, scale, (*LEAD, 2, small.SHAPE[1]))
    sites = {
        name: value * rng.uniform(0.5, 2.0, LEAD)
        for name, value in small.parameters(likelihood).items()
    }
    return synthetic.assembled(W, H, V=V, model=small.model(name), sites=sites), W, H, sites


def expected(name, fit, W, H, sites):
    """Return the log density by SciPy, of shape (chain, draw, row, column)."""
    parameters = {name: x[..., None, None] for name, x in sites.items()}
    cells = law(small.LIKELIHOODS[name], W @ H, **parameters)
    density = cells.logpmf if isinstance(cells.dist, stats.rv_discrete) else cells.logpdf
    V = fit.V.to_numpy()
    return np.where(np.isnan(V), np.nan, density(np.where(np.isnan(V), 0.5, V)))


@pytest.mark.parametrize("name", small.LIKELIHOODS)
def test_every_cell_at_every_draw(name):
    fit, *draws = scattered(name)
    result = log_likelihood(fit)
    assert result.dims == ("chain", "draw", "row", "column")
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected(name, fit, *draws), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 30, 7 * 30, 10**6])
def test_tiles_of_every_size_hold_each_cell_once(size):
    fit, *draws = scattered("poisson-exposure")
    values = np.full((*small.SHAPE, 30), np.nan)
    shapes = set()
    for tile in Pointwise(fit).tiles(size):
        assert np.isnan(values[tile.rows, tile.columns]).all()
        values[tile.rows, tile.columns] = tile.values
        assert tile.fitted is tile.values or np.shares_memory(tile.fitted, tile.values)
        shapes.add(tile.values.shape[0])
    assert max(shapes) <= max(size // 30, 1)
    whole = expected("poisson-exposure", fit, *draws).reshape(30, *small.SHAPE)
    np.testing.assert_allclose(values, np.moveaxis(whole, 0, -1), rtol=1e-12)


def test_tiles_are_compiled_once():
    fit, *_ = scattered("poisson", missing=0.0)
    list(Pointwise(fit).tiles(60))
    before = nmf_density._cache_size()
    list(Pointwise(fit).tiles(60))
    list(Pointwise(scattered("poisson", missing=0.0)[0]).tiles(60))
    assert nmf_density._cache_size() == before


@pytest.mark.parametrize("name", ["gaussian", "gamma"])
def test_counts_are_scored_by_the_unit_interval_around_them(name):
    rng = np.random.default_rng(2)
    W, H = rng.gamma(2.0, 2.0, (*LEAD, 6, 2)), rng.gamma(2.0, 1.0, (*LEAD, 2, 5))
    V = 1.0 + rng.poisson(6.0, (6, 5))
    parameter = {"gaussian": "sigma", "gamma": "shape"}[name]
    sites = {parameter: rng.uniform(1.0, 3.0, LEAD)}
    fit = synthetic.assembled(W, H, V=V, model=bn.NMF(2, name), sites=sites)
    cells = law(fit.model.likelihood, W @ H, **{parameter: sites[parameter][..., None, None]})
    mass = cells.cdf(V + 0.5) - cells.cdf(V - 0.5)
    ours = log_likelihood(fit, measure="counting").to_numpy()
    sure = mass > 1e-6  # SciPy's difference loses its digits far in a tail
    assert sure.mean() > 0.5
    np.testing.assert_allclose(ours[sure], np.log(mass[sure]), rtol=1e-7)
    (tile,) = Pointwise(fit, "counting").tiles()
    np.testing.assert_allclose(
        tile.fitted.reshape(6, 5, 30),
        np.moveaxis(cells.logpdf(V).reshape(30, 6, 5), 0, -1),
        rtol=1e-9,
    )


def test_single_precision_fits_are_scored_in_double():
    W, H = (x.astype(np.float32) for x in synthetic.draws(2, 15))
    V = np.random.default_rng(7).poisson(synthetic.W @ synthetic.H).astype(np.float32)
    fit = synthetic.assembled(W, H, V=V)
    assert fit.tree["posterior/W"].dtype == np.float32
    W, H = (fit.tree[f"posterior/{name}"].to_numpy().astype(float) for name in "WH")
    np.testing.assert_allclose(
        log_likelihood(fit), stats.poisson.logpmf(V.astype(float), W @ H), rtol=1e-12
    )


def test_the_jacobian_is_added():
    fit, *_ = scattered("gaussian")
    plain = log_likelihood(fit)
    moved = log_likelihood(fit, log_jacobian=np.arange(30.0).reshape(6, 5))
    np.testing.assert_allclose(
        moved - plain,
        np.where(np.isnan(fit.V), np.nan, np.arange(30.0).reshape(6, 5)) + np.zeros((*LEAD, 6, 5)),
        atol=1e-12,
    )
    with pytest.raises(ValueError, match=r"log_jacobian has shape \(5, 6\), but V has shape"):
        log_likelihood(fit, log_jacobian=np.zeros((5, 6)))


# -- programs -----------------------------------------------------------------------------------


def test_a_program_is_scored_by_its_own_site():
    program = bn.load_model("cemgil2009", n_components=2)
    fit, *draws = scattered("poisson")
    same = synthetic.assembled(draws[0], draws[1], V=fit.V, model=program)
    np.testing.assert_allclose(log_likelihood(same), log_likelihood(fit), rtol=1e-10)
    values = np.full((*small.SHAPE, 30), np.nan)
    for tile in Pointwise(same).tiles(70):
        values[tile.rows, tile.columns] = tile.values
    np.testing.assert_array_equal(
        np.moveaxis(values, -1, 0).reshape(*LEAD, *small.SHAPE), log_likelihood(same)
    )


def test_the_factors_of_a_program_have_their_own_scale():
    """schmidt2009 uses only the product of W and H, so a wrong scale of one would be seen."""
    rng = np.random.default_rng(3)
    W, H = rng.gamma(2.0, 1.0, (*LEAD, 4, 2)), rng.gamma(2.0, 9.0, (*LEAD, 2, 3))
    fit = synthetic.assembled(W, H, V=np.ones((4, 3)))
    ours = original_factors(fit)
    np.testing.assert_allclose(ours[0] @ ours[1], (W @ H).reshape(30, 4, 3), rtol=1e-12)
    total = ours[1].sum(axis=-1)
    np.testing.assert_allclose(np.sort(total), np.sort(H.sum(axis=-1).reshape(30, 2)), rtol=1e-12)


# -- refusals -----------------------------------------------------------------------------------


def refused(fit, match, **options):
    with pytest.raises(ValueError, match=match):
        log_likelihood(fit, **options)


def test_a_mode_is_refused():
    W, H = synthetic.draws(1, 1)
    refused(synthetic.assembled(W, H, method="map"), "is a MAP estimate.*method='mcmc'")


def test_a_lost_model_is_refused():
    fit = scattered("poisson")[0]
    refused(bn.Fit(fit.tree, None), "this fit has no model, which a log density needs")


def test_fractions_are_refused_by_counting_likelihoods():
    W, H = synthetic.draws(1, 30)
    fit = synthetic.assembled(W, H, V=np.full((5, 4), 1.5))
    refused(fit, r"V\[0, 0\] = 1.5 is not an integer, so the poisson likelihood")


def test_measures_that_do_not_exist_are_refused():
    refused(scattered("poisson")[0], "describes counts, which have no density", measure="lebesgue")
    refused(scattered("gaussian")[0], r"V\[0, 0\] = .* is not a count", measure="counting")
    refused(scattered("poisson")[0], "unknown measure 'count'", measure="count")


def test_a_continuous_program_gives_counts_no_mass():
    W, H = synthetic.draws(1, 30)
    program = bn.load_model("schmidt2009", n_components=3)
    fit = synthetic.assembled(W, H, model=program, sites={"variance": np.ones((1, 30))})
    refused(fit, "the program schmidt2009 gives V a density", measure="counting")


def test_events_of_several_cells_are_refused():
    def grouped(V=None, shape=None, n_components=3):
        import numpyro
        import numpyro.distributions as dist

        n_rows, n_columns = shape if V is None else V.shape
        W = numpyro.sample("W", dist.Gamma(1.0, 1.0).expand([n_rows, 3]).to_event(2))
        H = numpyro.sample("H", dist.Gamma(1.0, 1.0).expand([3, n_columns]).to_event(2))
        with handlers.mask(mask=True):
            numpyro.sample("V", dist.Normal(W @ H, 1.0).to_event(1), obs=V)

    W, H = synthetic.draws(1, 30)
    fit = synthetic.assembled(W, H, model=bn.model.as_model(grouped))
    refused(fit, "events of several cells, so no cell of it can be left out")


@pytest.mark.parametrize(("bad", "what"), [(np.nan, "NaN"), (np.inf, "NaN|infinite")])
def test_an_undefined_density_names_its_cell(bad, what):
    W, H = synthetic.draws(1, 30)
    fit = synthetic.assembled(W, H)
    fit.tree["posterior/W"].values[0, 4, 2] = bad
    refused(fit, rf"log likelihood of V\[2, 0\] \(row 2, column 0\) is ({what}) at 1 of 30 draws")


# -- compilation --------------------------------------------------------------------------------


@contextmanager
def traced_programs():
    """Collect the events of JAX tracing or compiling a function."""
    events = []

    def listen(event, seconds, **_):
        if "jaxpr_trace" in event or "backend_compile" in event:
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.filterwarnings("ignore:Pareto k", "ignore:WAIC is not")
@pytest.mark.parametrize("criterion", [loo, waic])
def test_a_program_is_compiled_once_a_shape(criterion):
    """Other draws and data of the same shape, under a program of the zoo."""
    program = bn.load_model("cemgil2009", n_components=3)
    first, second = (
        synthetic.assembled(*synthetic.draws(2, 60, seed=seed), V=V, model=program)
        for seed, V in enumerate((np.full((5, 4), 3.0), np.full((5, 4), 4.0)))
    )
    criterion(first)
    with traced_programs() as events:
        criterion(second)
    assert not events
