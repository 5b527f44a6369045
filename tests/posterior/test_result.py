"""Fit: labels and dimensions, means over draws, the summary, and what assembly does to sites."""

from __future__ import annotations

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import synthetic
import xarray as xr
from numpyro import handlers

import bayesnmf as bn
from bayesnmf.model import Program
from bayesnmf.model.mean import observations, product

DRAWS = synthetic.draws()
ROWS, COLUMNS = ["r1", "r2", "r3", "r4", "r5"], ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def fit():
    V = np.full((5, 4), 2.0)
    V[1, 3] = np.nan
    return synthetic.assembled(*DRAWS, V=pd.DataFrame(V, ROWS, COLUMNS))


def labelled(*names):
    """Return the row and column labels of a fit whose data are labelled so, in one container."""
    V = pd.DataFrame(np.ones((5, 4)), *names)
    fit = synthetic.assembled(*DRAWS, V=V)
    return fit.W["row"].to_numpy(), fit.H["column"].to_numpy()


# -- groups, dimensions, labels -----------------------------------------------------------------


def test_groups_dimensions_and_names(fit):
    groups = {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert set(fit.tree.children) == groups
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    assert posterior["W"].dims == ("chain", "draw", "row", "component")
    assert posterior["H"].dims == ("chain", "draw", "component", "column")
    assert stats["lp"].dims == ("chain", "draw")
    for name in ("scale", "match"):
        assert stats[name].dims == ("chain", "draw", "component")
    for name in ("observed_data/V", "constant_data/observed"):
        assert fit.tree[name].dims == ("row", "column")
    assert posterior["row"].to_numpy().tolist() == ROWS
    assert posterior["column"].to_numpy().tolist() == COLUMNS
    assert posterior["component"].to_numpy().tolist() == [0, 1, 2]
    assert fit.tree.attrs["objectives"] == [2.0, 1.5]


def test_what_is_missing_stays_missing(fit):
    assert fit.V.index.tolist() == ROWS
    assert fit.V.columns.tolist() == COLUMNS
    assert np.argwhere(fit.V.isna().to_numpy()).tolist() == [[1, 3]]
    np.testing.assert_array_equal(fit.tree["constant_data/observed"], fit.V.notna())


def test_numbers_stay_numbers_and_the_rest_becomes_text():
    rows, columns = labelled([10, 20, 30, 40, 50], [0.5, 1.0, 1.5, 2.0])
    assert rows.dtype.kind == "i"
    np.testing.assert_array_equal(columns, [0.5, 1.0, 1.5, 2.0])
    rows, columns = labelled(
        pd.MultiIndex.from_product([["x"], range(5)]), pd.date_range("2024-01-01", periods=4)
    )
    assert rows.tolist() == [f"x / {i}" for i in range(5)]
    assert columns[0].startswith("2024-01-01")
    rows, columns = labelled(pd.Index(["a", 1, 2.5, True, ("t", 3)]), pd.Categorical(COLUMNS))
    assert rows.tolist() == ["a", "1", "2.5", "True", "t / 3"]
    assert columns.tolist() == COLUMNS


def test_names_of_data_arrays():
    V = xr.DataArray(np.ones((5, 4)), {"tumour": ROWS, "channel": COLUMNS}, ("tumour", "channel"))
    fit = synthetic.assembled(*DRAWS, V=V)
    assert fit.W["row"].to_numpy().tolist() == ROWS
    assert fit.H["column"].to_numpy().tolist() == COLUMNS


def test_known_arrays_are_kept_and_known_numbers_are_not():
    sigma = np.linspace(1, 2, 20).reshape(5, 4)
    fit = synthetic.assembled(*DRAWS, model=bn.NMF(3, bn.likelihoods.Gaussian(sigma=sigma)))
    np.testing.assert_array_equal(fit.tree["constant_data/sigma"], sigma)
    fit = synthetic.assembled(*DRAWS, model=bn.NMF(3, bn.likelihoods.Gaussian(sigma=2.0)))
    assert set(fit.tree["constant_data"].data_vars) == {"observed"}


def test_equal_runs_give_equal_fits():
    a, b = synthetic.assembled(*DRAWS), synthetic.assembled(*DRAWS)
    assert a.tree.identical(b.tree)


# -- means --------------------------------------------------------------------------------------


def test_means_are_means_over_draws(fit):
    W, H = DRAWS
    np.testing.assert_allclose(fit.W, W.mean(axis=(0, 1)))
    np.testing.assert_allclose(fit.H, H.mean(axis=(0, 1)))
    np.testing.assert_allclose(fit.mean, (W @ H).mean(axis=(0, 1)))
    np.testing.assert_allclose(fit.mass, W.sum(axis=2))
    assert fit.W.dims == ("row", "component")
    assert fit.H.dims == ("component", "column")
    assert fit.mean.dims == ("row", "column")
    assert fit.mass.dims == ("chain", "draw", "component")
    assert fit.mean["row"].to_numpy().tolist() == ROWS


def test_an_empty_component_has_no_mass():
    """Its column of W follows its prior, and adds nothing to WH."""
    W, H = (x.copy() for x in DRAWS)
    W[..., 0], H[:, :, 0] = 50.0, 0.0
    fit = synthetic.assembled(W, H)
    np.testing.assert_array_equal(fit.mass[..., 2], 0)
    np.testing.assert_allclose(fit.mass.sum("component"), (W @ H).sum(axis=(2, 3)))
    summary = fit.summary()
    assert summary.loc[2, ["mass", "sd", "share"]].tolist() == [0, 0, 0]
    assert summary["share"].sum() == pytest.approx(1)


def test_no_draw_depends_on_its_labels():
    """Relabelled and rescaled draws give the same fit, summary and verdict, bit for bit."""
    a = synthetic.assembled(*DRAWS)
    W, H, _ = synthetic.scrambled(*DRAWS)
    b = synthetic.assembled(W, H)
    xr.testing.assert_identical(a.tree["posterior"].dataset, b.tree["posterior"].dataset)
    xr.testing.assert_identical(a.mean, b.mean)
    pd.testing.assert_frame_equal(a.summary(), b.summary(), check_exact=True)
    pd.testing.assert_frame_equal(bn.check(a).table, bn.check(b).table, check_exact=True)
    assert repr(bn.check(a)) == repr(bn.check(b))


# -- summary ------------------------------------------------------------------------------------


def test_the_summary_is_numpys(fit):
    mass = DRAWS[0].sum(axis=2).reshape(-1, 3)
    summary = fit.summary(ci_prob=0.8, top=2)
    expected = ["mass", "sd", "10%", "90%", "share", "leading columns"]
    assert summary.columns.tolist() == expected
    assert (summary.index.name, summary.index.tolist()) == ("component", [0, 1, 2])
    np.testing.assert_allclose(summary["mass"], mass.mean(axis=0))
    np.testing.assert_allclose(summary["sd"], mass.std(axis=0, ddof=1))
    np.testing.assert_allclose(summary["10%"], np.quantile(mass, 0.1, axis=0))
    np.testing.assert_allclose(summary["90%"], np.quantile(mass, 0.9, axis=0))
    np.testing.assert_allclose(summary["share"], mass.mean(axis=0) / mass.mean(axis=0).sum())
    H = DRAWS[1].mean(axis=(0, 1))
    assert summary.loc[0, "leading columns"].startswith(f"a {H[0, 0]:.2f}, ")
    assert summary.loc[1, "leading columns"].startswith(f"c {H[1, 2]:.2f}, ")


@pytest.mark.parametrize("ci_prob", [0, 1, -0.5, 90])
def test_an_interval_is_a_probability(fit, ci_prob):
    with pytest.raises(ValueError, match=f"ci_prob must lie between 0 and 1, not {ci_prob}"):
        fit.summary(ci_prob)


def test_more_leading_columns_than_there_are(fit):
    assert fit.summary(top=99)["leading columns"].str.count(",").tolist() == [3, 3, 3]


def test_one_draw_has_no_spread():
    fit = synthetic.assembled(DRAWS[0][:1, :1], DRAWS[1][:1, :1], method="map", converged=True)
    summary = fit.summary()
    assert summary[["sd", "5%", "95%"]].isna().all(axis=None)
    assert summary["mass"].notna().all()


def test_a_fit_without_mass_has_no_shares():
    fit = synthetic.assembled(0 * DRAWS[0], DRAWS[1], V=np.zeros((5, 4)))
    assert (fit.summary()["share"] == 0).all()
    assert (fit.summary()["mass"] == 0).all()


# -- what it says of itself ---------------------------------------------------------------------


def test_it_says_what_it_is(fit):
    assert repr(fit) == (
        "<Fit: 5 x 4, 3 components, poisson, mcmc, 3 chain(s) x 40 draw(s)>\nended somehow"
    )
    assert (fit.method, fit.n_components, fit.converged) == ("mcmc", 3, False)
    assert synthetic.assembled(*DRAWS, converged=True).converged is True


# -- programs -----------------------------------------------------------------------------------


def program(V=None, shape=None):
    """Run a program with a site of each component, row and column, a scalar and a table."""
    n_rows, n_columns = shape if V is None else V.shape
    rows, columns = numpyro.plate("row", n_rows, dim=-2), numpyro.plate("column", n_columns, dim=-1)
    components = numpyro.plate("component", 3, dim=-1)
    scale = numpyro.sample("scale", dist.Exponential(1.0))
    with components:
        numpyro.sample("relevance", dist.Gamma(2.0, 1.0))
        numpyro.sample("pair", dist.Dirichlet(np.ones(2, np.float32)))
        H = numpyro.sample("H", dist.Exponential(1.0).expand([n_columns]).to_event(1))
    with rows, components:
        W = numpyro.sample("W", dist.Exponential(1.0))
    with rows:
        numpyro.sample("offset", dist.Exponential(1.0))
    with columns:
        numpyro.sample("gain", dist.Exponential(1.0))
    observed, values = observations(V, 0.0)
    with rows, columns, handlers.mask(mask=observed):
        numpyro.sample("V", dist.Normal(product(W, H), scale), obs=values)


@pytest.fixture(scope="module")
def of_program():
    """Return raw draws of the program's sites, their order of components, and their fit."""
    rng = np.random.default_rng(5)
    W, H, order = synthetic.scrambled(*DRAWS)
    lead = W.shape[:2]
    true = {"relevance": np.array([1.0, 2.0, 3.0]), "pair": np.arange(6.0).reshape(3, 2)}
    sites = {
        "relevance": true["relevance"][order],
        "pair": true["pair"][order],
        "offset": rng.gamma(1.0, size=(*lead, 5, 1)),
        "gain": rng.gamma(1.0, size=(*lead, 4)),
        "scale": rng.gamma(1.0, size=lead),
    }
    V = np.ones((5, 4), np.float32)
    return true, sites, synthetic.assembled(W, H, V=V, model=Program(program), sites=sites)


def test_sites_of_a_component_move_with_it(of_program):
    true, _, fit = of_program
    posterior = fit.tree["posterior"]
    assert posterior["relevance"].dims == ("chain", "draw", "component")
    assert posterior["pair"].dims == ("chain", "draw", "component", "pair_dim_1")
    for name, values in true.items():
        np.testing.assert_array_equal(
            posterior[name], np.broadcast_to(values, posterior[name].shape)
        )


def test_other_sites_stay_as_they_are(of_program):
    """One of them is called like a statistic that assembly itself adds."""
    _, sites, fit = of_program
    posterior = fit.tree["posterior"]
    assert posterior["offset"].dims[:3] == ("chain", "draw", "row")
    assert posterior["gain"].dims == ("chain", "draw", "column")
    assert posterior["scale"].dims == ("chain", "draw")
    for name in ("offset", "gain", "scale"):
        np.testing.assert_array_equal(posterior[name], sites[name])
    assert fit.tree["sample_stats/scale"].dims == ("chain", "draw", "component")


def test_a_program_gives_its_name(of_program):
    assert "3 components, program, mcmc" in repr(of_program[2])
