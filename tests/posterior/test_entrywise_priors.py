"""Priors that differ between entries: matched by name, exact, and their components keep their places."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
from exact import law
from methods.sampler import prior_check
from methods.sampler.test_invariance import scale, shear, truncated_sweep, whole_sweep
from scipy import stats

import bayesnmf as bn
from bayesnmf.priors import EntrywiseGamma, Gamma

N_ROWS, N_COLUMNS = small.SHAPE
ROWS, COLUMNS = [f"row {i}" for i in range(N_ROWS)], list("vwxyz")
_RNG = np.random.default_rng(5)
#: Tables that a user gives: named, and in another order than the data.
SHAPE_H = pd.DataFrame(_RNG.uniform(1.2, 6.0, (2, N_COLUMNS)), ["b", "a"], COLUMNS[::-1])
RATE_H = pd.DataFrame(_RNG.uniform(0.5, 3.0, (2, N_COLUMNS)), ["a", "b"], COLUMNS)
SHAPE_W = pd.DataFrame(_RNG.uniform(1.2, 3.0, (N_ROWS, 2)), ROWS[::-1], ["a", "b"])


def table(name="poisson", missing=0.0):
    return pd.DataFrame(small.data(small.LIKELIHOODS[name], missing=missing), ROWS, COLUMNS)


def model(name="poisson"):
    return bn.NMF(2, small.LIKELIHOODS[name], Gamma(SHAPE_W, 0.8), Gamma(SHAPE_H, RATE_H))


def log_posterior(name, V, W, H, parameters, shape_W, shape_H, rate_H):
    """Return the log joint density by SciPy, up to the densities of the likelihood's parameters."""
    cells = law(small.LIKELIHOODS[name], W @ H, **parameters)
    density = getattr(cells, "logpdf", None) or cells.logpmf
    try:
        values = density(V)
    except AttributeError:  # a discrete law
        values = cells.logpmf(V)
    return (
        np.nansum(values)
        + stats.gamma(shape_W, scale=1 / 0.8).logpdf(W).sum()
        + stats.gamma(shape_H, scale=1 / rate_H).logpdf(H).sum()
    )


def in_place():
    """Return the tables in the order of the data, with components b and a."""
    return SHAPE_W.loc[ROWS, ["b", "a"]], SHAPE_H[COLUMNS], RATE_H.loc[["b", "a"]]


@pytest.mark.parametrize(
    ("name", "storage"),
    [
        *small.short_of([(name, "masked") for name in small.PLAIN], ("poisson", "masked")),
        ("gaussian", "dense"),
        ("poisson", "sparse"),
        ("poisson, mu", "sparse"),
    ],
)
def test_no_entry_of_a_map_estimate_can_be_improved(name, storage):
    name, _, solver = name.partition(", ")
    V = table(name, missing=0.2 if storage == "masked" else 0.0)
    given = V
    options = {"solver": solver or "newton", "n_init": 1, "tol": 1e-9, "max_iter": 20_000}
    found = model(name)
    if storage == "sparse":
        given = scipy.sparse.csr_array(V.to_numpy())
        shape_W, shape_H, rate_H = (x.to_numpy() for x in in_place())
        found = replace(found, prior_W=Gamma(shape_W, 0.8), prior_H=Gamma(shape_H, rate_H))
    fit = small.run(given, found, bn.MAP(**options))
    (W,), (H,) = (x[0] for x in small.originals(fit))
    parameters = {
        key: float(fit.tree[f"posterior/{key}"].item()) for key in small.LIKELIHOODS[name].priors
    }
    tables = [x.to_numpy() for x in in_place()]
    best = log_posterior(name, V.to_numpy(), W, H, parameters, *tables)
    for factor in (W, H):
        for where in np.ndindex(factor.shape):
            for step in (-1e-3, 1e-3):
                old = factor[where]
                factor[where] = old * (1 + step)
                moved = log_posterior(name, V.to_numpy(), W, H, parameters, *tables)
                factor[where] = old
                assert moved < best + 1e-9


@pytest.mark.parametrize("method", small.short_of(list(small.METHODS), "map", "mcmc"))
def test_labels_are_matched_and_components_keep_their_places(method):
    fit = small.run(table(), model(), method)
    assert fit.H["component"].values.tolist() == ["b", "a"]
    assert fit.n_identified == 2
    assert fit.n_known == 0
    shape_W, shape_H, rate_H = in_place()
    assert isinstance(fit.model.prior_H, EntrywiseGamma)
    np.testing.assert_array_equal(fit.model.prior_H.shape, shape_H)
    np.testing.assert_array_equal(fit.model.prior_H.rate, rate_H)
    np.testing.assert_array_equal(fit.model.prior_W.shape, shape_W.T)


@pytest.mark.statistical
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "move"),
    small.short_of(
        [("poisson", scale), ("poisson", shear)]
        + [(name, whole_sweep) for name in ("poisson", "gamma", "beta")],
        ("poisson", whole_sweep),
    ),
)
def test_moves_leave_the_joint_distribution(name, move):
    base = prior_check.model_of(name, 1.3)
    n_rows, n_columns = prior_check.SHAPE
    rng, k = np.random.default_rng(1), base.n_components
    rates = base.prior_H.rate * rng.uniform(1.0, 2.0, (k, 1))
    # Shears are of exponential priors only; their rates may differ.
    shapes = (0.5, 2.0) if move is not shear else (1.0, 1.0)
    priors = {
        "prior_W": EntrywiseGamma(rng.uniform(*shapes, (k, n_rows)), base.prior_W.rate),
        "prior_H": EntrywiseGamma(rng.uniform(*shapes, (k, n_columns)), rates),
    }
    p = prior_check.p_values(replace(base, **priors), move, seed=4)
    assert prior_check.agrees(p), p


@pytest.mark.statistical
@pytest.mark.usefixtures("float64")
def test_truncated_sweeps_leave_the_joint_distribution():
    base = prior_check.model_of("gaussian", 1.0)
    n_columns = prior_check.SHAPE[1]
    rates = np.random.default_rng(2).uniform(0.5, 2.0, (base.n_components, n_columns))
    model = replace(base, prior_H=EntrywiseGamma(1.0, rates))
    p = prior_check.p_values(model, truncated_sweep, seed=5)
    assert prior_check.agrees(p), p


@pytest.mark.parametrize("name", ["poisson", "beta"])
def test_the_program_has_the_same_density(name):
    from numpyro.infer.util import log_density

    V, (W, H) = (
        table(name),
        (_RNG.gamma(2.0, 0.2, (N_ROWS, 2)), _RNG.gamma(2.0, 0.2, (2, N_COLUMNS))),
    )
    with jax.enable_x64(True):
        resolved = model(name).resolve(bn.data.Matrix.of(V))
        parameters = small.parameters(small.LIKELIHOODS[name])
        sites = {key: jnp.asarray(x) for key, x in {"W": W, "H": H, **parameters}.items()}
        found = float(log_density(resolved, (jnp.asarray(V.to_numpy()),), {}, sites)[0])
        for key, prior in resolved.likelihood.priors.items():
            found -= float(prior.log_prob(parameters[key]))
    tables = [x.to_numpy() for x in in_place()]
    assert found == pytest.approx(
        log_posterior(name, V.to_numpy(), W, H, parameters, *tables), rel=1e-9
    )


@pytest.mark.parametrize("method", ["map", "mcmc"])
def test_fits_come_back_and_go_on(method, tmp_path):
    fit = small.run(table(), model(), method)
    fit.save(tmp_path / "fit.nc")
    loaded = bn.load(tmp_path / "fit.nc")
    assert loaded.model == fit.model
    assert small.same(loaded, fit)
    assert loaded.n_identified == 2
    again = small.run(table(), loaded.model, method)
    np.testing.assert_array_equal(again.H, fit.H)
    if method == "mcmc":
        assert bn.resume(loaded, 5, progress=False).H["component"].values.tolist() == ["b", "a"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Pareto k", "ignore:40 draws are few", "ignore:For one or more")
def test_draws_are_scored_checked_and_reported(tmp_path):
    fit = small.run(table(missing=0.1), model(), "mcmc")
    assert np.isfinite(bn.loo(fit, escalate=True, progress=False).elpd)
    for scheme in ("cells", "rows"):
        folds = bn.kfold(
            table(), model(), small.METHODS["mcmc"], n_folds=2, scheme=scheme, progress=False
        )
        assert np.isfinite(folds.elpd)
    bn.ppc(fit, progress=False)
    bn.check(fit)
    assert "entry by entry" in str(fit.model.describe().parts)
    bn.report(fit, tmp_path / "fit.html")
    densities = fit.to_arviz(groups=("log_prior",))["log_prior"]
    W, H = (x[0, 0] for x in small.originals(fit))
    shape_W, shape_H, rate_H = (x.to_numpy() for x in in_place())
    np.testing.assert_allclose(
        densities["H"][0, 0], stats.gamma(shape_H, scale=1 / rate_H).logpdf(H), rtol=1e-5
    )
    np.testing.assert_allclose(
        densities["W"][0, 0], stats.gamma(shape_W, scale=1 / 0.8).logpdf(W), rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:Pareto k", "ignore:40 draws are few")
def test_whole_rows_are_integrated_exactly():
    """With one known component the density of a row, given the others, is negative binomial."""
    V, h = table().to_numpy(), _RNG.gamma(1.0, 1.0, (1, N_COLUMNS)) + 0.2
    shape, rate = _RNG.uniform(0.8, 3.0, (2, N_ROWS))
    prior = Gamma(shape[:, None], rate[:, None])
    fit = small.run(V, bn.NMF(prior_W=prior, H=h), "mcmc")
    found = bn.loo(fit, task="row", progress=False)
    shares = stats.multinomial(V.sum(axis=1).astype(int), h[0] / h.sum())
    exact = stats.nbinom.logpmf(V.sum(axis=1), shape, rate / (rate + h.sum())) + shares.logpmf(V)
    np.testing.assert_allclose(found.elpd_i, exact, atol=0.02)
    # Folds fit the other rows, and find the prior of those left out in the table.
    folds = bn.kfold(V, fit.model, small.METHODS["mcmc"], n_folds=2, scheme="rows", progress=False)
    np.testing.assert_allclose(folds.elpd_i, exact, atol=0.02)


def test_a_sharp_prior_holds_H_and_a_wide_one_lets_it_go():
    truth = np.array([[0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.6]])
    V = np.random.default_rng(0).poisson(np.full((N_ROWS, 2), 300.0) @ truth).astype(float)
    wrong = np.array([[0.25, 0.2, 0.2, 0.2, 0.15], [0.15, 0.2, 0.2, 0.2, 0.25]])
    error = {}
    for strength in (10.0, 1e7):
        prior = Gamma(1 + strength * wrong, strength)
        fit = small.run(V, bn.NMF(2, prior_H=prior), bn.MAP(n_init=1, max_iter=5000))
        error[strength] = np.abs(fit.H.to_numpy() - wrong).max()
    assert error[1e7] < 1e-3 < error[10.0]


@pytest.mark.long
def test_one_value_a_component_or_a_column():
    V = table()
    by_component = bn.NMF(2, prior_W=Gamma(pd.Series([2.0, 3.0], ["a", "b"]), 1.0))
    fit = small.run(V, by_component, "map")
    assert fit.model.prior_W.shape.tolist() == [[2.0], [3.0]]
    assert fit.n_identified == 2
    rows = bn.transform(fit, V.iloc[:3])
    assert rows.W["component"].values.tolist() == ["a", "b"]
    by_column = bn.NMF(2, prior_H=Gamma(np.linspace(1, 2, N_COLUMNS)[None], 1.0))
    fit = small.run(V, by_column, "map")
    assert fit.model.prior_H.shape.shape == (1, N_COLUMNS)
    assert fit.n_identified == 0
    assert bn.select_rank(V, [1, 2], prior_H=by_column.prior_H, method="map", progress=False).best


def test_beside_known_components_tables_are_of_the_free_ones():
    known = pd.DataFrame(np.ones((1, N_COLUMNS)), ["flat"], COLUMNS)
    fit = small.run(table(), bn.NMF(3, H=known, prior_H=Gamma(SHAPE_H, RATE_H)), "map")
    assert fit.H["component"].values.tolist() == ["flat", "b", "a"]
    np.testing.assert_array_equal(fit.model.prior_H.shape[1:], in_place()[1])
    assert fit.n_identified == 3


def test_new_rows_have_no_table():
    fit = small.run(table(), model(), "map")
    with pytest.raises(ValueError, match="prior_W of the fit has a table over its own rows"):
        bn.transform(fit, table())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Gamma(np.array([[1.0, -2.0]])),
            r"must be positive and finite, not -2 at \(0, 1\)",
        ),
        (lambda: Gamma(1.0, np.array([[1.0, np.nan]])), "the rate of a gamma prior holds NaN"),
        (lambda: Gamma(np.array([["a"]])), "must be a positive number or an array of them"),
        (lambda: bn.priors.Exponential(np.ones(3)), "one positive number"),
        (lambda: bn.priors.ARD(np.ones(3)), "one positive number"),
    ],
)
def test_tables_that_are_no_prior(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (
            SHAPE_H.rename(columns={"v": "q"}),
            "the columns of the shape of prior_H have other names",
        ),
        (np.ones((3, N_COLUMNS)), r"shape \(3, 5\), but H has shape \(2, 5\)"),
        (np.ones((2, 4)), r"shape \(2, 4\), but H has shape \(2, 5\)"),
        (np.ones(N_COLUMNS), r"shape \(5, 1\), but H has shape \(2, 5\)"),
    ],
)
def test_names_and_sizes_must_match(prior, words):
    with pytest.raises(ValueError, match=words):
        small.run(table(), bn.NMF(2, prior_H=Gamma(prior)), "map")


def test_a_prior_of_each_component_fixes_the_rank():
    with pytest.raises(ValueError, match="so it says nothing of other ranks"):
        bn.select_rank(table(), [1, 2, 3], prior_H=Gamma(SHAPE_H), progress=False)
