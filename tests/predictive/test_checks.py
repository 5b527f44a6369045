"""Predictive checks: statistics against NumPy, false alarms, and faults that must be found."""

from __future__ import annotations

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic
from exact import RankOne, law
from scipy import stats

import bayesnmf as bn
from bayesnmf.likelihoods import numpy_draws
from bayesnmf.predictive import blocks as row_blocks
from bayesnmf.predictive import checks as predictive_checks
from bayesnmf.predictive import discrepancies
from bayesnmf.predictive import statistics as replicated
from bayesnmf.predictive.checks import ppc
from bayesnmf.priors import Gamma

SHAPE = (12, 9)
#: Priors of W and H in the simulations: shape and rate.
PRIOR_W, PRIOR_H = (2.0, 0.3), (1.5, 0.5)


def exact_fit(V, size=100, seed=0):
    """Return independent draws of the exact rank-one posterior as a fit."""
    w, h = RankOne(V, *PRIOR_W, *PRIOR_H).sample(np.random.default_rng(seed), size)
    model = bn.NMF(1, "poisson", bn.priors.Gamma(*PRIOR_W), bn.priors.Gamma(*PRIOR_H))
    return synthetic.assembled(w[None, :, :, None], h[None, :, None, :], V=V, model=model)


def rank_one_mean(rng):
    w = rng.gamma(PRIOR_W[0], 1 / PRIOR_W[1], SHAPE[0])
    return np.outer(w, rng.gamma(PRIOR_H[0], 1 / PRIOR_H[1], SHAPE[1]))


class Unmeasured(dist.Normal):
    """A distribution without a variance, as some of NumPyro's are."""

    @property
    def variance(self):
        raise NotImplementedError


# -- the statistics -----------------------------------------------------------------------------


def by_numpy(V, cells):
    """Return the statistics that involve no random number; NaN is missing."""
    mean, variance = cells.stats("mv")
    seen = ~np.isnan(V)
    excess, variance = np.where(seen, V - mean, 0.0), np.where(seen, variance, 0.0)
    residual = np.where(seen, excess / np.sqrt(np.where(seen, variance, 1.0)), 0.0)
    result = {
        "zeros": np.mean(V[seen] == 0),
        "dispersion": np.mean(residual[seen] ** 2),
        "maximum": np.nanmax(V),
        "row totals": sum(excess.sum(1) ** 2 / variance.sum(1)),
        "column totals": sum(excess.sum(0) ** 2 / variance.sum(0)),
    }
    values = np.linalg.svd(residual, compute_uv=False)
    return result | {f"singular value {k + 1}": values[k] for k in range(3)}


@pytest.mark.parametrize("name", small.short_of(list(small.LIKELIHOODS), *small.DISTINCT))
def test_statistics_are_those_of_numpy(name):
    rng = np.random.default_rng(3)
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=0.2)
    scale = 0.5 if likelihood.name == "beta" else 2.0
    W, H = rng.gamma(1.5, scale, (1, 4, 6, 2)), rng.gamma(1.5, scale, (1, 4, 2, 5))
    sites = {
        key: x * rng.uniform(0.5, 2.0, (1, 4)) for key, x in small.parameters(likelihood).items()
    }
    fit = synthetic.assembled(W, H, V=V, model=small.model(name), sites=sites)
    checks = ppc(fit, num_samples=4)
    for s in range(4):
        cells = law(likelihood, W[0, s] @ H[0, s], **{key: x[0, s] for key, x in sites.items()})
        for statistic, value in by_numpy(V, cells).items():
            assert checks.observed[statistic][s] == pytest.approx(value, rel=1e-8), statistic


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (700, 300)])
def test_singular_values(shape, float64):
    rng = np.random.default_rng(4)
    R = rng.standard_normal(shape)
    ours = jax.jit(discrepancies.singular_values, static_argnums=1)(R, 3)
    theirs = np.linalg.svd(R, compute_uv=False)[:3]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10 if min(shape) < 256 else 0.02)
    assert (np.asarray(ours) <= theirs * (1 + 1e-10)).all()


def test_smooth_statistic_is_legendres(float64):
    u = np.random.default_rng(5).random(50)
    total = 0.0
    for k in range(1, 5):
        polynomial = np.polynomial.legendre.Legendre.basis(k, domain=[0, 1])
        total += (2 * k + 1) * polynomial(u).sum() ** 2 / len(u)
    assert float(discrepancies.smooth(u)) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", small.PLAIN)
def test_transforms_are_uniform_where_the_law_is_right(name, float64):
    """Kolmogorov-Smirnov with a false-alarm rate of 1e-4 for each likelihood."""
    likelihood = small.LIKELIHOODS[name]
    mean = np.random.default_rng(6).gamma(1.5, 1.0, (60, 50))
    truth = small.parameters(likelihood)
    v = law(likelihood, mean, **truth).rvs(mean.shape, random_state=7) + 0.0
    at = tuple(x.ravel() for x in np.indices(mean.shape))
    cells = likelihood.distribution(mean, **truth)
    u = np.asarray(discrepancies.pit(v, cells, at, jax.random.key(0)))
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    if not cells.support.is_discrete:
        exact = law(likelihood, mean, **truth).cdf(v)
        np.testing.assert_allclose(u.reshape(mean.shape), exact, rtol=1e-9, atol=1e-12)


def test_a_law_without_distribution_function_has_no_transform(float64):
    at = (np.array([0]), np.array([1]))
    cells = dist.Delta(np.zeros((2, 2))).mask(True)
    assert discrepancies.pit(np.zeros((2, 2)), cells, at, None) is None


# -- false alarms and power ---------------------------------------------------------------------


def test_data_of_the_model_pass():
    """The exact posterior of 40 data sets: P(p < 0.05) must not exceed its level.

    More than 7 of 40 at a rate of 0.05 has probability 7e-4, for each of 10 statistics.
    """
    rng = np.random.default_rng(11)
    small_p, fits = {}, 0
    for seed in range(40):
        V = rng.poisson(rank_one_mean(rng)) + 0.0
        checks = ppc(exact_fit(V, seed=seed), num_samples=100, seed=seed)
        fits += checks.message.startswith("Fits")
        for name, p in checks.table["p"].items():
            small_p[name] = small_p.get(name, 0) + (p < 0.05)
    assert len(small_p) == 10
    assert max(small_p.values()) <= 7, small_p
    assert fits >= 24


def test_a_missing_component_is_found():
    rng = np.random.default_rng(12)
    V = rng.poisson(rank_one_mean(rng) + 2 * rank_one_mean(rng)) + 0.0
    checks = ppc(exact_fit(V), num_samples=100)
    assert checks.table.loc["singular value 1", "p"] < 0.05
    assert checks.message.startswith("Rank too low: the residuals share structure")


def test_overdispersed_counts_are_no_missing_component():
    rng = np.random.default_rng(13)
    mean = np.full(SHAPE, 20.0)
    V = rng.negative_binomial(6.0, 6.0 / (6.0 + mean)) + 0.0
    checks = ppc(exact_fit(V), num_samples=100)
    assert checks.table.loc["dispersion", "p"] < 0.05
    assert checks.table.loc["singular value 1", "p"] < 0.05  # which alone would ask for rank
    assert checks.message.startswith("Overdispersed: try the negative binomial")


# -- the result ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "parts", "absent"),
    [
        ({}, ["Fits: no statistic exceeds"], []),
        ({"singular value 1": 0.0}, ["Does not fit", "singular value 1 (p = 0)"], ["Fits"]),
        ({"structure": 0.0}, ["Does not fit", "structure (p = 0)"], ["Fits"]),
        ({"singular value 2": 0.0}, ["Does not fit", "singular value 2 (p = 0)"], ["Fits"]),
        ({"singular value 1": 0.0, "structure": 0.0}, ["Rank too low"], ["noise", "singular"]),
        (
            {"singular value 1": 0.0, "structure": 0.0, "dispersion": 0.0},
            ["Rank too low", "the noise looks too large"],
            ["Overdispersed"],
        ),
        (
            {"singular value 1": 0.0, "structure": 0.0, "dispersion": 0.97},
            ["Rank too low", "Underdispersed"],
            ["looks too large"],
        ),
        ({"dispersion": 0.01, "zeros": 0.02}, ["Overdispersed", "Also too large", "zeros"], []),
    ],
)
def test_the_verdict_says_what_the_p_values_do(p, parts, absent):
    names = ["singular value 1", "singular value 2", "structure", "dispersion", "zeros"]
    said = predictive_checks._in_words(
        exact_fit(np.ones(SHAPE)), pd.Series({**dict.fromkeys(names, 0.5), **p})
    )
    assert all(part in said for part in parts)
    assert not any(part in said for part in absent)


def test_the_table_summarises_the_replicates():
    checks = ppc(exact_fit(np.random.default_rng(14).poisson(9.0, SHAPE) + 0.0), num_samples=50)
    assert checks.table.columns.tolist() == ["observed", "replicated", "5%", "95%", "p"]
    for name, row in checks.table.iterrows():
        theirs, ours = checks.replicated[name], checks.observed[name]
        assert theirs.shape == ours.shape == (50,)
        expected = [ours.mean(), theirs.mean(), *np.quantile(theirs, [0.05, 0.95]), 0.0]
        expected[-1] = np.mean(theirs >= ours)
        np.testing.assert_allclose(row, expected, rtol=1e-12)
    assert str(checks).splitlines()[0] == checks.message


def test_missing_cells_leave_every_statistic():
    W, H = synthetic.draws(1, 20)
    V = np.random.default_rng(15).poisson(synthetic.W @ synthetic.H) + 0.0
    V[1, 2] = np.nan
    fit = synthetic.assembled(W, H, V=V)
    before = ppc(fit, num_samples=20)
    # The cell's value cannot matter, nor the factors that only this cell depends on.
    assert np.isfinite(before.table.to_numpy()).all()
    assert before.observed["maximum"][0] == np.nanmax(V)


def test_sparse_data_are_checked_by_all_their_cells():
    V = np.random.default_rng(16).poisson(0.3, (20, 15)) + 0.0
    V[0], V[:, 0] = 1.0, 1.0
    fit = small.run(scipy.sparse.csr_array(V), bn.NMF(2, "poisson", Gamma(2.0), Gamma(2.0)), "map")
    assert "V_value" in fit.tree["observed_data"]
    checks = ppc(fit, num_samples=10)
    for statistic, value in by_numpy(V, stats.poisson(fit.mean.to_numpy())).items():
        assert checks.observed[statistic][0] == pytest.approx(value, rel=1e-6), statistic


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("exact_side", [256, 4])
def test_blocks_of_rows_change_nothing(sparse, exact_side, monkeypatch):
    """Of the data, that is: replicates are drawn in another order.

    Above the side for which all singular values are found, a Krylov space of full dimension is.
    """
    V = np.random.default_rng(17).poisson(1.0, (23, 9)) + 0.0
    V[3, 4] = V[22, 1] = np.nan
    V[0, 0] = 9.0
    W, H = (
        np.random.default_rng(18).gamma(2.0, 0.5, shape) for shape in ((1, 3, 23, 2), (1, 3, 2, 9))
    )
    V = scipy.sparse.csr_array(V) if sparse else V
    fit = synthetic.assembled(W, H, V=V)
    assert ("V_value" in fit.tree["observed_data"]) == sparse
    whole = ppc(fit, num_samples=3)
    monkeypatch.setattr(row_blocks, "BLOCK_CELLS", 50)
    monkeypatch.setattr(replicated, "EXACT_SIDE", exact_side)
    assert len(row_blocks.RowBlocks(fit).blocks) == 5
    parts = ppc(fit, num_samples=3)
    for name in set(whole.observed) - {"calibration"}:  # which chooses its cells block by block
        np.testing.assert_allclose(parts.observed[name], whole.observed[name], rtol=1e-8)
    np.testing.assert_allclose(parts.observed_spectrum, whole.observed_spectrum, rtol=1e-5)
    assert np.isfinite(parts.table.to_numpy()).all()


@pytest.mark.parametrize("name", small.PLAIN)
def test_numpy_draws_from_the_same_law(name, float64):
    """Kolmogorov-Smirnov of randomised transforms: a false-alarm rate of 1e-4 for each."""
    likelihood, rng = small.LIKELIHOODS[name], np.random.default_rng(19)
    mean, truth = rng.gamma(1.5, 1.0, (60, 50)), small.parameters(likelihood)
    cells = likelihood.distribution(mean, **truth)
    v = numpy_draws.draw_cells(cells, rng, None)  # no key: NumPyro is not asked
    exact = law(likelihood, mean, **truth)
    u = exact.cdf(v) - (rng.random(v.shape) * exact.pmf(v) if cells.support.is_discrete else 0.0)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4


def test_a_mode_says_so_and_uses_its_draw_repeatedly():
    W, H = synthetic.draws(1, 1)
    checks = ppc(synthetic.assembled(W, H, method="map"), num_samples=30)
    assert "Replicates are drawn at the MAP estimate" in checks.message
    assert np.ptp(checks.observed["dispersion"]) == 0
    assert np.ptp(checks.replicated["dispersion"]) > 0


def test_a_program_is_checked_as_the_same_model():
    W, H = synthetic.draws(2, 10)
    program = bn.load_model("cemgil2009", n_components=3)
    ours = ppc(synthetic.assembled(W, H), num_samples=20)
    theirs = ppc(synthetic.assembled(W, H, model=program), num_samples=20)
    np.testing.assert_allclose(theirs.table, ours.table, rtol=1e-10)


def test_equal_shapes_are_compiled_once():
    fit = synthetic.assembled(*synthetic.draws(1, 20))
    ppc(fit, num_samples=20)
    before = replicated._sums_of_rows._cache_size()
    ppc(synthetic.assembled(*synthetic.draws(1, 20, seed=5)), num_samples=20, seed=3)
    assert replicated._sums_of_rows._cache_size() == before


def test_what_cannot_be_checked_is_refused():
    W, H = synthetic.draws(1, 4)
    with pytest.raises(ValueError, match=r"1\.5 is not an integer"):
        ppc(synthetic.assembled(W, H, V=np.full((5, 4), 1.5), method="map"))
    with pytest.raises(ValueError, match="has no model, which drawing data needs"):
        ppc(bn.Fit(synthetic.assembled(W, H).tree, None))
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        ppc(synthetic.assembled(W, H), num_samples=0)
    W[0, 1, 2] = np.nan
    with pytest.raises(ValueError, match="is not finite at 1 of 4 draws"):
        ppc(synthetic.assembled(W, H, V=np.ones((5, 4))), num_samples=4)


@pytest.mark.parametrize(
    ("noise", "match"),
    [
        (dist.StudentT(1.5, 0.0, 1.0), "finite mean and variance"),
        (Unmeasured(0.0, 1.0), "no mean, variance or sampler"),
    ],
)
def test_a_program_without_a_variance_is_refused(noise, match):
    def heavy(V=None, shape=None):
        n_rows, n_columns = shape if V is None else V.shape
        numpyro.sample("W", dist.Exponential(1.0).expand([n_rows, 3]).to_event(2))
        numpyro.sample("H", dist.Exponential(1.0).expand([3, n_columns]).to_event(2))
        with numpyro.plate("row", n_rows, dim=-2), numpyro.plate("column", n_columns, dim=-1):
            numpyro.sample("V", noise, obs=V)

    fit = synthetic.assembled(*synthetic.draws(1, 4), model=bn.model.as_model(heavy))
    with pytest.raises(ValueError, match=match):
        ppc(fit, num_samples=4)
