"""bn.fit: every likelihood and program under every method, awkward data, and what is refused."""

from __future__ import annotations

import json
from functools import cache

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.sparse
import small
import xarray as xr
from numpyro import handlers

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.likelihoods import REGISTRY
from bayesnmf.model.mean import observations, product

every_method = pytest.mark.parametrize("method", small.METHODS)

TINY = {
    "map": bn.MAP(n_init=1, max_iter=20),
    "svi": bn.SVI(num_steps=5, num_samples=4),
    "mcmc": bn.MCMC(num_warmup=4, num_samples=4, num_chains=1),
}


def shared_rate(V=None, shape=None, n_components=2):
    """Run a program of a session: gamma factors, and a rate of H that each component learns."""
    n_rows, n_columns = shape if V is None else V.shape
    with numpyro.plate("component", n_components, dim=-1):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 2.0))
        H = numpyro.sample(
            "H", dist.Exponential(rate[:, None] * jnp.ones((1, n_columns))).to_event(1)
        )
        numpyro.deterministic("total", H.sum(axis=-1))
    with numpyro.plate("row", n_rows, dim=-2), numpyro.plate("component", n_components, dim=-1):
        W = numpyro.sample("W", dist.Exponential(1.0))
    observed, values = observations(V, 0.0)
    with (
        numpyro.plate("row", n_rows, dim=-2),
        numpyro.plate("column", n_columns, dim=-1),
        handlers.mask(mask=observed),
    ):
        numpyro.sample("V", dist.Poisson(product(W, H)), obs=values)


# -- every model under every method -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    small.short_of(
        [(name, method) for name in small.PLAIN for method in small.METHODS],
        *((name, "map") for name in small.PLAIN),
        ("poisson", "svi"),
        ("poisson", "mcmc"),
        ("gaussian", "mcmc"),
    ),
)
def test_every_likelihood_under_every_method(name, method):
    fit = small.fitted(name, method)
    assert fit.method == method
    assert (fit.W.shape, fit.H.shape, fit.mean.shape) == ((6, 2), (2, 5), (6, 5))
    assert np.isfinite(fit.mean).all()
    assert fit.message
    # The prior and thirty cells leave the fit of the order of the data.
    typical = fit.model.likelihood.typical_mean(Matrix.of(fit.V))
    assert 0.3 * typical < float(fit.mean.mean()) < 3 * typical


def test_the_registry_is_covered():
    assert {small.LIKELIHOODS[name].name for name in small.PLAIN} == set(REGISTRY)


@cache
def fitted(program, method):
    V = small.data(small.LIKELIHOODS["poisson"], missing=0.1)
    model = bn.load_model(program) if isinstance(program, str) else program
    return small.run(V, model, TINY[method])


# NUTS and SVI of every zoo model run in ``test_zoo.py``; here one with sites of its own does.
@pytest.mark.parametrize(
    ("program", "method"),
    small.short_of(
        [("cemgil2009", "map"), ("schmidt2009", "map"), *((shared_rate, m) for m in small.METHODS)],
        ("cemgil2009", "map"),
        (shared_rate, "svi"),
        (shared_rate, "mcmc"),
    ),
)
def test_programs_under_every_method(program, method):
    fit = fitted(program, method)
    expected = {"schmidt2009": {"variance"}, shared_rate: {"rate", "total"}}.get(program, set())
    assert set(fit.tree["posterior"].data_vars) == {"W", "H", *expected}
    assert np.isfinite(fit.mean).all()
    np.testing.assert_allclose(fit.H.sum("column"), 1.0, rtol=1e-12)


@every_method
def test_sites_of_a_component_follow_it(method):
    """The program's own sum of H is the scale that was taken out of H."""
    fit = fitted(shared_rate, method)
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    assert posterior["total"].dims == ("chain", "draw", "component")
    assert posterior["rate"].dims == ("chain", "draw", "component")
    np.testing.assert_allclose(posterior["total"], stats["scale"], rtol=1e-10)


# -- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["map", "mcmc"])
def test_single_precision_stays_single(method):
    V = small.data(small.LIKELIHOODS["gaussian"], missing=0.1).astype(np.float32)
    fit = small.run(V, bn.NMF(2, "gaussian"), TINY[method])
    for group in ("posterior", "sample_stats", "observed_data"):
        for name, values in fit.tree[group].data_vars.items():
            assert values.dtype.kind != "f" or values.dtype == np.float32, (group, name)
    assert {x.dtype for x in (fit.W, fit.H, fit.mean)} == {np.dtype(np.float32)}
    double = small.fitted("gaussian", method).tree["posterior"]
    assert {x.dtype for x in double.data_vars.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("shape", "method"),
    [((6, 1), "map"), ((1, 5), "map"), ((1, 1), "map"), ((6, 1), "svi"), ((1, 5), "mcmc")],
)
def test_one_row_or_one_column(shape, method):
    V = np.random.default_rng(0).poisson(4.0, shape)
    fit = small.run(V, bn.NMF(1), TINY[method])
    assert fit.mean.shape == shape
    assert np.isfinite(fit.mean).all()


@pytest.mark.parametrize("method", small.short_of(list(small.METHODS), "map", "svi"))
def test_rows_and_columns_of_zeros(method):
    V = small.data(small.LIKELIHOODS["poisson"])
    V[2], V[:, 1] = 0, 0
    fit = small.run(V, small.model("poisson"), method)
    for values in (fit.W, fit.H, fit.mean):
        assert np.isfinite(values).all()
    assert fit.summary()["share"].sum() == pytest.approx(1.0)


def test_nothing_but_zeros():
    fit = small.run(np.zeros(small.SHAPE), bn.NMF(2), "map")
    assert np.isfinite(fit.mean).all()
    assert len(fit.summary()) == 2


def test_a_rank_above_both_sides_warns_and_runs():
    V = np.random.default_rng(0).poisson(4.0, (3, 4))
    with pytest.warns(UserWarning, match=r"4 components for a matrix of shape \(3, 4\)"):
        fit = small.run(V, bn.NMF(4), TINY["map"])
    assert fit.n_components == 4
    small.run(V, bn.NMF(3), TINY["map"])  # no warning, or it would be an error


def test_the_form_of_the_data_does_not_matter():
    V = np.random.default_rng(0).poisson(2.0, (5, 4)).astype(float)
    plain = small.run(V, bn.NMF(2), TINY["map"])
    forms = {
        "list": V.tolist(),
        "integers": V.astype(np.int16),
        "fortran": np.asfortranarray(V),
        "sparse matrix": scipy.sparse.csr_matrix(V),
        "sparse array": scipy.sparse.coo_array(V),
        "data frame": pd.DataFrame(V),
        "data array": xr.DataArray(V, dims=("a", "b")),
        "mask": (V, np.ones(V.shape, bool)),
    }
    for name, form in forms.items():
        data, mask = form if isinstance(form, tuple) else (form, None)
        got = small.run(data, bn.NMF(2), TINY["map"], mask=mask)
        if name.startswith("sparse"):  # other arithmetic, so no other digits than those agree
            np.testing.assert_allclose(got.mean, plain.mean, rtol=0.01, atol=1e-3)
        else:
            assert small.same(plain, got), name


def test_the_data_are_kept_as_they_were():
    V = np.random.default_rng(0).poisson(2.0, (5, 4)).astype(float)
    V[0, 1] = np.nan
    before = V.copy()
    fit = small.run(V, bn.NMF(2), TINY["map"])
    np.testing.assert_array_equal(V, before)
    np.testing.assert_array_equal(fit.V, before)
    np.testing.assert_array_equal(fit.tree["constant_data/observed"], ~np.isnan(before))


# -- what is recorded ---------------------------------------------------------------------------


def test_the_run_is_recorded():
    attrs = small.fitted("poisson", "svi").tree.attrs
    assert (attrs["method"], attrs["seed"]) == ("svi", 3)
    assert attrs["seconds"] > 0
    assert attrs["bayesnmf_version"]
    options = json.loads(attrs["method_options"])
    assert options["num_steps"] == 200
    assert bn.SVI(**options) == small.METHODS["svi"]


def test_rates_that_the_data_set_are_recorded():
    V = small.data(small.LIKELIHOODS["poisson"], missing=0.2)
    fit = small.run(V, bn.NMF(2), TINY["map"])
    prior_W, prior_H = fit.model.prior_W, fit.model.prior_H
    assert 2 * prior_W.mean * prior_H.mean == pytest.approx(np.nanmean(V))


def test_a_name_stands_for_the_methods_defaults():
    V = small.data(small.LIKELIHOODS["poisson"])
    a = bn.fit(V, bn.NMF(2), "map", progress=False)
    b = bn.fit(V, bn.NMF(2), bn.MAP(), progress=False)
    assert small.same(a, b)


def test_seeds_of_any_integer_type():
    V = small.data(small.LIKELIHOODS["poisson"])
    a, b = (small.run(V, bn.NMF(2), TINY["map"], seed=seed) for seed in (3, np.int64(3)))
    assert small.same(a, b)


def test_progress_is_shown_on_request(capsys):
    V = small.data(small.LIKELIHOODS["poisson"])
    bn.fit(V, bn.NMF(2), TINY["map"], progress=False)
    assert capsys.readouterr() == ("", "")
    bn.fit(V, bn.NMF(2), TINY["map"], progress=True)
    assert capsys.readouterr().out == ""  # results of scripts stay clean: bars go to stderr


# -- what is refused ----------------------------------------------------------------------------

GOOD = 1.0 + np.random.default_rng(0).poisson(3.0, (4, 3))


def sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def edited(value, row=1, column=2):
    V = pd.DataFrame(GOOD, ["a", "b", "c", "d"], ["x", "y", "z"])
    V.iloc[row, column] = value
    return V


@pytest.mark.parametrize("method", ["svi", "mcmc"])
@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_fractions_are_no_counts(name, method):
    with pytest.raises(ValueError) as error:
        small.run(edited(2.5), bn.NMF(2, name), method)
    text = sentence(error)
    assert "V[1, 2] = 2.5 (row 'b', column 'z') is not an integer" in text
    assert "method='map', where the Poisson and the negative binomial one serve as quasi" in text


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_map_takes_fractions_and_says_so(name):
    fit = small.run(edited(2.5), bn.NMF(2, name), TINY["map"])
    assert f"so the {name.replace('_', ' ')} objective is a quasi-likelihood" in fit.message


@pytest.mark.parametrize("prior", ["prior_W", "prior_H"])
@pytest.mark.parametrize("method", ["svi", "mcmc"])
def test_flat_priors_have_no_draws(method, prior):
    with pytest.raises(ValueError) as error:
        small.run(GOOD, bn.NMF(2, **{prior: "flat"}), method)
    assert sentence(error).startswith(
        f"{prior} is flat, which is no distribution: use method='map'"
    )


@every_method
@pytest.mark.parametrize(
    ("V", "model", "words"),
    [
        (edited(-1.0), bn.NMF(2), "V[1, 2] = -1 (row 'b', column 'z') is negative"),
        (edited(np.inf), bn.NMF(2), "V[1, 2] = inf (row 'b', column 'z') is infinite"),
        (edited(0.0), bn.NMF(2, "gamma"), "V[1, 2] = 0 (row 'b', column 'z') is not positive"),
        (edited(1.0) * 0 + 1, bn.NMF(2, "beta"), "is not strictly between 0 and 1"),
        (edited(np.nan, 1, slice(None)), bn.NMF(2), "row 'b' has no observed cell"),
        (edited(np.nan, slice(None), 0), bn.NMF(2), "column 'x' has no observed cell"),
        (np.ones((0, 3)), bn.NMF(2), "V is empty"),
        (GOOD, bn.NMF(2, bn.likelihoods.Poisson(exposure=np.ones((2, 2)))), "(4, 3)"),
        (edited(-1.0), shared_rate, "lies outside the support of the program shared_rate"),
    ],
)
def test_bad_data(V, model, words, method):
    with pytest.raises(ValueError) as error:
        small.run(V, model, method)
    assert words in sentence(error)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"method": "gibbs"}, ValueError, "unknown method 'gibbs'; valid names: map, svi, mcmc"),
        ({"method": "MAP"}, ValueError, "unknown method 'MAP'"),
        ({"method": bn.MAP}, TypeError, "method must be a name (map, svi, mcmc) or a record"),
        ({"method": None}, TypeError, "method must be a name"),
        ({"model": "poisson"}, TypeError, "model must be a bayesnmf.NMF"),
        ({"model": 3}, TypeError, "model must be a bayesnmf.NMF"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, not 1.5"),
        ({"seed": None}, TypeError, "seed must be an integer, not None"),
        ({"seed": True}, TypeError, "seed must be an integer, not True"),
        ({"mask": np.ones((3, 4), bool)}, ValueError, "mask has shape (3, 4), but V has shape"),
        ({"mask": np.ones((4, 3))}, TypeError, "mask has dtype float64; it must be boolean"),
        ({"mask": np.zeros((4, 3), bool)}, ValueError, "row 0 has no observed cell"),
        ({"V": [["a", "b"], ["c", "d"]]}, TypeError, "V[0, 0] = "),
        ({"V": "counts.csv"}, (TypeError, ValueError), "V"),
        ({"V": GOOD[0]}, ValueError, "it must have two, rows (samples) by columns"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error) as caught:
        bn.fit(**{"V": GOOD, "model": bn.NMF(2), "method": "map", "progress": False, **arguments})
    assert words in sentence(caught)


@pytest.mark.parametrize(
    ("record", "option", "value"),
    [
        (record, option, value)
        for record, option in (
            (bn.MAP, "max_iter"),
            (bn.MAP, "n_init"),
            (bn.SVI, "num_steps"),
            (bn.SVI, "num_samples"),
            (bn.MCMC, "num_warmup"),
            (bn.MCMC, "num_samples"),
            (bn.MCMC, "num_chains"),
        )
        for value in (2.5, "many", None, True)
    ],
)
def test_counts_of_a_record_are_integers(record, option, value):
    with pytest.raises(TypeError) as error:
        record(**{option: value})
    assert sentence(error) == f"{option} must be an integer, not {value!r}"


@pytest.mark.parametrize("record", [bn.MAP, bn.SVI])
@pytest.mark.parametrize("value", ["small", None, [1e-3]])
def test_tolerances_are_numbers(record, value):
    with pytest.raises(TypeError) as error:
        record(tol=value)
    assert sentence(error) == f"tol must be a number, not {value!r}"


def test_programs_that_do_not_fit_the_data():
    def no_H(V=None, shape=None):
        numpyro.sample("W", dist.Exponential(1.0).expand([4, 1]).to_event(2))

    def narrow(V=None, shape=None):
        W = numpyro.sample("W", dist.Exponential(1.0).expand([4, 1]).to_event(2))
        H = numpyro.sample("H", dist.Exponential(1.0).expand([1, 2]).to_event(2))
        numpyro.sample("V", dist.Poisson(W @ H).to_event(2), obs=V[:, :2])

    for program, words in (
        (no_H, "the program no_H has no site 'H'"),
        (narrow, "site 'H' of narrow has shape (1, 2), not (1, 3)"),
    ):
        with pytest.raises(ValueError) as error:
            small.run(GOOD, program, "map")
        assert words in sentence(error)
