"""Priors against SciPy, and the rates that the data set."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayesnmf.model import NMF
from bayesnmf.priors import ARD, REGISTRY, Exponential, Flat, Gamma, as_prior
from bayesnmf.priors.rates import resolve_rates

sizes = st.floats(1e-6, 1e6)
proper = pytest.mark.parametrize("cls", [Gamma, Exponential])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("prior", "law"),
    [
        (Gamma(0.3, 2.0), stats.gamma(0.3, scale=0.5)),
        (Gamma(1.0, 1e-4), stats.gamma(1.0, scale=1e4)),
        (Gamma(25, 7), stats.gamma(25.0, scale=1 / 7)),
        (Exponential(4.0), stats.expon(scale=0.25)),
        (Exponential(np.float32(0.5)), stats.expon(scale=2.0)),
    ],
)
def test_density_and_mean_are_scipys(prior, law):
    x = np.array([1e-9, 0.2, 1.0, 40.0])
    np.testing.assert_allclose(prior.distribution().log_prob(x), law.logpdf(x), rtol=1e-12)
    assert prior.mean == pytest.approx(law.mean())
    assert prior.proper
    # The interface of the multiplicative updates: density ~ x**(shape - 1) exp(-rate x).
    log_ratio = (prior.shape - 1) * np.diff(np.log(x)) - prior.rate * np.diff(x)
    np.testing.assert_allclose(log_ratio, np.diff(law.logpdf(x)), rtol=1e-9)


def test_an_exponential_is_a_gamma_of_shape_one():
    x = np.array([0.2, 3.0], np.float32)
    np.testing.assert_allclose(
        Exponential(1.5).distribution().log_prob(x), Gamma(1.0, 1.5).distribution().log_prob(x)
    )
    assert Exponential(1.5).shape == 1


def test_a_flat_prior_adds_nothing_and_is_no_distribution():
    flat = Flat()
    np.testing.assert_array_equal(flat.distribution().log_prob(np.array([0.1, 1e6])), 0.0)
    assert (flat.shape, flat.rate, flat.mean, flat.proper) == (1.0, 0.0, None, False)
    assert flat.with_mean(3.0) == flat


# -- rates from the data ----------------------------------------------------------------------


@given(mean=sizes, rank=st.integers(1, 50), shape=st.floats(1e-2, 1e2), rate=sizes)
def test_prior_mean_of_the_product_is_the_mean_asked_for(mean, rank, shape, rate):
    free = (Gamma(shape), Gamma(), Exponential())
    given_ = (Gamma(shape, rate), Exponential(rate))
    pairs = itertools.chain(
        itertools.product(free, free),
        itertools.product(free, given_),
        itertools.product(given_, free),
    )
    for prior_W, prior_H in pairs:
        W, H = resolve_rates(prior_W, prior_H, mean, rank)
        assert rank * W.mean * H.mean == pytest.approx(mean)
        for before, after in ((prior_W, W), (prior_H, H)):
            assert type(before) is type(after)
            assert before.shape == after.shape
            assert before.rate in (None, after.rate)
        if prior_W.rate is prior_H.rate is None:
            assert pytest.approx(H.mean) == W.mean


@proper
def test_a_flat_factor_leaves_the_other_its_equal_share(cls):
    W, H = resolve_rates(cls(), Flat(), 6.0, 3)
    assert (W.mean, H) == (pytest.approx(math.sqrt(2.0)), Flat())
    W, H = resolve_rates(Flat(), cls(), 6.0, 3)
    assert (W, H.mean) == (Flat(), pytest.approx(math.sqrt(2.0)))


@pytest.mark.parametrize("prior", [Gamma(2.0, 3.0), Exponential(0.1), Flat()])
def test_given_rates_stay(prior):
    assert resolve_rates(prior, prior, 17.0, 4) == (prior, prior)


@proper
def test_an_unset_rate_is_no_distribution_yet(cls):
    assert cls().mean is None
    with pytest.raises(ValueError, match=r"the prior's rate is not set.*resolve"):
        cls().distribution()


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1.0, math.inf, math.nan, "1", None])
def test_bad_shapes_and_rates(bad):
    with pytest.raises(ValueError, match="the shape of a gamma prior must be one positive number"):
        Gamma(shape=bad)
    if bad is not None:
        with pytest.raises(
            ValueError, match="the rate of a gamma prior must be one positive number"
        ):
            Gamma(rate=bad)
        with pytest.raises(
            ValueError, match="the rate of an exponential prior must be one positive"
        ):
            Exponential(rate=bad)


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_numpy_numbers_are_numbers(number):
    assert Gamma(number, number) == Gamma(2.0, 2.0)
    assert hash(Gamma(number, number)) == hash(Gamma(2.0, 2.0))
    assert Exponential(number).mean == 0.5


@pytest.mark.parametrize("name", REGISTRY)
def test_names_stand_for_default_instances(name):
    prior = as_prior(name, "prior_W")
    assert prior == REGISTRY[name]()
    assert as_prior(prior, "prior_W") is prior


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match="unknown prior_H 'beta'; valid names: gamma, exponential"):
        as_prior("beta", "prior_H")
    with pytest.raises(TypeError, match=r"prior_W must be a name \(gamma, .* not <class .*Gamma'>"):
        as_prior(Gamma, "prior_W")


def test_priors_that_differ_in_numbers_share_a_compilation():
    traces = []

    @jax.jit
    def penalty(prior, x):
        traces.append(prior)
        return prior.rate * x - (prior.shape - 1) * x

    assert penalty(Gamma(2.0, 3.0), 1.0) == 2.0
    assert penalty(Gamma(3.0, 7.0), 1.0) == 5.0
    assert len(traces) == 1
    penalty(Exponential(7.0), 1.0)
    assert len(traces) == 2


# -- hyper-priors -------------------------------------------------------------------------------


def test_a_hyper_prior_is_resolved_to_the_mean_rate():
    W, H = resolve_rates(Gamma(2.0, Gamma(3.0)), Gamma(0.5), 6.0, 3)
    plain_W, plain_H = resolve_rates(Gamma(2.0), Gamma(0.5), 6.0, 3)
    assert W.rate.shape / W.rate.rate == pytest.approx(plain_W.rate)
    assert plain_H == H
    assert W.mean == pytest.approx(plain_W.mean)
    assert resolve_rates(W, H, 17.0, 5) == (W, H)
    given_ = Gamma(1.0, Gamma(2.0, 8.0))  # mean rate 1 / 4
    assert resolve_rates(given_, Gamma(), 6.0, 3) == (given_, Gamma(1.0, 2.0))


@pytest.mark.parametrize("other", [Gamma(), Exponential(), Flat()])
def test_ard_is_resolved_by_its_floor(other):
    W, H = resolve_rates(ARD(2.0, floor=0.01), other, 12.0, 3)
    assert 1 / W.rate.mean == pytest.approx(0.01 * 2.0 / 2.0)  # entries of mean 2 have size 1
    assert other.with_mean(2.0) == H


def test_ard_on_both_factors_is_one_hyper_prior():
    W, H = resolve_rates(ARD(3.0), ARD(0.7), 12.0, 3)
    assert W.rate == H.rate
    model = NMF(3, prior_W=W, prior_H=H)
    assert model.hyper_priors == {"rate": W.rate}
    given = model.with_rates({"rate": np.array([1.0, 2.0, 3.0])})
    assert (given.prior_W.shape, given.prior_H.shape) == (3.0, 0.7)
    assert given.prior_W.rate is given.prior_H.rate
    with pytest.raises(ValueError, match="the same hyper-prior and floor"):
        NMF(3, prior_W=ARD(floor=0.1), prior_H=ARD())


def test_hyper_priors_that_are_none():
    with pytest.raises(ValueError, match="hyper-priors are one level deep"):
        Gamma(1.0, Gamma(1.0, Gamma(1.0, 1.0)))
    with pytest.raises(ValueError, match="hyper-priors are one level deep"):
        ARD(rate=Gamma(1.0, Gamma(1.0, 1.0)))
    with pytest.raises(TypeError, match=r"must be its hyper-prior, a priors\.Gamma, not 2\.0"):
        ARD(rate=2.0)
    for bad in (Flat(), Exponential(1.0), ARD(), "gamma"):
        with pytest.raises(
            ValueError, match="the rate of a gamma prior must be one positive number"
        ):
            Gamma(1.0, bad)
    with pytest.raises(ValueError, match="the floor of an ARD prior must be one positive number"):
        ARD(floor=0)
    with pytest.raises(ValueError, match="the prior's rate has a prior of its own"):
        Gamma(1.0, Gamma(1.0, 1.0)).distribution()
    with pytest.raises(ValueError, match=r"the prior's rate is not set.*resolve"):
        NMF(2, prior_W=ARD())(shape=(2, 2))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (Exponential, "the rate of an exponential prior must be one positive number"),
        (lambda x: ARD(shape=x), "the shape of an ARD prior must be one positive number"),
        (lambda x: ARD(rate=x), "the rate of an ARD prior must be its hyper-prior, a priors.Gamma"),
        (lambda x: ARD(floor=x), "the floor of an ARD prior must be one positive number"),
        (
            lambda x: NMF(2, prior_W=x),
            "prior_W must be a name .* or an instance from bayesnmf.priors",
        ),
    ],
)
def test_an_array_is_refused_by_its_shape(make, what):
    """And not by its contents, which may be long."""
    with pytest.raises((ValueError, TypeError), match=rf"^{what}, not an array of shape \(3, 4\)$"):
        make(np.ones((3, 4)))
    with pytest.raises((ValueError, TypeError), match=f"^{what}, not a list of 2$"):
        make([1.0, 2.0])
