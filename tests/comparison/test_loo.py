"""WAIC and LOO against ArviZ on everything in memory, and against exact leave-one-out."""

from __future__ import annotations

from dataclasses import replace

import arviz_stats
import numpy as np
import pytest
import small
import synthetic
import xarray as xr
from exact import RankOne
from scipy import special

import bayesnmf as bn
from bayesnmf.comparison import loo as criteria
from bayesnmf.comparison.bad_k import bad_cells
from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.comparison.loo import loo, relative_efficiency
from bayesnmf.comparison.waic import waic

#: Warnings of bad k have their own tests.
quiet = pytest.mark.filterwarnings("ignore:Pareto k", "ignore:WAIC is not")


def scattered(
    n_chains=2, n_draws=100, noise=0.1, missing=0.0, likelihood="poisson", V=None, factor=1.0
):
    """Return a fit of made-up draws, some of whose cells are hard to leave out."""
    W, H = synthetic.draws(n_chains, n_draws, noise)
    rng = np.random.default_rng(7)
    if V is None:
        V = rng.poisson(synthetic.W @ synthetic.H) + 1.0
        V[rng.random(V.shape) < missing] = np.nan
    sites = {}
    if likelihood == "gaussian":
        sites = {"sigma": factor * rng.uniform(1.0, 2.0, (n_chains, n_draws))}
    model = bn.NMF(3, likelihood)
    return synthetic.assembled(factor * W, H, V=factor * V, model=model, sites=sites)


def materialised(fit, **options):
    """Return the tree that ArviZ wants, with the cells as one dimension."""
    cells = log_likelihood(fit, **options).stack(cell=("row", "column")).dropna("cell")
    cells = cells.drop_vars(["cell", "row", "column"])
    posterior = fit.tree["posterior"].to_dataset()
    return xr.DataTree.from_dict(
        {"posterior": posterior, "log_likelihood": cells.to_dataset(name="V")}
    )


# -- WAIC ---------------------------------------------------------------------------------------


def test_waic_is_the_formula_of_classic_arviz():
    fit = scattered(missing=0.2)
    result = waic(fit)
    cells = materialised(fit)["log_likelihood/V"].stack(sample=("chain", "draw"))
    lppd = special.logsumexp(cells, axis=1) - np.log(200)
    p_i = cells.var("sample").to_numpy()
    each = lppd - p_i
    np.testing.assert_allclose(result.elpd_i, each, rtol=1e-10)
    assert result.elpd == pytest.approx(each.sum(), rel=1e-10)
    assert result.se == pytest.approx(np.sqrt(len(each) * np.var(each)), rel=1e-10)
    assert result.p == pytest.approx(p_i.sum(), rel=1e-10)
    np.testing.assert_allclose(result.p_waic_i, p_i, rtol=1e-10)
    assert (result.n_samples, result.n_data_points) == (200, np.isfinite(fit.V).to_numpy().sum())


def test_waic_warns_where_it_is_known_to_fail():
    with pytest.warns(UserWarning, match=r"WAIC is not reliable: .* of \d+ of 20 cells"):
        result = waic(scattered(noise=0.5))
    assert result.warning
    assert result.elpd_i.attrs["bad_k"] > 0


def test_waic_prints_as_arvizs_do():
    text = str(waic(scattered()))
    assert "elpd_waic" in text
    assert "p_waic" in text


# -- LOO ----------------------------------------------------------------------------------------


@quiet
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
@pytest.mark.parametrize("noise", [0.05, 0.6])
@pytest.mark.parametrize("n_chains", [1, 3])
def test_loo_is_arvizs(n_chains, noise):
    fit = scattered(n_chains, 150, noise, missing=0.2)
    ours, theirs = loo(fit), arviz_stats.loo(materialised(fit), pointwise=True)
    np.testing.assert_allclose(ours.elpd_i, theirs.elpd_i, rtol=1e-8)
    np.testing.assert_allclose(ours.pareto_k, theirs.pareto_k, rtol=1e-8, atol=1e-8)
    for name in ("elpd", "se", "p"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-8)
    for name in ("n_samples", "n_data_points", "scale", "warning", "good_k", "kind"):
        assert ours[name] == theirs[name]


def test_efficiency_is_arvizs_mean_over_the_posterior(monkeypatch):
    from arviz_stats.loo.loo_helper import _get_r_eff

    fit = scattered(2, 100)
    exact = float(_get_r_eff(materialised(fit), 200))
    assert relative_efficiency(fit) == pytest.approx(exact, rel=1e-10)
    monkeypatch.setattr(criteria, "MAX_ENTRIES", 20)
    assert relative_efficiency(fit) == pytest.approx(exact, rel=0.15)
    assert relative_efficiency(scattered(1, 100)) == 1.0


@quiet
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_tiles_change_nothing(monkeypatch):
    fit = scattered(missing=0.2, noise=0.3)
    whole = loo(fit), waic(fit)
    monkeypatch.setattr("bayesnmf.comparison.pointwise.TILE_SIZE", 800)
    for before, after in zip(whole, (loo(fit), waic(fit)), strict=True):
        np.testing.assert_allclose(after.elpd_i, before.elpd_i, rtol=1e-12)


@quiet
def test_units_are_named():
    V = bn.Fit.V.fget(scattered(missing=0.2))
    V.index, V.columns = list("abcde"), [f"gene {j}" for j in range(4)]
    result = loo(scattered(V=V))
    rows, columns = np.nonzero(np.isfinite(V.to_numpy()))
    assert result.elpd_i.dims == ("cell",)
    assert result.elpd_i["row"].values.tolist() == [V.index[i] for i in rows]
    assert result.elpd_i["column"].values.tolist() == [V.columns[j] for j in columns]
    assert (result.elpd_i["estimator"] == "psis").all()


def test_bad_k_is_counted_and_placed():
    fit = scattered(noise=0.9)
    with pytest.warns(UserWarning, match=r"Pareto k is above 0.5\d in \d+ of 20 cells .* row \d"):
        result = loo(fit)
    bad = bad_cells(result)
    assert len(bad) == int((result.pareto_k > result.good_k).sum()) > 0
    assert result.elpd_i.attrs["bad_k"] == len(bad) / 20
    assert (bad["k"].diff().dropna() <= 0).all()
    one = bad.iloc[0]
    assert result.pareto_k.values[4 * one["row"] + one["column"]] == one["k"]
    with pytest.raises(ValueError, match="of kind 'waic' has no Pareto k"):
        bad_cells(waic(scattered()))


@quiet
def test_arvizs_own_functions_take_the_results():
    import matplotlib as mpl

    mpl.use("Agg")
    import arviz_plots

    results = {"a": loo(scattered()), "b": loo(scattered(noise=0.05))}
    table = arviz_stats.compare(results)
    assert set(table.index) == {"a", "b"}
    assert "Pareto k diagnostic values" in str(results["a"])
    arviz_plots.plot_khat(results["a"], backend="matplotlib")
    arviz_plots.plot_compare(table, backend="matplotlib")
    arviz_stats.compare({"a": waic(scattered()), "b": waic(scattered(noise=0.05))})


# -- the base measure ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("criterion", [loo, waic])
def test_rescaled_data_carry_their_jacobian(criterion):
    """The same posterior in other units: draws scale along with the data."""
    plain = criterion(scattered(likelihood="gaussian"))
    scaled = scattered(likelihood="gaussian", factor=1000.0)
    assert criterion(scaled).elpd == pytest.approx(plain.elpd - 20 * np.log(1000.0), rel=1e-10)
    moved = criterion(scaled, log_jacobian=np.log(1000.0))
    np.testing.assert_allclose(moved.elpd_i, plain.elpd_i, rtol=1e-9, atol=1e-10)
    assert moved.p == pytest.approx(plain.p, rel=1e-9)
    assert moved.elpd_i.attrs["rescaled"] == 1


@pytest.mark.statistical
@quiet
def test_refitting_rescaled_data_changes_nothing():
    """Default priors follow the data's scale; the tolerances are round numbers for 2 x 400 draws."""
    V = small.data(small.LIKELIHOODS["gaussian"])
    method = bn.MCMC(num_warmup=200, num_samples=400, num_chains=2)
    plain, scaled = (
        waic(small.run(c * V, bn.NMF(2, "gaussian"), method, seed=1), log_jacobian=np.log(c))
        for c in (1.0, 1000.0)
    )
    assert abs(plain.elpd - scaled.elpd) < 1.0
    assert abs(plain.elpd_i.values - scaled.elpd_i.values).max() < 0.3


@quiet
def test_counts_under_a_gaussian_are_weighted_by_its_density():
    """Ratios follow the density that was fitted; what they average is the mass."""
    fit = scattered(likelihood="gaussian")
    result = loo(fit, measure="counting")
    assert result.elpd_i.attrs["measure"] == "counting"
    density, mass = log_likelihood(fit), log_likelihood(fit, measure="counting")
    weights, _ = arviz_stats.base.array_stats.psislw(
        density.to_numpy().reshape(200, 20).T.reshape(20, 2, 100),
        r_eff=relative_efficiency(fit),
        axis=[1, 2],
    )
    each = special.logsumexp(weights.reshape(20, 200) + mass.to_numpy().reshape(200, 20).T, axis=1)
    np.testing.assert_allclose(result.elpd_i, each, rtol=1e-9)
    f, m = (x.to_numpy().reshape(200, 20) for x in (density, mass))
    covariance = np.array([np.cov(f[:, i], m[:, i], ddof=0)[0, 1] for i in range(20)])
    np.testing.assert_allclose(waic(fit, measure="counting").p_waic_i, covariance, rtol=1e-9)


# -- exact leave-one-out ------------------------------------------------------------------------

V = np.array([[2, 1, 1, 4], [4, 5, 0, 10], [6, 2, 0, 3], [3, 0, 1, 2], [1, 0, 0, 3]], float)
ORACLE = RankOne(V, 1.4, 0.7, 1.4, 1.3)


def exact_fit(n_draws=4000, seed=0):
    """Return a fit of independent draws from the exact posterior."""
    w, h = ORACLE.sample(np.random.default_rng(seed), n_draws)
    priors = bn.priors.Gamma(1.4, 0.7), bn.priors.Gamma(1.4, 1.3)
    return synthetic.assembled(
        w[None, :, :, None], h[None, :, None, :], V=V, model=bn.NMF(1, "poisson", *priors)
    )


def exact_cell(row, column):
    """Return log p(v | all other cells): the evidence over its sum over values of the cell."""
    evidence = []
    for value in range(60):
        changed = V.copy()
        changed[row, column] = value
        evidence.append(replace(ORACLE, V=changed).log_evidence())
    return evidence[int(V[row, column])] - special.logsumexp(evidence)


def exact_row(row):
    """Return log p(row | all other rows)."""
    return ORACLE.log_evidence() - replace(ORACLE, V=np.delete(V, row, axis=0)).log_evidence()


CELLS = [(0, 0), (3, 2), (4, 1), (2, 2)]


@pytest.fixture(scope="module")
def exact_cells():
    return np.array([exact_cell(*cell) for cell in CELLS])


@quiet
@pytest.mark.statistical
def test_cells_left_out_exactly(exact_cells):
    """Eight independent runs of 4,000 draws; false alarm about 1e-3 over four cells."""
    runs = [loo(exact_fit(seed=seed)).elpd_i.values.reshape(V.shape) for seed in range(8)]
    ours = np.array([[run[cell] for cell in CELLS] for run in runs])
    error = ours.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert (abs(ours.mean(axis=0) - exact_cells) < 7 * error + 1e-3).all()
    assert (error < 0.02).all()


@quiet
@pytest.mark.statistical
def test_rows_left_out_exactly():
    result = loo(exact_fit(), task="row")
    assert result.elpd_i.dims == ("row",)
    assert result.elpd_i.attrs["task"] == "row"
    assert (result.elpd_i["estimator"] == "W integrated").all()
    good = (result.pareto_k < result.good_k).to_numpy()
    assert good.sum() >= 3
    exact = np.array([exact_row(row) for row in range(5)])
    np.testing.assert_allclose(result.elpd_i[good], exact[good], atol=0.1)


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="unknown task 'column'; valid: cell, row"):
        loo(scattered(), task="column")


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", [loo, waic])
def test_a_mode_is_refused(criterion):
    fit = synthetic.assembled(*synthetic.draws(1, 1), method="map")
    with pytest.raises(ValueError, match=r"no draws to estimate .* method='mcmc' or method='svi'"):
        criterion(fit)


@quiet
@pytest.mark.parametrize("criterion", [loo, waic])
def test_few_draws_are_warned_of(criterion):
    with pytest.warns(UserWarning, match="90 draws are few"):
        criterion(scattered(3, 30))


def test_a_density_that_is_not_a_number_names_its_cell():
    fit = scattered()
    fit.tree["posterior/H"].values[1, 7, 0, 2] = np.nan
    with pytest.raises(ValueError, match=r"V\[0, 2\] \(row 0, column 2\) is NaN at 1 of 200 draws"):
        loo(fit)
