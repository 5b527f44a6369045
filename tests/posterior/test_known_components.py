"""Known components: they stay as they are, and their weights are those of regression on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
from scipy import optimize, stats

import bayesnmf as bn
from bayesnmf.priors import Exponential, Gamma

N_ROWS, N_COLUMNS = small.SHAPE
every_method = pytest.mark.parametrize("method", small.METHODS)
ROWS, COLUMNS = [f"row {i}" for i in range(N_ROWS)], list("vwxyz")


def reference(number=2):
    """Return known rows of H, one of them with a zero, in another order than the data's columns."""
    values = np.random.default_rng(3).gamma(1.0, 1.0, (number, N_COLUMNS))
    values[0, 1] = 0.0
    return pd.DataFrame(values, ["first", "second"][:number], COLUMNS)[COLUMNS[::-1]]


def table(name="poisson", missing=0.0):
    return pd.DataFrame(small.data(small.LIKELIHOODS[name], missing=missing), ROWS, COLUMNS)


#: What the short suite runs of all likelihoods and methods.
SHORT = (("poisson", "map"), ("gaussian", "map"))


@pytest.mark.parametrize(
    ("name", "method", "n_components"),
    [
        *(
            pytest.param(name, method, 3, marks=[] if (name, method) in SHORT else pytest.mark.long)
            for name in small.PLAIN
            for method in small.METHODS
        ),
        *small.short_of([(name, "map", 2) for name in small.PLAIN], ("poisson", "map", 2)),
        ("poisson", "svi", 2),
        ("poisson", "mcmc", 2),
        pytest.param("gaussian", "mcmc", 2, marks=pytest.mark.long),
    ],
)
def test_they_keep_their_values_their_order_and_their_names(name, method, n_components):
    model = bn.NMF(n_components, small.LIKELIHOODS[name], H=reference())
    fit = small.run(table(name), model, method)
    known = fit.tree["posterior/H"].isel(component=slice(2)).to_numpy()
    ordered = reference()[COLUMNS].to_numpy()
    np.testing.assert_allclose(
        known,
        np.broadcast_to(ordered / ordered.sum(axis=1, keepdims=True), known.shape),
        rtol=1e-12,
    )
    assert (known[..., 0, 1] == 0).all()
    assert fit.W["component"].values.tolist() == ["first", "second", "2"][:n_components]
    assert (fit.tree["sample_stats/scale"][..., :2] == ordered.sum(axis=1)).all()
    assert fit.n_known == 2
    assert fit.known == {"W": 0, "H": 2}
    assert np.isfinite(fit.W).all()


@pytest.mark.parametrize(
    ("name", "method"),
    small.short_of(
        [*((name, "map") for name in small.PLAIN), ("poisson", "mcmc")], ("gaussian", "map")
    ),
)
def test_known_columns_of_W_are_known_rows_of_the_transposed_data(name, method):
    V = table(name)
    prior, flipped = Gamma(1.3, 0.7), Gamma(1.1, 0.9)
    likelihood = small.LIKELIHOODS[name]
    method = bn.MAP(n_init=8, max_iter=200) if method == "map" else method  # of the same optimum
    by_H = small.run(V, bn.NMF(3, likelihood, prior, flipped, H=reference()), method)
    by_W = small.run(V.T, bn.NMF(3, likelihood, flipped, prior, W=reference().T), method)
    assert by_W.known == {"W": 2, "H": 0}
    if isinstance(method, bn.MAP):
        # The optimum is the same, whichever factor is called W.
        best = [fit.tree.attrs["objective"] for fit in (by_H, by_W)]
        assert best[1] == pytest.approx(best[0], rel=1e-3)
        np.testing.assert_allclose(by_W.mean.T, by_H.mean, rtol=0.1, atol=0.05)
    whole = (by_W.tree["posterior/W"] / by_W.tree["sample_stats/scale"]).to_numpy()
    expected = np.broadcast_to(reference().T.loc[COLUMNS].to_numpy(), (*whole.shape[:3], 2))
    np.testing.assert_allclose(whole[..., :2], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("solver", "storage"),
    [
        *(("newton", storage) for storage in ("dense", "masked", "sparse", "sparse, masked")),
        *(
            pytest.param(solver, storage, marks=pytest.mark.long)
            for solver in ("accelerated", "mu")
            for storage in ("dense", "sparse, masked")
        ),
    ],
)
def test_a_map_refit_is_poisson_regression_of_every_row(solver, storage):
    V, H = table(missing=0.2 if "masked" in storage else 0.0), reference()[COLUMNS].to_numpy()
    given = V
    if "sparse" in storage:
        given = scipy.sparse.csr_array(V.to_numpy())
    model = bn.NMF(prior_W="flat", prior_H="flat", H=H)
    fit = small.run(given, model, bn.MAP(solver=solver, n_init=1, tol=1e-10, max_iter=20_000))
    W = (fit.tree["posterior/W"] / fit.tree["sample_stats/scale"]).to_numpy()[0, 0]

    for v, w in zip(V.to_numpy(), W, strict=True):
        seen = ~np.isnan(v)

        def objective(w, v=v[seen], h=H[:, seen]):
            mean = np.maximum(w @ h, 1e-300)
            return mean.sum() - v @ np.log(mean), h @ (1 - v / mean)

        bounds = [(0, None)] * len(H)
        options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10_000}
        best = optimize.minimize(
            objective, np.ones(len(H)), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        assert objective(w)[0] <= best.fun + 1e-6 * max(abs(best.fun), 1)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("kernel", "shape"),
    [("structured", 0.6), pytest.param("structured", 1.0, marks=pytest.mark.long), ("nuts", 1.0)],
)
def test_one_known_component_has_an_exact_posterior(kernel, shape):
    """Of Poisson counts: W_i is gamma, of shape a + sum v and rate b + sum h."""
    V, h = table().to_numpy().copy(), reference(1)[COLUMNS].to_numpy() + 0.2
    V[2] = 0
    method = bn.MCMC(kernel=kernel, num_warmup=200, num_samples=1000, num_chains=2)
    fit = small.run(V, bn.NMF(prior_W=Gamma(shape, 0.4), H=h), method)
    W = (fit.tree["posterior/W"] / fit.tree["sample_stats/scale"]).to_numpy()[..., 0]
    thinned = W[:, ::10].reshape(-1, N_ROWS)  # nearly independent
    exact = [stats.gamma(shape + v.sum(), scale=1 / (0.4 + h.sum())) for v in V]
    p = [stats.kstest(x, law.cdf).pvalue for x, law in zip(thinned.T, exact, strict=True)]
    assert min(p) > 1e-3 / N_ROWS, p


@pytest.mark.statistical
def test_one_known_component_under_gaussian_noise_has_an_exact_posterior():
    """W_i is a truncated normal variable."""
    V, h = table("gaussian").to_numpy(), reference(1)[COLUMNS].to_numpy()
    model = bn.NMF(None, bn.likelihoods.Gaussian(sigma=1.5), Exponential(0.4), H=h)
    fit = small.run(V, model, bn.MCMC(num_warmup=50, num_samples=500, num_chains=2))
    W = (fit.tree["posterior/W"] / fit.tree["sample_stats/scale"]).to_numpy()[..., 0]
    square, variance = float((h**2).sum()), 1.5**2
    mean, std = (V @ h[0] - 0.4 * variance) / square, np.sqrt(variance / square)
    p = [
        stats.kstest(x, stats.truncnorm(-m / std, np.inf, m, std).cdf).pvalue
        for x, m in zip(W.reshape(-1, N_ROWS).T, mean, strict=True)
    ]
    assert min(p) > 1e-3 / N_ROWS, p


@every_method
def test_sparse_and_dense_data_are_refitted_alike(method):
    V = table().to_numpy()
    model = bn.NMF(2, "poisson", Gamma(1.5, 0.8), H=reference()[COLUMNS].to_numpy())
    dense, sparse = (small.run(x, model, method) for x in (V, scipy.sparse.csr_array(V)))
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=1e-3 if method == "map" else 0.5)


@every_method
def test_fits_come_back_and_go_on(method, tmp_path):
    fit = small.run(table(), bn.NMF(3, H=reference()), method)
    fit.save(tmp_path / "fit.nc")
    again = bn.load(tmp_path / "fit.nc")
    assert again.model == fit.model
    assert again.known == fit.known
    assert again.tree["posterior"].dataset.identical(fit.tree["posterior"].dataset)
    if method == "mcmc":
        longer = bn.resume(again, 5, progress=False)
        assert longer.W["component"].values.tolist() == ["first", "second", "2"]
        np.testing.assert_array_equal(longer.tree["posterior/W"][:, :20], fit.tree["posterior/W"])


@pytest.mark.long
@pytest.mark.parametrize("n_components", [2, 3])
@pytest.mark.filterwarnings("ignore:Pareto k", "ignore:WAIC is not", "ignore:For one or more")
def test_they_are_scored_checked_and_reported(n_components, tmp_path):
    V, method = table(), bn.MCMC(num_warmup=50, num_samples=50, num_chains=2)
    model = bn.NMF(n_components, H=reference())
    fit = small.run(V, model, method)
    found = bn.loo(fit, escalate=True, progress=False)
    assert np.isfinite(found.elpd)
    rows = bn.loo(fit, task="row", progress=False)
    assert np.isfinite(rows.elpd)
    for scheme in ("cells", "rows"):
        folds = bn.kfold(V, model, method, n_folds=2, scheme=scheme, progress=False)
        assert np.isfinite(folds.elpd)
    free = small.run(V, bn.NMF(2), method)
    compared = bn.compare({"known": fit, "free": free}, progress=False)
    assert np.isfinite(compared["elpd"]).all()
    checks = bn.ppc(fit, num_samples=20, progress=False)
    page = bn.report(fit, tmp_path / "page.html", checks=checks, progress=False).read_text()
    assert "first" in page
    assert len(bn.modes(fit)) == 1


def test_whole_rows_are_integrated_exactly():
    """With one known component the density of a row, given the others, is negative binomial."""
    V, h = table().to_numpy(), reference(1)[COLUMNS].to_numpy() + 0.2
    method = bn.MCMC(num_warmup=50, num_samples=50, num_chains=2)
    fit = small.run(V, bn.NMF(prior_W=Gamma(1.4, 0.3), H=h), method)
    found = bn.loo(fit, task="row", progress=False)
    total = h.sum()
    shares = stats.multinomial(V.sum(axis=1).astype(int), h[0] / total)
    exact = stats.nbinom.logpmf(V.sum(axis=1), 1.4, 0.3 / (0.3 + total)) + shares.logpmf(V)
    np.testing.assert_allclose(found.elpd_i, exact, atol=0.02)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_cells_that_no_component_reaches_are_refused(storage):
    H = reference(1)[COLUMNS].to_numpy()
    with pytest.raises(ValueError, match=r"column 1 of V is not zero, but .* all known components"):
        bn.fit(storage(table().to_numpy()), bn.NMF(H=H), "map", progress=False)
    noise = small.run(table("gaussian").to_numpy(), bn.NMF(None, "gaussian", H=H), "map")
    assert noise.converged


def test_nothing_that_is_known_is_traded():
    fit = small.run(table(), bn.NMF(3, H=reference()), "map")
    trades = bn.uniqueness(fit).table
    by_H, by_W = (trades[trades["via"] == factor] for factor in "HW")
    assert (by_H.loc[by_H["source"] != "2", "mean"] == 0).all()
    assert (by_W.loc[by_W["target"] != "2", "mean"] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, TypeError, "n_components is missing"),
        (
            {"H": np.ones(3)},
            ValueError,
            r"has shape \(3,\); it must be \(known component, column\)",
        ),
        ({"H": [["a", "b"]]}, TypeError, "must hold numbers"),
        ({"H": [[1.0, -2.0]]}, ValueError, "holds -2, which is negative, in component 0, entry 1"),
        ({"H": [[1.0, np.nan]]}, ValueError, "which is not finite, in component 0"),
        ({"H": [[1.0, 1.0], [0.0, 0.0]]}, ValueError, "nothing but zeros in component 1"),
        ({"H": np.ones((2, 3)), "W": np.ones((4, 2))}, ValueError, "by W or by H, not by both"),
        ({"n_components": 1, "H": np.ones((2, 3))}, ValueError, "2 components are known"),
        (
            {"n_components": 3, "H": np.ones((1, 3)), "prior_W": "ard", "prior_H": "ard"},
            ValueError,
            "ARD on both factors",
        ),
        (
            {"H": pd.DataFrame(np.ones((2, 3)), ["a", "a"])},
            ValueError,
            "two components with the name",
        ),
        (
            {"n_components": 3, "H": pd.DataFrame(np.ones((2, 3)), ["a", "2"])},
            ValueError,
            "two components have the name '2'",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        bn.NMF(**arguments)


@pytest.mark.parametrize(
    ("H", "words"),
    [
        (np.ones((2, 4)), "the known components, have 4 columns, but V has 5"),
        (reference().rename(columns={"v": "q"}), "'q' not in V, 'v' of V missing"),
        (reference().T, "names of V's columns in its rows"),
    ],
)
def test_names_and_sizes_must_match(H, words):
    with pytest.raises(ValueError, match=words):
        bn.fit(table(), bn.NMF(H=H), "map", progress=False)


@pytest.mark.parametrize(
    ("name", "n_components"),
    small.short_of([("poisson", 3), ("gamma", 3), ("poisson", 2)], ("poisson", 3)),
)
def test_arviz_gets_their_groups(name, n_components):
    likelihood = small.LIKELIHOODS[name]
    fit = small.run(table(name), bn.NMF(n_components, likelihood, H=reference()), "mcmc")
    tree = fit.to_arviz(groups=("log_prior", "prior", "prior_predictive"), num_samples=10)
    assert np.isfinite(tree["log_prior/W"]).all()
    if n_components == 2:
        assert "H" not in tree["log_prior"]
    else:
        density = tree["log_prior/H"].sel(k=["first", "second"])
        assert (density == 0).all()
    given = tree["prior/H"].sel(k="second").to_numpy()
    expected = reference()[COLUMNS].loc["second"].to_numpy()
    np.testing.assert_allclose(given, np.broadcast_to(expected / expected.sum(), given.shape))
    names = bn.prior_predictive(fit.model, fit.V, num_samples=3)["prior/H"].sizes["component"]
    assert names == n_components
