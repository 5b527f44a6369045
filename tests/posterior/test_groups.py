"""Trees for ArviZ: which groups they have, in which form, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic
import xarray as xr
from exact import law, log_parameter_prior
from scipy import stats

import bayesnmf as bn
from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.data import matrix
from bayesnmf.posterior.groups import ALWAYS, MAKERS, ON_REQUEST
from bayesnmf.predictive.replicates import posterior_predictive

#: Groups whose V must have the same cells.
CELLS = ("observed_data", "log_likelihood", "posterior_predictive", "prior_predictive")
#: Every likelihood; groups see draws alone, so one of them stands for the other method.
fits = pytest.mark.parametrize(
    ("name", "method"),
    small.short_of(
        [*((name, "mcmc") for name in small.PLAIN), ("gaussian", "svi")],
        ("poisson", "mcmc"),
        ("gaussian", "mcmc"),
        ("gaussian", "svi"),
    ),
)


def made_up(V, n_chains=2, n_draws=20, **options):
    """Return a fit of 5 x 4 cells from made-up draws."""
    return synthetic.assembled(*synthetic.draws(n_chains, n_draws), V=V, **options)


def counts(missing=()):
    V = np.random.default_rng(7).poisson(synthetic.W @ synthetic.H) + 0.0
    for cell in missing:
        V[cell] = np.nan
    return V


# -- what is in it ------------------------------------------------------------------------------


def test_every_group_has_a_maker():
    assert set(MAKERS) == set(ON_REQUEST)


@fits
def test_all_groups_have_the_observed_cells(name, method):
    fit = small.fitted(name, method)
    tree = fit.to_arviz()
    assert set(tree.children) == {*ALWAYS, *ON_REQUEST}
    rows, columns = np.nonzero(~np.isnan(fit.V.to_numpy()))
    for group in CELLS:
        V = tree[f"{group}/V"]
        assert V.dims[-1] == "cell"
        np.testing.assert_array_equal(V["row"], rows)
        np.testing.assert_array_equal(V["column"], columns)
        is_count = "poisson" in name or "binomial" in name
        assert V.dtype.kind == ("i" if is_count and group != "log_likelihood" else "f")
        assert np.isfinite(V).all()
    np.testing.assert_array_equal(tree["observed_data/V"], fit.V.to_numpy()[rows, columns])
    for group in ("posterior", "sample_stats"):
        ours = tree[group].to_dataset().rename(k="component")
        assert ours.equals(fit.tree[group].to_dataset())
    assert set(tree["prior"].data_vars) == set(tree["posterior"].data_vars)
    assert {name: x.dims for name, x in tree["log_prior"].data_vars.items()} == {
        name: x.dims for name, x in tree["posterior"].data_vars.items()
    }


@fits
def test_the_log_likelihood_is_scipys(name, method):
    fit = small.fitted(name, method)
    model = fit.model
    W, H = (fit.tree[f"posterior/{factor}"].to_numpy() for factor in ("W", "H"))
    draws = {key: fit.tree["posterior"][key].to_numpy() for key in model.likelihood.priors}
    parameters = {key: x[..., None, None] for key, x in draws.items()}
    cells = law(model.likelihood, W @ H, **parameters)
    is_count = model.likelihood.base_measure == "counting"
    density = cells.logpmf if is_count else cells.logpdf
    V = fit.V.to_numpy()
    seen = ~np.isnan(V)
    expected = density(np.where(seen, V, 0.5))[..., seen]
    found = fit.to_arviz("log_likelihood")["log_likelihood/V"]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@fits
def test_the_log_prior_is_scipys_on_the_original_scale(name, method):
    fit = small.fitted(name, method)
    group = fit.to_arviz("log_prior")["log_prior"]
    for factor, values in zip(("W", "H"), small.originals(fit), strict=True):
        prior = getattr(fit.model, f"prior_{factor}")
        expected = stats.gamma.logpdf(values, prior.shape, scale=1 / prior.rate)
        np.testing.assert_allclose(group[factor], expected, rtol=1e-9)
    for key in fit.model.likelihood.priors:
        values = fit.tree["posterior"][key].to_numpy()
        expected = [log_parameter_prior(fit.model.likelihood, **{key: x}) for x in values.ravel()]
        np.testing.assert_allclose(group[key].to_numpy().ravel(), expected, rtol=1e-9)


@pytest.mark.long
def test_the_log_prior_and_the_log_likelihood_are_the_log_joint_density():
    fit = small.fitted("negative_binomial", "mcmc")
    tree = fit.to_arviz(("log_prior", "log_likelihood"))
    total = sum(
        x.sum([dim for dim in x.dims if dim not in ("chain", "draw")])
        for name in ("log_prior", "log_likelihood")
        for x in tree[name].data_vars.values()
    )
    np.testing.assert_allclose(total, fit.tree["sample_stats/lp"], rtol=1e-9)


def test_the_log_prior_of_a_rate_and_of_what_it_governs():
    rates = np.random.default_rng(3).gamma(3.0, size=(2, 20, 3))
    prior = bn.priors.Gamma(1.5, rate=bn.priors.Gamma(2.0, 0.5))
    model = bn.NMF(3, prior_W=prior, prior_H=bn.priors.Gamma(1.0, 2.0))
    fit = made_up(counts(), model=model, sites={"rate_W": rates})
    group = fit.to_arviz("log_prior")["log_prior"]
    rates = fit.tree["posterior/rate_W"].to_numpy()
    W, _ = small.originals(fit)
    expected = stats.gamma.logpdf(W, 1.5, scale=1 / rates[:, :, None, :])
    np.testing.assert_allclose(group["W"], expected, rtol=1e-9)
    expected = stats.gamma.logpdf(rates, 2.0, scale=1 / 0.5)
    np.testing.assert_allclose(group["rate_W"], expected, rtol=1e-9)


def test_programs_have_all_groups_too():
    model = bn.load_model("cemgil2009", n_components=3, shape_W=1.5)
    fit = made_up(counts([(0, 1)]), model=model)
    tree = fit.to_arviz()
    W, H = small.originals(fit)
    np.testing.assert_allclose(tree["log_prior/W"], stats.gamma.logpdf(W, 1.5, scale=1 / 1.5))
    np.testing.assert_allclose(tree["log_prior/H"], stats.expon.logpdf(H))
    for group in CELLS:
        assert tree[group].sizes["cell"] == 19
    assert tree["prior_predictive/V"].dtype.kind == tree["observed_data/V"].dtype.kind == "i"


# -- in which form ------------------------------------------------------------------------------


def test_cells_carry_their_names_and_unstack_to_the_matrix():
    V = pd.DataFrame(counts(), list("abcde"), list("wxyz"))
    fit = made_up(V)
    tree = fit.to_arviz()
    matrices = {
        group: tree[f"{group}/V"].set_index(cell=["row", "column"]).unstack("cell")
        for group in CELLS
    }
    for V_of in matrices.values():
        assert V_of["column"].values.tolist() == list("wxyz")
    np.testing.assert_array_equal(matrices["observed_data"], V)
    np.testing.assert_array_equal(matrices["posterior_predictive"], posterior_predictive(fit))
    np.testing.assert_array_equal(matrices["log_likelihood"], log_likelihood(fit))


@pytest.mark.parametrize("held_out", [False, True])
def test_sparse_data_give_the_tree_of_dense_ones(held_out):
    V = counts() * (np.arange(20).reshape(5, 4) % 3 > 0)
    dense = made_up(np.where(np.eye(5, 4) * held_out > 0, np.nan, V))
    stored = scipy.sparse.csr_array(V)
    fit = synthetic.assembled(*synthetic.draws(2, 20), V=stored)
    if held_out:
        held = bn.data.SparseMatrix.of(stored, held_out=np.eye(5, 4) > 0)
        fit = bn.Fit(_with_data(fit.tree, held), fit.model)
    ours, theirs = fit.to_arviz(), bn.Fit(dense.tree, fit.model).to_arviz()
    for name in {*ours.children} - {"constant_data"}:
        xr.testing.assert_equal(ours[name].to_dataset(), theirs[name].to_dataset())


def _with_data(tree, data):
    from bayesnmf.posterior.tree import build_tree

    posterior = {name: tree[f"posterior/{name}"].to_numpy() for name in ("W", "H")}
    dims = {"W": ["row", "component"], "H": ["component", "column"]}
    stats = {name: x.to_numpy() for name, x in tree["sample_stats"].data_vars.items()}
    made = build_tree(data, posterior, dims, stats, {}, np.arange(3))
    made.attrs = tree.attrs
    return made


def test_draws_are_thinned_evenly_in_every_chain():
    fit = made_up(counts(), 2, 20)
    tree = fit.to_arviz(num_samples=11)
    kept = [0, 4, 8, 12, 16]
    for group in (
        "posterior",
        "sample_stats",
        "log_likelihood",
        "log_prior",
        "posterior_predictive",
    ):
        assert tree[group]["draw"].values.tolist() == kept
    whole = fit.to_arviz("log_likelihood")["log_likelihood/V"]
    xr.testing.assert_equal(tree["log_likelihood/V"], whole.isel(draw=kept))
    assert tree["prior"].sizes["draw"] == 10


def test_groups_seeds_and_what_stays_out():
    fit = small.fitted("poisson", "mcmc")
    assert set(fit.to_arviz(()).children) == set(ALWAYS)
    again, other = (fit.to_arviz("posterior_predictive", seed=seed) for seed in (0, 1))
    assert again.identical(fit.to_arviz(["posterior_predictive"]))
    assert not again.equals(other)
    assert "method_arrays" not in fit.to_arviz(()).children


def test_float32_stays_float32():
    W, H = (x.astype(np.float32) for x in synthetic.draws(2, 20))
    sites = {"sigma": np.ones((2, 20), np.float32)}
    V = counts().astype(np.float32)
    sigma = bn.likelihoods.Gaussian()
    tree = synthetic.assembled(W, H, V=V, model=bn.NMF(3, sigma), sites=sites).to_arviz()
    assert {x.dtype for x in tree["prior"].data_vars.values()} == {np.dtype(np.float32)}
    assert tree["posterior_predictive/V"].dtype == tree["prior_predictive/V"].dtype == np.float32


# -- refusals -----------------------------------------------------------------------------------


def test_a_map_estimate_is_refused():
    with pytest.raises(ValueError, match=r"is a MAP estimate .* which has no draws for ArviZ"):
        small.fitted("poisson", "map").to_arviz()


@pytest.mark.parametrize("group", ON_REQUEST)
def test_a_lost_model_is_refused(group):
    fit = bn.Fit(made_up(counts()).tree, None)
    assert set(fit.to_arviz(()).children) == set(ALWAYS)
    with pytest.raises(ValueError, match=r"this fit has no model, which .* needs"):
        fit.to_arviz(group)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"groups": ("loglikelihood",)}, ValueError, "unknown group 'loglikelihood' in groups; v"),
        ({"num_samples": 1}, ValueError, "fewer than the 2 chains"),
        ({"num_samples": 0}, ValueError, "at least 1"),
        ({"num_samples": 2.5}, TypeError, "must be an integer"),
    ],
)
def test_bad_arguments_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        made_up(counts()).to_arviz(**options)


@pytest.mark.parametrize("group", [name for name, per_cell in ON_REQUEST.items() if per_cell])
def test_what_does_not_fit_is_refused_with_the_figure(group, monkeypatch):
    fit = made_up(counts(), 2, 20)
    monkeypatch.setattr(matrix, "DENSE_BUDGET", 8 * 40 * 20 - 1)
    with pytest.raises(
        MemoryError, match=rf"group {group} of shape \(2, 20, 5, 4\) would take 6e-06 GiB"
    ):
        fit.to_arviz(group)
    fit.to_arviz(("log_prior", "prior"))
    assert fit.to_arviz(group, num_samples=38)[group].sizes["draw"] in (19, 38)


def test_chains_in_several_modes_warn():
    W, H = synthetic.draws(2, 60)
    H[1], W[1] = H[1][:, :, ::-1], W[1][:, ::-1]
    fit = synthetic.assembled(W, H, V=counts())
    assert fit.chain_modes.max() == 1
    with pytest.warns(UserWarning, match="are in 2 modes"):
        fit.to_arviz("log_prior")
