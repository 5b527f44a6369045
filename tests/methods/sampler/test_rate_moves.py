"""Rates under hyper-priors: their moves, and the density that the program gives to draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from methods.sampler import prior_check as check
from numpyro.infer.util import log_density
from scipy import stats

import bayesnmf as bn
from bayesnmf.methods.sampler import Plan
from bayesnmf.methods.sampler.moves.rates import draw_rates, rate_moves, shift_rates
from bayesnmf.methods.sampler.sweep import sweep
from bayesnmf.methods.sampler.target import Position
from bayesnmf.priors import ARD, Gamma

pytestmark = pytest.mark.usefixtures("float64")
FALSE_ALARM = 1e-3

_W, _H = Gamma(4.0, 3.0), Gamma(5.0, 4.0)
#: Where hyper-priors may stand: on W, on both factors apart, on both together.
PRIORS = {
    "W": (Gamma(1.3, _W), Gamma(1.3, 1.1)),
    "apart": (Gamma(1.3, _W), Gamma(1.3, _H)),
    "tied": (ARD(1.3, _W), ARD(0.8, _W)),
}
places = pytest.mark.parametrize("place", PRIORS)


def model_of(place, name="poisson"):
    return bn.NMF(check.RANK, check.LIKELIHOODS[name], *PRIORS[place])


# -- the moves --------------------------------------------------------------------------------


@pytest.mark.statistical
@places
def test_rates_given_the_factors_are_scipys(place):
    rng, model = np.random.default_rng(0), model_of(place)
    W, H = rng.gamma(0.7, 2.0, (2, 9)), rng.gamma(0.7, 2.0, (2, 5))
    rates = {name: jnp.ones(2) for name in model.hyper_priors}
    position = Position(jnp.log(W), jnp.log(H), rates)
    sums, sizes = {"rate_W": W.sum(1), "rate_H": H.sum(1)}, {"rate_W": 9 * 1.3, "rate_H": 5 * 1.3}
    sums["rate"], sizes["rate"] = sums["rate_W"] + sums["rate_H"], 9 * 1.3 + 5 * 0.8
    keys = jax.random.split(jax.random.key(0), 5000)
    for name, hyper in model.hyper_priors.items():
        draw = jax.jit(jax.vmap(lambda key: draw_rates(model, position, name, key)))  # noqa: B023
        draws = np.asarray(draw(keys).parameters[name])
        for k in range(2):
            law = stats.gamma(hyper.shape + sizes[name], scale=1 / (hyper.rate + sums[name][k]))
            assert stats.kstest(draws[:, k], law.cdf).pvalue > FALSE_ALARM / 8


def moves(model, data, position, noise):
    return rate_moves(model, data, position, noise.slices)


def whole_sweep(model, data, position, noise):
    plan = Plan(exponential=False, joint_leapfrogs=4)
    return sweep(plan, model, data, position, check.fixed_tuning(position), noise.slices)[0]


def truncated_sweep(model, data, position, noise):
    plan = Plan("truncated", moves_jointly=False)
    return sweep(plan, model, data, position, check.fixed_tuning(position), noise.slices)[0]


@pytest.mark.statistical
@pytest.mark.parametrize("place", small.short_of(list(PRIORS), "tied"))
def test_moves_of_rates_leave_the_joint_distribution(place):
    p = check.p_values(model_of(place), moves, seed=1)
    assert check.agrees(p), p


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize(("place", "name"), [("apart", "negative_binomial"), ("tied", "gamma")])
def test_whole_sweeps_leave_the_joint_distribution(place, name):
    p = check.p_values(model_of(place, name), whole_sweep, seed=2)
    assert check.agrees(p), p


@pytest.mark.statistical
def test_truncated_normal_draws_take_a_rate_a_component():
    model = bn.NMF(check.RANK, check.LIKELIHOODS["gaussian"], ARD(1.0, _W), Gamma(1.0, _H))
    p = check.p_values(model, truncated_sweep, seed=3)
    assert check.agrees(p), p


def with_wrong_jacobian(model, data, position, noise):
    """Forget that the logarithm of the rate shifts."""
    wrong = bn.NMF(check.RANK, model.likelihood, ARD(1.3, Gamma(3.0, 3.0)), model.prior_H)
    return shift_rates(wrong, data, position, "rate_W", noise.slices)


def without_the_hyper_rate(model, data, position, noise):
    """Draw rates as if the rate of the hyper-prior were almost zero."""
    wrong = bn.NMF(check.RANK, model.likelihood, ARD(1.3, Gamma(4.0, 1.0)), model.prior_H)
    return draw_rates(wrong, position, "rate_W", noise.slices)


@pytest.mark.statistical
@pytest.mark.parametrize("move", [with_wrong_jacobian, without_the_hyper_rate])
def test_broken_moves_are_found_out(move):
    p = check.p_values(model_of("W"), move, seed=4)
    assert not check.agrees(p), p


# -- the whole sampler ------------------------------------------------------------------------

SHORT = bn.MCMC(num_warmup=20, num_samples=30, num_chains=2)


@pytest.mark.long
def test_rates_are_kept_aligned_with_the_components():
    """The program's density at the draws as they were is what the sampler recorded."""
    V = small.data(small.LIKELIHOODS["gamma"], missing=0.1)
    fit = small.run(V, bn.NMF(3, "gamma", *PRIORS["apart"]), SHORT)
    W, H = small.originals(fit)
    posterior, lp = fit.tree["posterior"], fit.tree["sample_stats/lp"].to_numpy()
    names = ["shape", *fit.model.hyper_priors]
    for name in names[1:]:
        assert posterior[name].dims == ("chain", "draw", "component")
    sites = {name: posterior[name].to_numpy() for name in names} | {"W": W, "H": H}
    for chain, draw in ((0, 3), (1, 17)):
        one = {name: jnp.asarray(x[chain, draw]) for name, x in sites.items()}
        expected = float(log_density(fit.model, (jnp.asarray(V),), {}, one)[0])
        assert lp[chain, draw] == pytest.approx(expected, rel=1e-12)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    V, model = small.data(small.LIKELIHOODS["poisson"]), bn.NMF(3, "poisson", *PRIORS["tied"])
    whole = small.run(V, model, bn.MCMC(num_warmup=20, num_samples=50, num_chains=2))
    part = small.run(V, model, SHORT)
    part.save(tmp_path / "part.nc")
    loaded = bn.load(tmp_path / "part.nc")
    assert loaded.model == part.model
    resumed = bn.resume(loaded, 20, progress=False)
    for name in ("W", "H", "rate"):
        np.testing.assert_array_equal(
            resumed.tree["posterior"][name], whole.tree["posterior"][name]
        )
    assert bn.posterior_predictive(loaded, num_samples=4).shape == (2, 2, *V.shape)
    assert "of 3 components (in " in bn.check(loaded).message
