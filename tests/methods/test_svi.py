"""SVI: what it reports, when it stops, and what must not change it.

Its bound and its draws are compared with an exact posterior in ``statistical/test_rank_one.py``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import exact
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.methods.variational import approximation, coordinate_ascent, guide

plain = pytest.mark.parametrize("name", small.short_of(list(small.PLAIN), "poisson", "gamma"))
SHORT = bn.SVI(num_steps=20, num_samples=5)


def test_records_refuse_what_is_not_an_option():
    for options, words in (
        ({"algorithm": "advi"}, "unknown algorithm 'advi'; valid: auto"),
        ({"num_steps": 0}, "num_steps must be at least 1, not 0"),
        ({"num_samples": 0}, "num_samples must be at least 1, not 0"),
        ({"tol": -1e-3}, "tol must be 0 or more, not -0.001"),
        ({"n_init": 0}, "n_init must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=words):
            bn.SVI(**options)


@plain
def test_draws_are_positive_and_of_one_chain(name):
    fit = small.fitted(name, "svi")
    posterior = fit.tree["posterior"]
    assert (posterior.sizes["chain"], posterior.sizes["draw"]) == (1, 20)
    assert set(posterior.data_vars) == {"W", "H", *fit.model.likelihood.priors}
    for values in posterior.data_vars.values():
        assert np.isfinite(values).all()
        assert (values > 0).all()


@pytest.mark.parametrize("method", ["svi", "mcmc"])
@plain
def test_the_log_density_of_every_draw_is_scipys(name, method):
    """Of data, factors in their original scale, and parameters, constants included."""
    fit = small.fitted(name, method)
    V, posterior = fit.V.to_numpy(), fit.tree["posterior"]
    W, H = small.originals(fit)
    lp = fit.tree["sample_stats/lp"].to_numpy()
    for chain, draw in ((0, 0), (-1, -1)):
        values = {p: float(posterior[p][chain, draw]) for p in fit.model.likelihood.priors}
        expected = exact.log_joint(fit.model, V, W[chain, draw], H[chain, draw], **values)
        # NumPyro's negative binomial is off by up to 1e-6 a cell.
        assert lp[chain, draw] == pytest.approx(expected, rel=1e-9, abs=3e-5)


@plain
def test_the_bound_is_told_with_its_error(name):
    fit = small.fitted(name, "svi")
    assert np.isfinite(fit.tree.attrs["elbo"])
    assert 0 < fit.tree.attrs["elbo_error"] < 1
    assert f"ELBO {fit.tree.attrs['elbo']:.6g}" in fit.message


def test_steps_raise_the_bound_until_it_stops():
    """A program's guide starts too narrow: nothing is known of its likelihood's curvature."""
    V = small.data(small.LIKELIHOODS["poisson"])
    program = bn.load_model("cemgil2009")
    few = small.run(V, program, bn.SVI(num_steps=1, num_samples=2))
    many = small.run(V, program, bn.SVI(num_samples=2))
    assert not few.converged
    assert few.message.startswith("stopped at num_steps, not converged, after 1 steps")
    assert many.converged
    assert many.message.startswith(f"converged after {many.tree.attrs['n_iter']} steps")
    log_density_change = many.tree.attrs["elbo"] - few.tree.attrs["elbo"]
    assert log_density_change > 4 * np.hypot(
        many.tree.attrs["elbo_error"], few.tree.attrs["elbo_error"]
    )


@pytest.mark.parametrize("name", small.short_of(["poisson", "beta"], "poisson"))
def test_masked_values_change_nothing_bit_for_bit(name):
    """A value under the mask, and NaN without a mask."""
    V = small.data(small.LIKELIHOODS[name])
    mask = np.ones(V.shape, bool)
    mask[[0, 2], [1, 4]] = False
    masked = small.run(np.where(mask, V, -np.inf), small.model(name), SHORT, mask=mask)
    missing = small.run(np.where(mask, V, np.nan), small.model(name), SHORT)
    assert small.same(masked, missing)


def test_the_seed_decides():
    a = small.fitted("gaussian", "svi")
    V, seed = a.V.to_numpy(), a.tree.attrs["seed"]
    b, c = (small.run(V, small.model("gaussian"), "svi", seed=s) for s in (seed, seed + 1))
    np.testing.assert_array_equal(a.W, b.W)
    np.testing.assert_array_equal(a.H, b.H)
    assert a.message == b.message
    assert not np.array_equal(a.W, c.W)


def test_permuted_rows_and_columns_give_the_same_bound():
    """Random numbers fall on other cells, so the fits agree within their Monte Carlo error."""
    V = small.data(small.LIKELIHOODS["poisson"])
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(6), rng.permutation(5)
    model = bn.NMF(1, "poisson", bn.priors.Gamma(1.5, 0.8), bn.priors.Gamma(1.0, 1.1))
    a = small.run(V, model, bn.SVI(num_samples=400))
    b = small.run(V[rows][:, columns], model, bn.SVI(num_samples=400))
    error = np.hypot(a.tree.attrs["elbo_error"], b.tree.attrs["elbo_error"])
    assert abs(a.tree.attrs["elbo"] - b.tree.attrs["elbo"]) < 3.3 * error + 0.1
    np.testing.assert_allclose(b.H, a.H.to_numpy()[:, columns], atol=0.02)


@pytest.mark.parametrize("algorithm", ["cavi", "guide"])
def test_the_second_fit_of_the_same_shapes_compiles_nothing(algorithm):
    V, method = small.data(small.LIKELIHOODS["poisson"]), replace(SHORT, algorithm=algorithm)
    functions = {
        "cavi": (coordinate_ascent.accelerated, coordinate_ascent.direction),
        "guide": (guide._begin, guide._steps, guide._losses),
    }[algorithm] + (approximation._log_joints,)
    small.run(V, bn.NMF(2), method)
    compiled = [function._cache_size() for function in functions]
    assert min(compiled) > 0
    small.run(2 * V, bn.NMF(2), method, seed=7)
    assert compiled == [function._cache_size() for function in functions]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (bn.NMF(2, "gamma"), "for the Poisson likelihood, not for the gamma likelihood: use"),
        (bn.load_model("cemgil2009"), "for a program use 'guide'"),
    ],
    ids=["gamma", "program"],
)
def test_coordinate_ascent_is_refused_where_there_is_none(model, words):
    V = small.data(small.LIKELIHOODS["poisson"]) + 0.5 * isinstance(model, bn.NMF)
    with pytest.raises(ValueError, match=words):
        bn.fit(V, model, bn.SVI(algorithm="cavi"), progress=False)


@pytest.mark.parametrize("storage", small.short_of(["missing", "sparse"], "sparse"))
def test_the_best_of_several_starts_is_kept(storage):
    V = small.data(small.LIKELIHOODS["poisson"], missing=0.15 if storage == "missing" else 0.0)
    V = scipy.sparse.csr_array(V) if storage == "sparse" else V
    fit = small.run(V, bn.NMF(2), bn.SVI(n_init=3, num_samples=5))
    bounds = fit.tree.attrs["elbos"]
    assert len(bounds) == 3
    assert fit.tree.attrs["elbo_fitted"] == max(bounds) == bounds[0]
    assert fit.tree.attrs["elbo"] > fit.tree.attrs["elbo_fitted"]  # where entries move together


@pytest.mark.parametrize("name", small.short_of(small.PLAIN, "poisson"))
def test_moving_together_raises_the_bound(name):
    """Also in the long run, where a guide has converged."""
    V = small.data(small.LIKELIHOODS[name])
    together, apart = (
        small.run(V, small.model(name), bn.SVI(linear_response=x, num_samples=4000)).tree.attrs
        for x in (True, False)
    )
    error = np.hypot(together["elbo_error"], apart["elbo_error"])
    assert together["elbo"] > apart["elbo"] + 3 * error


@pytest.mark.parametrize("ended", [0, 2])
def test_ctrl_c_keeps_the_best_start_that_has_ended(ended, monkeypatch):
    whole, calls = coordinate_ascent.ascend, []

    def ascend(*arguments, **options):
        calls.append(arguments)
        if len(calls) > ended:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    monkeypatch.setattr(coordinate_ascent, "ascend", ascend)
    V, model = small.data(small.LIKELIHOODS["poisson"]), small.model("poisson")
    if not ended:
        with pytest.raises(KeyboardInterrupt):
            small.run(V, model, SHORT)
        return
    fit = small.run(V, model, bn.SVI(num_samples=5))
    assert fit.interrupted
    assert fit.message.endswith("; interrupted after 2 of 4 starts")
    assert len(fit.tree.attrs["elbos"]) == 2


def test_a_large_sparse_matrix_is_not_expanded():
    rng = np.random.default_rng(0)
    V = scipy.sparse.random_array((30_000, 20_000), density=1e-5, rng=rng, format="csr")
    V.data = np.ceil(3.0 * V.data)
    fit = bn.fit(V, bn.NMF(1), bn.SVI(n_init=1, num_samples=3), progress=False)
    assert fit.converged


def test_guides_of_a_shape_are_shared_and_start_where_they_are_told():
    """Also in a program that is compiled anew, for another number of steps."""
    V = small.data(small.LIKELIHOODS["poisson"])
    bounds = [
        small.run(unit * V, bn.NMF(2), bn.SVI("guide", num_steps=steps, num_samples=5)).tree.attrs[
            "elbo_fitted"
        ]
        for unit, steps in ((1, 1), (10, 1), (1, 2), (10, 2))
    ]
    # Each starts at the MAP estimate of its own data, so one more step changes little.
    np.testing.assert_allclose(bounds[2:], bounds[:2], atol=1.0)
    assert abs(bounds[1] - bounds[0]) > 10.0


@pytest.mark.numpyro_promotion("rank")
def test_threads_may_fit_the_same_shape_at_once():
    V = np.random.default_rng(0).poisson(4.0, (4, 3))  # which no other test has compiled for

    def bound(seed: int) -> float:
        return bn.fit(V, bn.NMF(1), SHORT, seed=seed, progress=False).tree.attrs["elbo"]

    with ThreadPoolExecutor(2) as pool:
        assert np.ptp(list(pool.map(bound, (3, 3)))) == 0.0


def test_supports_of_a_program_may_depend_on_its_data():
    def bounded(V=None, shape=None):
        n_rows, n_columns = shape if V is None else V.shape
        highest = 1.0 if V is None else V.max()
        W = numpyro.sample("W", dist.Uniform(0.0, highest).expand((n_rows, 1)).to_event(2))
        H = numpyro.sample("H", dist.Uniform(0.0, 1.0).expand((1, n_columns)).to_event(2))
        numpyro.sample("V", dist.Poisson(W * H).to_event(2), obs=V)

    W, H = small.originals(small.run(np.full((3, 2), 40.0), bounded, SHORT))
    assert 20.0 < W.max() < 40.0
    assert 0.5 < H.max() < 1.0


def test_a_bound_that_is_no_number_has_not_converged(monkeypatch):
    monkeypatch.setattr(guide.Guide, "bound", lambda *_: (np.nan, np.nan))
    V, program = small.data(small.LIKELIHOODS["poisson"]), bn.load_model("cemgil2009")
    fit = small.run(V, program, SHORT)
    assert not fit.converged
    assert "stopped at numbers that are not finite, not converged," in fit.message
