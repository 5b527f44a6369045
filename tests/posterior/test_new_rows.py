"""W of new rows: exact draws given each draw of H, for every likelihood and storage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic
from exact import law
from scipy import stats

import bayesnmf as bn
from bayesnmf.priors import Gamma

COLUMNS = list("vwxyz")
every_likelihood = pytest.mark.parametrize("name", small.PLAIN)


def labelled(V):
    return pd.DataFrame(V, columns=COLUMNS)


@pytest.mark.parametrize("name", small.short_of(list(small.PLAIN), "poisson", "gaussian"))
def test_a_map_estimate_gives_the_rows_of_the_fit_back(name):
    V = labelled(small.data(small.LIKELIHOODS[name], missing=0.1))
    fit = small.run(V, small.model(name), bn.MAP(n_init=2, tol=1e-6))
    again = bn.transform(fit, V[COLUMNS[::-1]])
    assert again.converged
    np.testing.assert_allclose(again.W, fit.W, rtol=0.02, atol=1e-4 * float(fit.W.max()))
    np.testing.assert_allclose(again.H.sel(column=COLUMNS), fit.H, rtol=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("poisson", "gaussian") else pytest.mark.long)
        for name in small.PLAIN
    ],
)
def test_ranks_of_the_truth_are_uniform(name):
    """Given H and the parameters, the true W of each row is like the draws of it."""
    n_rows, n_draws, rng = 200, 40, np.random.default_rng(4)
    likelihood, prior = small.LIKELIHOODS[name], Gamma(1.4, 1.1)
    lift = 0.2 if name == "beta" else 1.0
    H = lift * rng.gamma(1.5, 1.0, (2, 5))
    W = rng.gamma(prior.shape, 1 / prior.rate, (n_rows, 2))
    parameters = small.parameters(likelihood)
    V = np.asarray(law(likelihood, W @ H, **parameters).rvs((n_rows, 5), random_state=rng), float)
    V = np.clip(V, 1e-9, 1 - 1e-9) if name == "beta" else V
    learned = synthetic.assembled(
        rng.gamma(1.0, 1.0, (2, n_draws // 2, 6, 2)),
        np.broadcast_to(H, (2, n_draws // 2, 2, 5)),
        V=small.data(likelihood),
        model=bn.NMF(2, likelihood, prior, Gamma(1.5, 1.0)),
        sites={p: np.full((2, n_draws // 2), value) for p, value in parameters.items()},
    )
    found = bn.transform(learned, V, seed=1)
    drawn = (found.tree["posterior/W"] / found.tree["sample_stats/scale"]).to_numpy()
    scale = learned.tree["sample_stats/scale"].to_numpy()[0, 0]
    truth = W if np.allclose(scale, H.sum(axis=1)) else W[:, ::-1]
    ranks = (drawn.reshape(n_draws, n_rows, 2) < truth).sum(axis=0)
    uniform = (ranks + rng.random(ranks.shape)) / (n_draws + 1)
    p = [stats.kstest(uniform[:, k], "uniform").pvalue for k in range(2)]
    assert min(p) > 1e-3 / 10, p


@pytest.mark.parametrize("method", small.short_of(["svi", "mcmc"], "mcmc"))
def test_the_uncertainty_of_H_is_carried(method):
    """Of one component W_i given h is gamma: draws at different h follow different distributions."""
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, bn.NMF(1, "poisson", Gamma(1.4, 0.7), Gamma(1.0, 1.0)), method)
    found = bn.transform(fit, V + 1)
    tree = found.tree
    scale = tree["sample_stats/scale"].to_numpy().reshape(-1, 1)
    W = tree["posterior/W"].to_numpy().reshape(-1, len(V)) / scale
    exact = stats.gamma(1.4 + (V + 1).sum(axis=1), scale=1 / (0.7 + scale))
    assert stats.kstest(exact.cdf(W).ravel(), "uniform").pvalue > 1e-4
    assert np.isfinite(tree["sample_stats/lp"]).all()


@pytest.mark.parametrize("method", small.short_of(["map", "mcmc"], "map"))
def test_sparse_rows_and_missing_cells(method):
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, small.model("poisson"), method)
    dense, sparse = bn.transform(fit, V), bn.transform(fit, scipy.sparse.csr_array(V))
    np.testing.assert_allclose(sparse.W, dense.W, rtol=0.01 if method == "map" else 0.6)
    V = V.copy()
    V[0, :4] = np.nan
    assert np.isfinite(bn.transform(fit, V).W).all()


def test_names_files_and_checks_go_on(tmp_path):
    V = labelled(small.data(small.LIKELIHOODS["poisson"]))
    fit = small.run(V, small.model("poisson"), "mcmc").rename({0: "first"})
    found = bn.transform(fit, V.rename(index=lambda i: f"new {i}"))
    assert found.W["component"].values.tolist() == ["first", "1"]
    assert found.W["row"].values[0] == "new 0"
    found.save(tmp_path / "rows.nc")
    again = bn.load(tmp_path / "rows.nc")
    assert again.tree["posterior"].dataset.identical(found.tree["posterior"].dataset)
    assert len(bn.ppc(found, num_samples=20, progress=False).table)
    with pytest.raises(ValueError, match="cannot be resumed"):
        bn.resume(found, 5)


def test_known_arrays_of_new_rows_are_given():
    V, E = np.full((6, 5), 3.0), np.random.default_rng(1).uniform(0.5, 2.0, (6, 5))
    fit = small.run(V, bn.NMF(1, bn.likelihoods.Poisson(exposure=E)), "map")
    with pytest.raises(ValueError, match="give that of the new rows, as exposure="):
        bn.transform(fit, V)
    found = bn.transform(fit, 2 * V, exposure=2 * E)
    np.testing.assert_allclose(found.W, fit.W, rtol=0.05)
    with pytest.raises(TypeError, match="no parameter 'sigma'; valid: exposure"):
        bn.transform(fit, V, sigma=E)


@pytest.mark.parametrize(
    ("V", "words"),
    [
        (np.ones((2, 4)), "have 4 columns, but the fit has 5"),
        (pd.DataFrame(np.ones((2, 5)), columns=list("vwxyq")), "'z' not in the new rows, 'q' of"),
        (-np.ones((2, 5)), "is negative, but counts are not"),
    ],
)
def test_rows_that_do_not_fit_are_refused(V, words):
    fit = small.run(
        labelled(small.data(small.LIKELIHOODS["poisson"])), small.model("poisson"), "map"
    )
    V = labelled(V) if isinstance(V, np.ndarray) and V.shape[1] == 5 else V
    with pytest.raises(ValueError, match=words):
        bn.transform(fit, V)


def test_programs_are_refused():
    fit = small.run(small.data(small.LIKELIHOODS["poisson"]), bn.load_model("cemgil2009"), "map")
    with pytest.raises(ValueError, match="this fit is of a program"):
        bn.transform(fit, np.ones((2, 5)))
