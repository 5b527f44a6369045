"""Verdicts on convergence, from artificial draws whose verdict is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import small
from arviz_stats.base import array_stats

import bayesnmf as bn
from bayesnmf import convergence
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.result import Fit


def sampled(W, H, lp=None, **stats):
    """Return a fit of these draws as if MCMC had made them."""
    if lp is None:
        lp = np.random.default_rng(9).normal(size=W.shape[:2])
    matrix = Matrix.of(np.ones((W.shape[2], H.shape[3])))
    model = bn.NMF(W.shape[3]).resolve(matrix)
    draws = Draws({"W": W, "H": H}, {"lp": lp, **stats}, None, "")
    return Fit(assemble(draws, model, matrix, {"method": "mcmc"}), model)


def independent(n_chains=2, n_draws=1000, n_rows=5, n_columns=4):
    rng = np.random.default_rng(0)
    leading = (n_chains, n_draws)
    W = rng.gamma(8.0, 1.0, (*leading, n_rows, 2)) * [5.0, 1.0]
    H = rng.gamma(8.0, 1.0, (*leading, 2, n_columns)) * [[1.0] * n_columns, range(1, n_columns + 1)]
    return W, H


def test_independent_draws_have_converged():
    verdict = bn.check(sampled(*independent()))
    assert verdict.converged is True
    assert verdict.message.startswith("Converged: R-hat is at most 1.00")
    assert list(verdict.table.index) == ["WH", "log density", "mass[0]", "mass[1]", "W", "H"]
    assert verdict.table["entries"].tolist() == [20, 1, 1, 1, 10, 8]
    assert verdict.table["rhat"].between(0.99, 1.01).all()
    # Of 2000 independent draws; the smallest of 20 estimates falls some way below.
    assert verdict.table["ess_bulk"].between(1200, 2400).all()
    assert verdict.message in repr(verdict)
    assert "ess_tail" in repr(verdict)


def test_chains_around_different_means_have_not():
    W, H = independent()
    W[1, ..., 0] *= 1.5
    verdict = bn.check(sampled(W, H))
    assert verdict.converged is False
    assert verdict.message.startswith("Not converged: R-hat reaches ")
    assert "try fewer components" in verdict.message
    assert verdict.table.loc["mass[0]", "rhat"] > 1.2
    assert verdict.table.loc["H", "rhat"] < 1.01


def test_the_numbers_are_arvizs():
    """The worst over the entries of WH, mass, W and H, computed entry by entry."""
    fit = sampled(*independent(n_draws=50))
    W, H = (fit.tree[f"posterior/{name}"].to_numpy() for name in ("W", "H"))
    quantities = {"WH": W @ H, "mass[0]": W[..., 0].sum(axis=-1), "W": W, "H": H}
    table = bn.check(fit).table
    for name, draws in quantities.items():
        entries = draws.reshape(2, 50, -1)
        each = [entries[..., i] for i in range(entries.shape[-1])]
        worst = {
            "rhat": max(array_stats.rhat(x) for x in each),
            "ess_bulk": min(array_stats.ess(x, method="bulk") for x in each),
            "ess_tail": min(array_stats.ess(x, method="tail", prob=(0.05, 0.95)) for x in each),
        }
        for number, expected in worst.items():
            assert table.loc[name, number] == pytest.approx(float(expected), rel=1e-6)


def test_only_the_log_density_differs():
    lp = np.random.default_rng(1).normal([[0.0], [3.0]], size=(2, 1000))
    verdict = bn.check(sampled(*independent(), lp))
    assert verdict.converged is False
    assert "(log density;" in verdict.message


def test_sticky_chains_have_few_effective_draws():
    W, H = independent(n_draws=500)
    verdict = bn.check(sampled(np.repeat(W, 20, axis=1)[:, :500], H))
    assert verdict.converged is False
    assert "ESS falls to" in verdict.message
    assert verdict.table.loc["W", "ess_bulk"] < 200 < verdict.table.loc["H", "ess_bulk"]


def test_scales_and_permutations_do_not_matter():
    """Raw factors of these draws never converge, but no identifiable quantity depends on that."""
    W, H = independent()
    rng = np.random.default_rng(2)
    scale = rng.lognormal(0, 2, (*W.shape[:2], 2)) * [[[1.0]], [[50.0]]]
    # Halfway through each chain the labels switch.
    order = np.where(np.arange(1000)[:, None] < 500, [0, 1], [1, 0])
    other_W = np.take_along_axis(W * scale[..., None, :], order[None, :, None, :], axis=-1)
    other_H = np.take_along_axis(H / scale[..., None], order[None, ..., None], axis=-2)
    a, b = bn.check(sampled(W, H)), bn.check(sampled(other_W, other_H))
    # Ranks break ties between the two draws nearest to a median by their last digits.
    pd.testing.assert_frame_equal(a.table, b.table, rtol=1e-4)
    assert b.converged is True


def test_constant_entries_are_left_out():
    W, H = independent()
    W[:, :, 2] = 0.0  # an empty row
    verdict = bn.check(sampled(W, H))
    assert verdict.converged is True
    assert verdict.table[["rhat", "ess_bulk", "ess_tail"]].notna().all(axis=None)
    W[..., 1], H[..., 1, :] = 0.0, 0.0  # an empty component
    verdict = bn.check(sampled(W, H))
    assert verdict.converged is True
    assert np.isnan(verdict.table.loc["mass[1]", "rhat"])


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # by ArviZ
def test_draws_that_are_not_finite_have_not_converged():
    lp = np.random.default_rng(1).normal(size=(2, 1000))
    lp[0, 3] = np.nan
    verdict = bn.check(sampled(*independent(), lp))
    assert verdict.converged is False
    assert "draws of the log density are not finite" in verdict.message


def test_a_chain_that_never_moved_has_not_converged():
    W, H = independent()
    W[1], H[1] = W[1, :1], H[1, :1]
    assert bn.check(sampled(W, H)).converged is False


def test_one_chain_is_refused():
    verdict = bn.check(sampled(*independent(n_chains=1)))
    assert verdict.converged is None
    assert verdict.table["rhat"].isna().all()
    assert verdict.table["ess_bulk"].notna().all()
    assert verdict.message.startswith(
        "Cannot judge convergence: R-hat needs at least two chains, and this fit has one"
    )


def test_few_draws_are_refused():
    verdict = bn.check(sampled(*independent(n_draws=3)))
    assert verdict.converged is None
    assert "needs at least 4 draws a chain, and this fit has 3" in verdict.message


def test_divergences_are_told():
    diverging = np.zeros((2, 1000), bool)
    diverging[0, :7] = True
    assert (
        "7 transitions diverged" in bn.check(sampled(*independent(), diverging=diverging)).message
    )
    assert "diverged" not in bn.check(sampled(*independent(), diverging=~diverging & False)).message


def test_large_matrices_are_diagnosed_on_a_fixed_subset(monkeypatch):
    monkeypatch.setattr(convergence, "MAX_ENTRIES", 6)
    fit = sampled(*independent())
    a, b = bn.check(fit), bn.check(fit)
    assert a.table["entries"].tolist() == [6, 1, 1, 1, 6, 6]
    pd.testing.assert_frame_equal(a.table, b.table)


def test_a_mode_has_nothing_to_diagnose():
    fit = small.fitted("poisson", "map")
    verdict = bn.check(fit)
    assert verdict.converged == fit.converged
    assert verdict.table.empty
    assert verdict.message.startswith("A MAP estimate has no draws to diagnose; it ")
    assert repr(verdict) == verdict.message


def test_a_variational_fit_is_called_one():
    fit = small.fitted("poisson", "svi")
    verdict = bn.check(fit)
    assert verdict.converged is True
    assert verdict.converged == fit.converged
    assert "R-hat and ESS say nothing of the approximation" in verdict.message
    assert verdict.table["rhat"].isna().all()


def test_mcmc_records_the_verdict():
    fit = small.fitted("poisson", "mcmc")
    verdict = bn.check(fit)
    assert verdict.converged is fit.converged is False
    assert verdict.message in fit.message


def test_a_parameter_of_the_likelihood_that_never_moved_is_named():
    fitted = small.fitted("gamma", "mcmc")
    tree = fitted.tree.copy(deep=True)
    shape = tree["posterior/shape"]
    tree["posterior/shape"] = shape.copy(data=np.ones(shape.shape))
    verdict = bn.check(Fit(tree, fitted.model))
    assert verdict.converged is False
    assert verdict.message.startswith("Not converged: shape never moved in a chain")
    assert "never moved" not in bn.check(fitted).message
