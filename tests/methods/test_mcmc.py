"""MCMC: chains, statistics, and what must not change them.

Draws are compared with an exact posterior in ``statistical/test_rank_one.py``, and their log
density with SciPy's in ``test_svi.py``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map
from bayesnmf.methods.sampler import chains
from bayesnmf.methods.sampler.nuts import JITTER, _jittered
from bayesnmf.model.sites import log_joint
from bayesnmf.progress import Silent

plain = pytest.mark.parametrize(
    "name", small.short_of(small.PLAIN, "poisson", "negative_binomial", "gaussian")
)
SHORT = bn.MCMC(num_warmup=5, num_samples=5, num_chains=1)


def test_records_refuse_what_is_not_an_option():
    for options, words in (
        ({"kernel": "gibbs"}, "unknown kernel 'gibbs'; valid: auto, structured, nuts"),
        ({"num_warmup": -1}, "num_warmup must be at least 0, not -1"),
        ({"num_samples": 0}, "num_samples must be at least 1, not 0"),
        ({"num_chains": 0}, "num_chains must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=words):
            bn.MCMC(**options)


@plain
def test_chains_have_statistics_and_differ(name):
    fit = small.fitted(name, "mcmc")
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    assert (posterior.sizes["chain"], posterior.sizes["draw"]) == (2, 20)
    assert set(posterior.data_vars) == {"W", "H", *fit.model.likelihood.priors}
    expected = {"lp", "acceptance_rate", "block_accept_prob", "scale", "match"}
    assert set(stats.data_vars) == expected
    assert stats["acceptance_rate"].max() <= 1
    assert (posterior["W"][0] != posterior["W"][1]).any()
    for values in posterior.data_vars.values():
        assert np.isfinite(values).all()
        assert (values > 0).all()


def test_nuts_has_statistics_of_its_own():
    V = small.data(small.LIKELIHOODS["poisson"])
    method = bn.MCMC("nuts", num_warmup=5, num_samples=5, num_chains=2)
    stats = small.run(V, small.model("poisson"), method).tree["sample_stats"]
    expected = {"lp", "acceptance_rate", "diverging", "n_steps", "energy", "scale", "match"}
    assert set(stats.data_vars) == expected


def test_a_program_has_no_structure_to_use():
    program = bn.load_model("cemgil2009", n_components=2)
    V = small.data(small.LIKELIHOODS["poisson"])
    with pytest.raises(ValueError, match="for a program use 'nuts'"):
        small.run(V, program, bn.MCMC("structured", num_samples=5))


def test_an_interrupted_run_keeps_the_draws_it_has(monkeypatch):
    V, model = small.data(small.LIKELIHOODS["poisson"]), small.model("poisson")
    method = bn.MCMC(num_warmup=20, num_samples=80, num_chains=2)
    whole, draw = small.run(V, model, method), chains.draw_chunks

    def interrupted(*args):
        for chunk in draw(*args):
            yield chunk
            if chunk.stats["log_joint"].size:
                raise KeyboardInterrupt

    monkeypatch.setattr(chains, "draw_chunks", interrupted)
    part = small.run(V, model, method)
    kept = part.tree["posterior"].sizes["draw"]
    assert 0 < kept < 80
    assert f"{kept} draws, interrupted before all 80" in part.message
    assert part.interrupted
    assert not whole.interrupted
    lp, lp_whole = (fit.tree["sample_stats"]["lp"] for fit in (part, whole))
    np.testing.assert_array_equal(lp, lp_whole[:, :kept])


@pytest.mark.parametrize("name", ["poisson", "gaussian"])
def test_a_resumed_run_is_the_uninterrupted_one(name, tmp_path):
    """Bit for bit, from a file too, and by the program that is compiled already; with its names."""
    V, model = small.data(small.LIKELIHOODS[name], missing=0.1), small.model(name)
    whole = small.run(V, model, bn.MCMC(num_warmup=30, num_samples=70, num_chains=2))
    part = small.run(V, model, bn.MCMC(num_warmup=30, num_samples=40, num_chains=2))
    part.rename({0: "b", 1: "a"}).save(tmp_path / "part.nc")
    compiled = chains._advance.jitted._cache_size()
    for start in (part, bn.load(tmp_path / "part.nc")):
        resumed = bn.resume(start, 30, progress=False)
        for name_ in whole.tree["posterior"].data_vars:
            np.testing.assert_array_equal(
                resumed.tree["posterior"][name_], whole.tree["posterior"][name_]
            )
        np.testing.assert_array_equal(
            resumed.tree["sample_stats/lp"], whole.tree["sample_stats/lp"]
        )
        assert resumed.message.startswith("2 chain(s) of 70 draws")
        earlier, before = (
            resumed.tree["posterior/H"].isel(draw=slice(40)),
            start.tree["posterior/H"],
        )
        first, second = start.H["component"].to_numpy()

        def alike(new, old, earlier=earlier, before=before):
            same = earlier.sel(component=new) == before.sel(component=old)
            return float(same.all("column").mean())

        # A name stays with its component; in so few draws under Gaussian noise both are alike.
        if name == "poisson":
            assert min(alike(first, first), alike(second, second)) > 0.5
        assert small.same_state(resumed, whole)
    assert chains._advance.jitted._cache_size() == compiled


def test_only_what_left_a_state_goes_on():
    with pytest.raises(ValueError, match="this fit cannot be resumed"):
        bn.resume(small.fitted("poisson", "map"), 10)


def test_an_interruption_before_the_first_draw_is_one(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(chains, "draw_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small.run(small.data(small.LIKELIHOODS["poisson"]), small.model("poisson"), SHORT)


def test_the_message_tells_the_size_and_the_verdict():
    fit = small.fitted("poisson", "mcmc")
    assert fit.message.startswith("2 chain(s) of 20 draws. Not converged: ")
    assert not fit.converged


def test_one_chain_is_not_judged():
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, small.model("poisson"), bn.MCMC(num_warmup=5, num_samples=8, num_chains=1))
    assert not fit.converged
    assert "Cannot judge convergence: R-hat needs at least two chains" in fit.message


@pytest.mark.parametrize("name", small.short_of(["poisson", "gaussian", "beta"], "poisson"))
def test_masked_values_change_nothing_bit_for_bit(name):
    """A value under the mask, and NaN without a mask."""
    V = small.data(small.LIKELIHOODS[name])
    mask = np.ones(V.shape, bool)
    mask[[0, 2], [1, 4]] = False
    masked = small.run(np.where(mask, V, -np.inf), small.model(name), SHORT, mask=mask)
    missing = small.run(np.where(mask, V, np.nan), small.model(name), SHORT)
    assert small.same(masked, missing)


def test_the_seed_decides():
    V = small.data(small.LIKELIHOODS["gaussian"])
    a, b, c = (small.run(V, small.model("gaussian"), SHORT, seed=seed) for seed in (4, 4, 5))
    assert small.same(a, b)
    assert not np.array_equal(a.W, c.W)


def test_chains_start_apart_near_the_mode_in_log_space(float64):
    """Apart, or R-hat could not see a chain that never moves."""
    V = small.data(small.LIKELIHOODS["gaussian-known"])
    model = small.model("gaussian-known")
    matrix = Matrix.of(V)
    mode = log_map(model.resolve(matrix), matrix, jax.random.key(0), Silent())
    best = log_joint(model, matrix, {k: v[None, None] for k, v in mode.items()})
    z = {k: jnp.log(v) for k, v in mode.items()}
    starts = _jittered(z, jax.random.key(1), 50)
    deviations = np.concatenate([np.asarray(starts[k] - z[k][None]).ravel() for k in z])
    assert np.abs(deviations).min() > 0
    assert deviations.std() == pytest.approx(JITTER, rel=0.1)
    # Few chains fall far below the maximum, however peaked it is.
    draws = jax.tree.map(lambda x: np.exp(np.asarray(x))[None], starts)
    assert np.median(log_joint(model, matrix, draws)) > best[0, 0] - 100
