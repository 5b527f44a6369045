"""Modes of a fit: refused together, read apart, weighed by what they predict."""

from __future__ import annotations

import ambiguous
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import small
import synthetic
from numpyro import handlers
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

import bayesnmf as bn
from bayesnmf.cli import app as cli
from bayesnmf.cli.text import summary_of
from bayesnmf.model import Program
from bayesnmf.model.mean import observations, product

WHICH = (0, 1, 0)


@pytest.fixture(scope="module")
def fit():
    return ambiguous.fitted(WHICH, n_draws=150)


# -- refusals and warnings ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W", "H", "mean"])
def test_pooled_means_are_refused(fit, name):
    with pytest.raises(ValueError, match=r"in 2 modes \(mode 0: chains 0, 2; mode 1: chain 1\)"):
        getattr(fit, name)


def test_pooled_summaries_and_plots_are_refused(fit):
    for pooled in (bn.Fit.summary, bn.plots.components, bn.plots.reconstruction):
        with pytest.raises(ValueError, match=r"read one at a time, bn\.modes\(fit\)\[0\] to"):
            pooled(fit)


@pytest.mark.filterwarnings("ignore:Pareto k|WAIC is not")
def test_predictions_of_pooled_chains_warn(fit):
    for predict in (bn.loo, bn.waic, bn.ppc, bn.posterior_predictive):
        with pytest.warns(UserWarning, match="in 2 modes, and predictions weigh every chain alike"):
            predict(fit)
    with pytest.warns(UserWarning, match="in 2 modes"):
        table = bn.compare({"a": fit, "b": bn.modes(fit)[0]}, escalate=False)
    assert table.loc["a", "note"] == "chains in 2 modes, each weighed alike"
    assert table.loc["b", "note"] == ""


def test_check_names_the_modes(fit):
    verdict = bn.check(fit)
    assert verdict.converged is False
    assert verdict.components is None
    assert "the chains are in 2 modes (mode 0: chains 0, 2; mode 1: chain 1)" in verdict.message
    assert "bn.modes(fit)" in verdict.message


# -- one mode at a time -------------------------------------------------------------------------


def test_a_mode_is_the_fit_of_its_chains_alone(fit):
    modes = bn.modes(fit)
    W, H = ambiguous.draws(WHICH, n_draws=150)
    lp = fit.tree["sample_stats/lp"].to_numpy()
    assert len(modes) == 2
    for mode, chains in zip(modes, ([0, 2], [1]), strict=True):
        alone = synthetic.assembled(W[chains], H[chains], V=fit.V, lp=lp[chains])
        assert mode.tree["posterior"]["chain"].values.tolist() == chains
        np.testing.assert_allclose(mode.W, alone.W)
        np.testing.assert_allclose(mode.H, alone.H)
        np.testing.assert_allclose(mode.mean, alone.mean)
        pd.testing.assert_frame_equal(mode.summary(), alone.summary())
        for name in ("match", "scale", "lp"):
            np.testing.assert_allclose(
                mode.tree["sample_stats"][name], alone.tree["sample_stats"][name]
            )
        assert len(bn.modes(mode)) == 1
    truth = ambiguous.V / ambiguous.V.sum(axis=1, keepdims=True)
    nearest = np.abs(modes[1].H.to_numpy()[:, None] - truth).max(axis=-1).min(axis=-1)
    assert nearest.max() < 0.03
    with pytest.raises(IndexError):
        modes[2]


def test_a_mode_can_be_saved(fit, tmp_path):
    mode = bn.modes(fit)[0]
    mode.save(tmp_path / "mode.nc")
    read = bn.load(tmp_path / "mode.nc")
    assert read.tree["posterior"].dataset.equals(mode.tree["posterior"].dataset)
    fit.save(tmp_path / "fit.nc")
    assert bn.load(tmp_path / "fit.nc").chain_modes.identical(fit.chain_modes)


def program(V=None, shape=None):
    n_rows, n_columns = shape if V is None else V.shape
    with numpyro.plate("component", 4, dim=-1):
        numpyro.sample("relevance", dist.Gamma(2.0, 1.0))
        H = numpyro.sample("H", dist.Exponential(1.0).expand([n_columns]).to_event(1))
    with numpyro.plate("row", n_rows, dim=-2), numpyro.plate("component", 4, dim=-1):
        W = numpyro.sample("W", dist.Exponential(1.0))
    rows, columns = numpyro.plate("row", n_rows, dim=-2), numpyro.plate("column", n_columns, dim=-1)
    observed, filled = observations(V, 1.0)
    with rows, columns, handlers.mask(mask=observed):
        numpyro.sample("V", dist.Poisson(product(W, H)), obs=filled)


def test_sites_of_a_program_move_with_their_component():
    W, H = ambiguous.draws(WHICH)
    sites = {"relevance": W.sum(axis=2) * H.sum(axis=3)}
    fit = synthetic.assembled(
        W,
        H,
        V=np.ones((4, 4), np.float32),
        model=Program(program),
        sites=sites,
        stats={"steps": W[..., 0, 0]},
    )
    for mode in bn.modes(fit):
        np.testing.assert_allclose(mode.tree["posterior/relevance"], mode.mass)


def test_one_mode_is_the_fit_itself():
    for method in small.METHODS:
        fit = small.fitted("poisson", method)
        modes = bn.modes(fit)
        assert list(modes) == [fit]
        assert modes.weights.tolist() == [1.0]
        assert modes.table["chains"].tolist() == [
            ", ".join(map(str, fit.tree["posterior"]["chain"].values))
        ]


# -- weights ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Pareto k")
def test_weights_maximise_the_density_of_the_mixture(fit):
    modes = bn.modes(fit)
    first, second = (bn.loo(mode).elpd_i.to_numpy() for mode in modes)

    def loss(weight):
        return -logsumexp([first + np.log(weight), second + np.log1p(-weight)], axis=0).sum()

    best = minimize_scalar(loss, bounds=(1e-9, 1 - 1e-9), method="bounded")
    weights = modes.weights
    assert weights.sum() == pytest.approx(1)
    # The optimum is flat, so it is judged by its height too.
    assert loss(np.clip(weights[0], 1e-9, 1 - 1e-9)) <= best.fun + 1e-4


@pytest.mark.filterwarnings("ignore:Pareto k")
def test_a_mode_that_predicts_badly_has_no_weight():
    W, H = ambiguous.draws(WHICH, n_draws=150)
    W[1] *= 3.0
    lp = np.repeat([[1.0], [5.0], [1.0]], W.shape[1], axis=1)
    data = np.random.default_rng(2).poisson(ambiguous.LEVEL * ambiguous.V + 2.0) + 0.0
    modes = bn.modes(synthetic.assembled(W, H, V=data, lp=lp))
    assert modes.labels.values.tolist() == [1, 0, 1]
    assert "modes.table adds predictive weights" in repr(modes)
    table = modes.table
    assert table.loc[1, "weight"] > 0.95
    assert table["chains"].tolist() == ["1", "0, 2"]
    assert table["log density"].tolist() == pytest.approx([5.0, 1.0])
    assert table["stability"].between(0.9, 1).all()
    assert "not the probability of the mode" in repr(modes)


# -- a sampler that meets them ------------------------------------------------------------------


def test_chains_from_different_starts_are_in_different_modes():
    # Without noise the two have equal densities, since V is symmetric.
    data, prior = 100 * ambiguous.V, bn.priors.Gamma(shape=1.0, rate=0.2)
    method = bn.MCMC(num_warmup=100, num_samples=100, num_chains=4)
    fit = small.run(data, bn.NMF(4, prior_W=prior, prior_H=prior), method, seed=1)
    modes = bn.modes(fit)
    assert len(modes) > 1
    assert "the chains are in" in fit.message
    truths = [H / H.sum(axis=1, keepdims=True) for _, H in ambiguous.EXACT]
    for mode in modes:
        # Each is one of the two exact factorisations.
        far = [np.abs(mode.H.to_numpy()[:, None] - H).max(-1).min(-1).max() for H in truths]
        assert min(far) < 0.1 < max(far)


# -- command line -------------------------------------------------------------------------------


def test_the_command_line_reads_one_mode(fit, tmp_path, capsys):
    path = tmp_path / "fit.nc"
    fit.save(path)
    assert cli.main(["check", str(path)]) == 1
    assert "the chains are in 2 modes" in capsys.readouterr().out
    assert cli.main(["plot", str(path)]) == 2
    assert "choose one with --mode" in capsys.readouterr().err
    assert cli.main(["plot", str(path), "--mode", "2"]) == 2
    assert "--mode 2: the chains are in 2 modes" in capsys.readouterr().err
    assert cli.main(["plot", str(path), "--mode", "1"]) == 0
    tables = summary_of(fit)
    assert tables.startswith("Mode 0\n")
    assert "\n\nMode 1\n" in tables
