"""The comparison table, what it refuses, and what is done about bad estimates."""

from __future__ import annotations

import arviz_stats
import numpy as np
import pytest
import synthetic
from comparison.test_loo import V as COUNTS
from comparison.test_loo import exact_cell, exact_fit, exact_row, scattered
from exact import RankOne
from numpyro.infer.util import log_density
from scipy import special, stats

import bayesnmf as bn
from bayesnmf.comparison import refits
from bayesnmf.comparison.compare import compare
from bayesnmf.comparison.escalation import Escalation
from bayesnmf.comparison.loo import loo
from bayesnmf.comparison.mixture import mixture_loo, mixture_program
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.comparison.waic import waic

pytestmark = pytest.mark.filterwarnings("ignore:Pareto k", "ignore:WAIC is not")


def table_of(models, criterion="loo", **options):
    return compare(models, criterion, **options)


# -- the table ----------------------------------------------------------------------------------


def test_the_numbers_are_arvizs():
    results = {"near": loo(scattered(noise=0.05)), "far": loo(scattered(noise=0.3))}
    ours = table_of(results)
    theirs = arviz_stats.compare(results, round_to="none")
    assert ours.index.tolist() == theirs.index.tolist()
    for column in ("elpd", "elpd_diff", "dse", "p", "se", "p_worse"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9)
    np.testing.assert_allclose(ours["weight"], theirs["weight"], atol=1e-4)
    assert ours["diag_elpd"].tolist() == theirs["diag_elpd"].tolist()


def test_fits_are_scored_and_described():
    fits = {"near": scattered(noise=0.05), "far": scattered(1, 200, noise=0.3)}
    table = table_of(fits)
    assert table.loc["near", "elpd"] == loo(fits["near"]).elpd
    assert table.loc["far", "bad_k"] == loo(fits["far"]).elpd_i.attrs["bad_k"]
    assert (table["estimator"] == "psis").all()
    assert (table["fit_seconds"] == 0.5).all()
    assert (table["seconds"] > 0).all()
    assert table.loc["near", "note"] == ""
    assert table.loc["far", "note"] == "one chain, whose convergence cannot be judged"
    assert table.attrs == {"criterion": "loo", "task": "cell", "measure": "counting"}
    assert table_of(fits, "waic").attrs["criterion"] == "waic"


def test_a_reference_can_be_chosen():
    fits = {"near": scattered(noise=0.05), "far": scattered(noise=0.3)}
    table = table_of(fits, reference="far")
    assert table.loc["far", "elpd_diff"] == 0
    assert table.loc["near", "elpd_diff"] > 0


@pytest.mark.parametrize("level", [-3000.0, 3000.0])
def test_densities_out_of_floating_range_are_weighted(level):
    """Whole rows have log densities of thousands, whose exponentials under- or overflow."""
    first, second = loo(scattered()), loo(scattered(noise=0.05))
    plain = table_of({"a": first, "b": second})
    for result in (first, second):
        result.elpd_i = result.elpd_i + level
        result.elpd += level * result.elpd_i.size
    moved = table_of({"a": first, "b": second})
    np.testing.assert_allclose(moved["weight"], plain["weight"], atol=1e-6)
    np.testing.assert_allclose(moved["elpd"], plain["elpd"] + 20 * level, rtol=1e-12)


def test_counts_put_continuous_models_on_their_measure():
    fits = {"poisson": scattered(), "gaussian": scattered(likelihood="gaussian")}
    table = table_of(fits)
    assert table.attrs["measure"] == "counting"
    assert table.loc["gaussian", "elpd"] == loo(fits["gaussian"], measure="counting").elpd
    alone = {"one": fits["gaussian"], "two": scattered(likelihood="gaussian", noise=0.05)}
    assert table_of(alone).attrs["measure"] == "lebesgue"


def test_folds_are_the_same_for_all(monkeypatch):
    held = []

    def fit(V, model, method, **options):
        held.append(np.isnan(V.values))
        return scattered(V=V.values)

    monkeypatch.setattr(refits.fitting, "fit_silently", fit)
    table = table_of({"a": scattered(), "b": scattered(noise=0.2)}, "kfold", n_folds=3)
    assert len(held) == 6
    assert np.array_equal(held[:3], held[3:])
    assert table["p"].notna().all()
    assert table["note"].str.contains("of 3 folds converged").all()


# -- refusals -----------------------------------------------------------------------------------


def refused(models, match, error=ValueError, **options):
    with pytest.raises(error, match=match):
        table_of(models, **options)


def changed(V):
    V = V.copy()
    V.iloc[0, 0] += 1
    return V


def test_different_data_are_refused():
    fit, both = scattered(), "a and b cannot be compared: they"
    other = scattered(V=changed(fit.V))
    refused({"a": fit, "b": other}, f"{both} are of different data: fit all models to the same")
    refused({"a": loo(fit), "b": loo(other)}, f"{both} are of different data")
    refused({"a": fit, "b": scattered(missing=0.3)}, f"{both} .* different missing cells: fit all")
    W, H = synthetic.draws(2, 100)
    smaller = synthetic.assembled(W[:, :, :4], H)
    refused({"a": fit, "b": smaller}, rf"{both} .* different shapes \(\(5, 4\), \(4, 4\)\)")


def test_rescaled_data_are_taken_at_their_word():
    scaled = scattered(likelihood="gaussian", factor=8.0)
    plain = scattered(likelihood="gaussian")
    table = table_of({"a": loo(plain), "b": loo(scaled, log_jacobian=np.log(8.0))})
    np.testing.assert_allclose(table["elpd_diff"], 0.0, atol=1e-8)
    refused({"a": plain, "b": scaled}, "are of different data")


def test_a_mode_is_refused():
    mode = synthetic.assembled(*synthetic.draws(1, 1), method="map")
    refused({"a": scattered(), "mode": mode}, "^mode: this fit is a MAP estimate .* method='svi'")


def test_fractions_are_refused_beside_poisson():
    V = scattered().V + 0.5
    refused(
        {"p": scattered(V=V), "g": scattered(V=V, likelihood="gaussian")},
        "^p: .* is not an integer, so the poisson likelihood gives it no density",
    )


def test_incommensurable_results_are_refused():
    fit = scattered(likelihood="gaussian")
    a, row = loo(fit), loo(fit, task="row")
    refused({"a": a, "b": loo(fit, measure="counting")}, r"different measures \(lebesgue, count")
    refused({"a": a, "b": row}, r"leave out different things \(cell, row\): use one task for all")
    refused(
        {"a": a, "b": waic(fit)}, r"estimates of different kinds \(loo, waic\): use one criterion"
    )


def test_what_is_no_model_is_refused():
    fit = scattered()
    refused({"a": fit}, "takes two models or more")
    refused([fit, fit], "takes two models or more")
    refused({"a": fit, "b": 3.0}, "^b is neither a bn.Fit nor an ELPDData, but float", TypeError)
    refused(
        {"a": fit, "b": fit}, "unknown criterion 'aic'; valid: loo, waic, kfold", criterion="aic"
    )
    refused({"a": fit, "b": fit}, "reference 'c' is none of the models: a, b", reference="c")


def test_few_draws_are_warned_of():
    with pytest.warns(UserWarning, match="80 draws are few"):
        table_of({"a": scattered(2, 40), "b": scattered(2, 40, noise=0.2)})


# -- escalation ---------------------------------------------------------------------------------


def bad_of(fit):
    result = loo(fit)
    return (result.pareto_k > result.good_k).to_numpy()


def skip(monkeypatch, *steps):
    for step in steps:
        monkeypatch.setattr(Escalation, step, lambda _, estimates, *__: estimates)


@pytest.fixture
def no_refits(monkeypatch):
    skip(monkeypatch, "_refitted", "_mixed")


@pytest.mark.statistical
def test_integrating_replaces_what_psis_cannot_estimate(no_refits):
    """Cells of the row with most counts; over six runs of 4,000 exact draws."""
    exact = np.array([exact_cell(1, column) for column in (0, 3)])
    ours = []
    for seed in range(6):
        fit = exact_fit(seed=seed)
        bad, result = bad_of(fit), loo(fit, escalate=True)
        replaced = (result.elpd_i["estimator"] != "psis").to_numpy()
        assert (result.pareto_k <= result.good_k).to_numpy()[replaced].all()
        assert replaced[bad].mean() > 0.6
        assert not replaced[~bad].any()
        ours.append(result.elpd_i.values[[4, 7]])
    error = np.std(ours, axis=0, ddof=1) / np.sqrt(6)
    assert (abs(np.mean(ours, axis=0) - exact) < 6 * error + 0.02).all()


@pytest.fixture
def exact_refits(monkeypatch):
    """Importance-resample exact draws in place of refitting without some cells or rows."""

    def fit(V, model, method, **options):
        V = V.values
        if len(V) < len(COUNTS):
            w, h = RankOne(V, 1.4, 0.7, 1.4, 1.3).sample(np.random.default_rng(1), 3000)
        else:
            w, h = RankOne(COUNTS, 1.4, 0.7, 1.4, 1.3).sample(np.random.default_rng(2), 300_000)
            held = np.isnan(V)
            log_ratio = -stats.poisson.logpmf(COUNTS, w[:, :, None] * h[:, None, :])[:, held].sum(1)
            weight = np.exp(log_ratio - special.logsumexp(log_ratio))
            kept = np.random.default_rng(3).choice(len(w), 3000, p=weight)
            w, h = w[kept], h[kept]
        return synthetic.assembled(w[None, :, :, None], h[None, :, None, :], V=V, model=model)

    monkeypatch.setattr(refits.fitting, "fit_silently", fit)


def test_refits_are_the_last_resort(exact_refits, monkeypatch):
    skip(monkeypatch, "_integrated")
    fit = exact_fit()
    bad, result = bad_of(fit), loo(fit, escalate=True)
    assert bad.sum() >= 2
    refitted = (result.elpd_i["estimator"] == "refit").to_numpy()
    assert np.array_equal(refitted, bad)
    assert (result.pareto_k[bad] == 0).all()
    assert not result.warning
    exact = [exact_cell(*divmod(int(cell), 4)) for cell in np.flatnonzero(bad)]
    np.testing.assert_allclose(result.elpd_i[bad], exact, atol=0.25)
    table = compare({"exact": fit, "again": exact_fit(seed=1)}, escalate=True)
    assert table["estimator"].str.contains("psis .*%, refit .*%").all()
    assert (table["bad_k"] == 0).all()
    # Draws made up in one chain give R-hat nothing to judge.
    assert table["note"].str.contains("0 of . refits converged").all()


def test_rows_are_refitted_too(exact_refits):
    result = loo(exact_fit(), task="row", escalate=True)
    refitted = np.flatnonzero(result.elpd_i["estimator"] == "refit")
    assert refitted.size
    np.testing.assert_allclose(
        result.elpd_i[refitted], [exact_row(row) for row in refitted], atol=0.2
    )
    assert (result.elpd_i["estimator"] == "W integrated").sum() == 5 - refitted.size


def test_what_cannot_be_replaced_stays_flagged(monkeypatch):
    skip(monkeypatch, "_integrated", "_mixed", "_refitted")
    with pytest.warns(UserWarning, match="Their estimates are not reliable: bn.kfold leaves"):
        result = loo(exact_fit(), escalate=True)
    assert result.warning
    assert result.elpd_i.attrs["bad_k"] > 0


@pytest.mark.parametrize("criterion", ["loo", "kfold"])
def test_ctrl_c_in_a_refit_ends_the_comparison(criterion, monkeypatch):
    """The interrupted fit returns the draws that it has; no other fit begins."""
    begun = []

    def fit(V, model, method, **options):
        begun.append(method)
        cut = scattered(V=V.values)
        cut.tree.attrs["interrupted"] = 1
        return cut

    skip(monkeypatch, "_integrated")
    monkeypatch.setattr(refits.fitting, "fit_silently", fit)
    with pytest.raises(KeyboardInterrupt):
        compare({"a": scattered(noise=0.9), "b": scattered(noise=0.8)}, criterion, escalate=True)
    assert len(begun) == 1


# -- the mixture --------------------------------------------------------------------------------


def test_the_mixture_adds_the_inverse_densities():
    rows, columns = np.array([1, 1, 2]), np.array([0, 3, 0])
    fit = exact_fit(10)
    program = mixture_program(fit.model, rows, columns)
    for draw in range(3):
        sites = {name: fit.tree[f"posterior/{name}"].to_numpy()[0, draw] for name in "WH"}
        sites = {name: np.asarray(x, np.float32) for name, x in sites.items()}
        V = COUNTS.astype(np.float32)
        difference = (
            log_density(program, (V,), {}, sites)[0] - log_density(fit.model, (V,), {}, sites)[0]
        )
        cells = stats.poisson.logpmf(COUNTS, sites["W"] @ sites["H"])[rows, columns]
        assert float(difference) == pytest.approx(special.logsumexp(-cells), rel=1e-4)


@pytest.mark.statistical
@pytest.mark.long
@pytest.mark.numpyro_promotion
def test_the_mixture_leaves_cells_out():
    """One run of NUTS of 2 x 1,000 draws; the tolerance is a round number, not a false-alarm rate."""
    cells = np.zeros(COUNTS.shape, bool)
    cells[1, [0, 3]] = True
    method = bn.MCMC(num_warmup=400, num_samples=1000, num_chains=2)
    mixed = mixture_loo(Pointwise(exact_fit(100)), cells, method, seed=0)
    assert mixed is not None
    elpd, k = mixed
    np.testing.assert_allclose(elpd, [exact_cell(1, 0), exact_cell(1, 3)], atol=0.25)
    assert (k < 0.7).all()
