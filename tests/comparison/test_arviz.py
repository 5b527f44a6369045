"""ArviZ's own functions on the tree of `Fit.to_arviz`, whose numbers they must share with ours."""

from __future__ import annotations

import logging
from functools import cache

import arviz as az
import numpy as np
import pytest
import small
import synthetic
from exact import law
from matplotlib import pyplot as plt

import bayesnmf as bn
from bayesnmf.posterior.groups import COMPONENT

pytestmark = [
    # Forty draws are few, and ArviZ says so, as we do.
    pytest.mark.filterwarnings(
        "ignore:Estimated shape",
        "ignore:Pareto k",
        "ignore:[0-9]+ draws are few",
        "ignore:.*look discrete",
        "ignore:invalid value encountered:RuntimeWarning:arviz_stats",
        "ignore:divide by zero encountered:RuntimeWarning:arviz_stats",
    )
]
#: `make test-long` has the others, which take the same way through the code.
every_likelihood = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("poisson", "gaussian") else pytest.mark.long)
        for name in small.PLAIN
    ],
)
only_counts = pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
#: With missing cells, and without.
forms = pytest.mark.parametrize("form", ["missing", "complete"])


@pytest.fixture(autouse=True)
def no_figures():
    """Draw without a display, and forget the figures."""
    before = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@cache
def fit_of(name, form="missing"):
    """Return a fit of data with missing cells, or of complete ones from made-up draws."""
    if form == "missing":
        return small.fitted(name, "mcmc")
    likelihood, rng = small.LIKELIHOODS[name], np.random.default_rng(4)
    size = 0.3 if name == "beta" else 3.0
    W, H = (rng.gamma(50.0, size / 50, (2, 40, *shape)) for shape in ((6, 2), (2, 5)))
    truth = small.parameters(likelihood)
    V = law(likelihood, W[0, 0] @ H[0, 0], **truth).rvs(random_state=rng) + 0.0
    sites = {key: rng.gamma(50.0, x / 50, (2, 40)) for key, x in truth.items()}
    return synthetic.assembled(W, H, V=V, model=small.model(name), sites=sites)


@cache
def tree_of(name, form="missing"):
    return fit_of(name, form).to_arviz()


def axes_with_data():
    """Return the axes of all figures in which something is drawn."""
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    axes = [ax for figure in figures for ax in figure.axes]
    return [ax for ax in axes if ax.lines or ax.collections or ax.patches]


# -- numbers ------------------------------------------------------------------------------------


@forms
@every_likelihood
def test_loo_is_ours(name, form):
    theirs = az.loo(tree_of(name, form), pointwise=True)
    ours = bn.loo(fit_of(name, form), progress=False)
    assert theirs.elpd == pytest.approx(ours.elpd, rel=1e-10)
    assert theirs.se == pytest.approx(ours.se, rel=1e-10)
    assert theirs.p == pytest.approx(ours.p, rel=1e-8)
    np.testing.assert_allclose(theirs.elpd_i.to_numpy().ravel(), ours.elpd_i, rtol=1e-8)
    k = theirs.pareto_k.to_numpy().ravel()
    np.testing.assert_allclose(np.where(np.isnan(k), np.inf, k), ours.pareto_k, rtol=1e-7)
    for dim in ("row", "column"):
        np.testing.assert_array_equal(theirs.elpd_i[dim], ours.elpd_i[dim])


def test_compare_is_ours():
    V = small.data(small.LIKELIHOODS["poisson"], missing=0.1)
    fits = {
        name: small.run(V, small.model(name), "mcmc") for name in ("poisson", "negative_binomial")
    }
    theirs = az.compare(
        {name: fit.to_arviz("log_likelihood") for name, fit in fits.items()}, round_to="none"
    )
    ours = bn.compare(fits, progress=False)
    assert theirs.index.tolist() == ours.index.tolist()
    np.testing.assert_allclose(theirs["elpd"], ours["elpd"], rtol=1e-8)
    np.testing.assert_allclose(theirs["weight"], ours["weight"], atol=1e-6)


@every_likelihood
def test_psense_summary_has_a_row_an_entry(name, caplog):
    caplog.set_level(logging.CRITICAL)
    tree = tree_of(name)
    table = az.psense_summary(tree)
    n_entries = sum(
        x.isel(chain=0, draw=0).size for x in tree["posterior"].dataset.data_vars.values()
    )
    assert len(table) == n_entries
    assert np.isfinite(table[["prior", "likelihood"]]).all(axis=None)
    assert (table[["prior", "likelihood"]] > 0).any(axis=None)


# -- plots --------------------------------------------------------------------------------------


@every_likelihood
def test_plot_loo_pit(name):
    az.plot_loo_pit(tree_of(name))
    (axes,) = axes_with_data()
    x = np.concatenate([line.get_xdata() for line in axes.lines])
    assert np.isfinite(x).all()
    assert len(x) > 10


@pytest.mark.parametrize("group", ["posterior_predictive", "prior_predictive"])
@every_likelihood
def test_plot_ppc_dist(name, group):
    az.plot_ppc_dist(tree_of(name), group=group, num_samples=10, kind="ecdf")
    (axes,) = axes_with_data()
    assert len(axes.lines) == 10 + (group == "posterior_predictive")


@only_counts
def test_plot_ppc_rootogram(name):
    az.plot_ppc_rootogram(tree_of(name))
    assert axes_with_data()


@pytest.mark.parametrize("name", ["gaussian", "gamma", "beta"])
def test_a_rootogram_is_for_counts(name):
    with pytest.raises(ValueError, match="are continuous"):
        az.plot_ppc_rootogram(tree_of(name, "complete"))


@every_likelihood
def test_plot_ppc_pit(name):
    az.plot_ppc_pit(tree_of(name))
    assert axes_with_data()


@every_likelihood
def test_plot_psense_dist(name):
    az.plot_psense_dist(tree_of(name), var_names="W", coords={"row": 0})
    assert len(axes_with_data()) == 2 * small.RANK


@every_likelihood
def test_plot_prior_posterior(name):
    fit = fit_of(name)
    az.plot_prior_posterior(tree_of(name), coords={"row": 0, "column": 0})
    assert len(axes_with_data()) == 2 * small.RANK + len(fit.model.likelihood.priors)


@every_likelihood
def test_plot_khat(name):
    az.plot_khat(az.loo(tree_of(name), pointwise=True))
    (axes,) = axes_with_data()
    n_cells = int((~np.isnan(fit_of(name).V.to_numpy())).sum())
    assert sum(len(one.get_offsets()) for one in axes.collections) == n_cells


def test_the_dimension_of_components_is_not_one_of_arviz():
    """Their table of sensitivities has a dimension "component" of its own."""
    tree = tree_of("poisson")
    assert tree["posterior/W"].dims == ("chain", "draw", "row", COMPONENT)
    again = tree.copy()
    again["posterior"] = tree["posterior"].to_dataset().rename({COMPONENT: "component"})
    with pytest.raises(ValueError, match="component"):
        az.psense_summary(again)
