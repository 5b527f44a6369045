"""What likelihoods accept: cells in their support, known values, parameters, and equality."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesnmf import NMF, select_rank
from bayesnmf.data import Matrix
from bayesnmf.datasets import make_nmf
from bayesnmf.likelihoods import (
    REGISTRY,
    Beta,
    Gamma,
    Gaussian,
    NegativeBinomial,
    Poisson,
    as_likelihood,
)

NAN = float("nan")
KNOWN = {
    "poisson": "exposure",
    "negative_binomial": "concentration",
    "gaussian": "sigma",
    "gamma": "shape",
    "beta": "precision",
}
every_likelihood = pytest.mark.parametrize("name", REGISTRY)


def labelled(bad: float, filler: float) -> Matrix:
    """Return a matrix whose cell in row `mouse`, column `sox2` is `bad`."""
    V = np.full((2, 3), filler)
    V[1, 2] = bad
    return Matrix.of(pd.DataFrame(V, ["rat", "mouse"], ["pax6", "tp53", "sox2"]))


def test_this_file_knows_the_parameter_of_every_likelihood():
    assert list(KNOWN) == list(REGISTRY)


# -- support --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "bad", "filler", "reason"),
    [
        (Poisson(), -1.0, 2.0, "is negative, but counts are not"),
        (Poisson(), 0.5, 2.0, "is not an integer, so the poisson likelihood gives it no density"),
        (NegativeBinomial(), -3.0, 2.0, "is negative, but counts are not"),
        (NegativeBinomial(), 2.5, 2.0, "is not an integer, so the negative binomial likelihood"),
        (Gamma(), 0.0, 1.0, "is not positive, and the gamma likelihood gives it no density"),
        (Gamma(), -2.0, 1.0, "is not positive"),
        (Beta(), 0.0, 0.5, "is not strictly between 0 and 1"),
        (Beta(), 1.0, 0.5, "is not strictly between 0 and 1"),
        (Beta(link="odds"), 1.5, 0.5, "is not strictly between 0 and 1"),
    ],
)
def test_cells_outside_the_support_are_named(likelihood, bad, filler, reason):
    with pytest.raises(ValueError, match=reason) as error:
        likelihood.check(labelled(bad, filler))
    assert str(error.value).startswith(f"V[1, 2] = {bad:g} (row 'mouse', column 'sox2') ")
    assert str(error.value).endswith(".")


def test_the_number_of_further_bad_cells_is_told():
    with pytest.raises(ValueError, match=r"V\[0, 1\] = -1 is negative, .* \(and 2 more\)"):
        Poisson().check(Matrix.of([[1.0, -1.0], [-2.0, -3.0]]))


def test_beta_suggests_a_squeeze_that_mends():
    V = np.array([[0.0, 1.0], [0.25, 0.75]])
    with pytest.raises(ValueError, match=r"squeeze is V \* 0.75 \+ 0.125"):
        Beta().check(Matrix.of(V))
    Beta().check(Matrix.of(V * 0.75 + 0.125))


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()])
def test_map_takes_fractions_as_a_quasi_likelihood(likelihood):
    counts, fractions = Matrix.of([[1.0, 2.0], [0.0, NAN]]), Matrix.of([[1.0, 2.5], [0.0, NAN]])
    likelihood.check(fractions, quasi=True)
    assert likelihood.is_quasi(fractions)
    assert not likelihood.is_quasi(counts)
    with pytest.raises(ValueError, match="negative"):
        likelihood.check(Matrix.of([[-1.0]]), quasi=True)


def test_gaussian_takes_any_real_number():
    matrix = Matrix.of([[-1e100, 0.0], [0.5, NAN]])
    Gaussian().check(matrix)
    assert not Gaussian().is_quasi(matrix)


@every_likelihood
def test_missing_cells_pass(name):
    V = np.array([[1.0, 0.5], [NAN, 1.0]]) * (0.5 if name == "beta" else 2)
    REGISTRY[name]().check(Matrix.of(V))


@every_likelihood
def test_masked_bad_cells_pass(name):
    V = np.array([[0.5, 0.5], [-np.inf, 0.5]]) * (1 if name == "beta" else 2)
    REGISTRY[name]().check(Matrix.of(V, mask=[[True, True], [False, True]]))


@every_likelihood
def test_the_placeholder_is_in_the_support(name):
    REGISTRY[name]().check(Matrix.of([[REGISTRY[name].placeholder]]))


# -- known values -----------------------------------------------------------------------------


@every_likelihood
@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, [[1.0, 2.0], [3.0, -1.0]]])
def test_known_values_must_be_positive_and_finite(name, bad):
    where = r" at \(1, 1\)" if np.ndim(bad) else ""
    with pytest.raises(ValueError, match=rf"{KNOWN[name]} of .* must be positive and .*{where}$"):
        REGISTRY[name](**{KNOWN[name]: bad})


@every_likelihood
@pytest.mark.parametrize("bad", ["0.5", 1j, {"a": 1}, [[1.0], [2.0, 3.0]], True])
def test_known_values_must_be_numbers(name, bad):
    with pytest.raises(TypeError, match=f"{KNOWN[name]} of .* must be a positive number"):
        REGISTRY[name](**{KNOWN[name]: bad})


@pytest.mark.parametrize("name", ["poisson", "gaussian"])
def test_known_arrays_must_fit_the_data(name):
    matrix = Matrix.of(np.ones((2, 3)))
    likelihood = REGISTRY[name](**{KNOWN[name]: np.ones((3, 2))})
    with pytest.raises(ValueError, match=r"shape \(3, 2\), but V has shape \(2, 3\)"):
        likelihood.resolve(matrix)


@pytest.mark.parametrize("name", ["poisson", "gaussian"])
@pytest.mark.parametrize("value", [[[2.0], [3.0]], [2.0, 3.0, 4.0], np.full((2, 3), 5, int)])
def test_known_arrays_are_spread_over_the_cells(name, value):
    matrix = Matrix.of(np.ones((2, 3), np.float32))
    resolved = REGISTRY[name](**{KNOWN[name]: value}).resolve(matrix).known[KNOWN[name]]
    assert resolved.dtype == np.float32
    np.testing.assert_array_equal(resolved, np.broadcast_to(np.asarray(value), (2, 3)))


@pytest.mark.parametrize("name", ["poisson", "gaussian"])
def test_unknown_values_are_allowed_at_missing_cells_only(name):
    likelihood = REGISTRY[name](**{KNOWN[name]: [[1.0, NAN], [2.0, 3.0]]})
    resolved = likelihood.resolve(Matrix.of([[1.0, NAN], [1.0, 1.0]]))
    assert np.isfinite(resolved.known[KNOWN[name]]).all()
    with pytest.raises(
        ValueError, match=rf"{KNOWN[name]} of .* is NaN at the observed cell V\[0, 1\]"
    ):
        likelihood.resolve(Matrix.of([[1.0, 1.0], [1.0, NAN]]))


def test_unknown_link():
    with pytest.raises(
        ValueError, match="unknown link 'logit' of Beta; valid names: cloglog, odds"
    ):
        Beta(link="logit")


@every_likelihood
def test_what_is_given_is_not_inferred(name):
    likelihood = REGISTRY[name]()
    assert set(likelihood.priors) == set(likelihood.start())
    assert all(value > 0 for value in likelihood.start().values())
    given = REGISTRY[name](**{KNOWN[name]: 3.0})
    assert given.known == {KNOWN[name]: 3.0}
    assert given.priors == given.start() == {}


# -- priors of what is inferred -----------------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_sigma_has_an_exponential_precision():
    prior = Gaussian(scale=3.0).priors["sigma"]
    sigma = np.array([0.01, 0.4, 1.0, 2.5, 30.0])
    # p(sigma) = p(precision) |d precision / d sigma| with precision = sigma**-2
    expected = stats.expon(scale=1 / 9).logpdf(sigma**-2) + np.log(2 * sigma**-3)
    np.testing.assert_allclose(prior.log_prob(sigma), expected, rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_inverse_concentration_is_exponential():
    r = np.array([0.01, 0.4, 1.0, 25.0, 1e4])
    expected = stats.expon.logpdf(1 / r) - 2 * np.log(r)
    prior = NegativeBinomial().priors["concentration"]
    np.testing.assert_allclose(prior.log_prob(r), expected, rtol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("likelihood", "name"), [(Gamma(), "shape"), (Beta(), "precision")])
def test_shape_and_precision_are_exponential_with_mean_100(likelihood, name):
    x = np.array([0.1, 5.0, 1e3])
    np.testing.assert_allclose(
        likelihood.priors[name].log_prob(x), stats.expon(scale=100).logpdf(x), rtol=1e-12
    )


def test_the_scale_of_sigma_comes_from_the_data():
    V = np.array([[1.0, 5.0], [NAN, -3.0]])
    resolved = Gaussian().resolve(Matrix.of(V))
    assert resolved.scale == pytest.approx(np.nanstd(V))
    assert Gaussian(scale=2.0).resolve(Matrix.of(V)).scale == 2.0
    assert Gaussian().resolve(Matrix.of([[4.0, 4.0]])).scale == 4.0  # the data have no spread
    assert Gaussian().resolve(Matrix.of([[0.0, 0.0]])).scale == 1.0


# -- means that the data suggest ------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (Poisson(), 2.0),
        (Poisson(exposure=4.0), 0.5),
        (Poisson(exposure=[[1.0], [3.0]]), 6 / 5),  # total count over total exposure
        (NegativeBinomial(), 2.0),
        (Gaussian(), 2.0),
        (Gamma(), 2.0),
    ],
)
def test_typical_mean(likelihood, expected):
    assert likelihood.typical_mean(Matrix.of([[1.0, 2.0], [3.0, NAN]])) == pytest.approx(expected)


def test_typical_mean_of_proportions_inverts_the_link():
    matrix = Matrix.of([[0.2, 0.6]])
    assert 1 - np.exp(-Beta().typical_mean(matrix)) == pytest.approx(0.4)
    odds = Beta(link="odds").typical_mean(matrix)
    assert odds / (1 + odds) == pytest.approx(0.4)


def test_typical_mean_stays_positive_where_negative_cells_outweigh():
    assert Gaussian().typical_mean(Matrix.of([[-3.0, -4.0]])) == pytest.approx(12.5**0.5)


# -- identity -----------------------------------------------------------------------------------


@every_likelihood
def test_equality_and_hash(name):
    make, array = REGISTRY[name], np.array([[1.0, NAN], [2.0, 3.0]])
    variants = [{}, *({KNOWN[name]: v} for v in (2.0, 3.0, array, 2 * array, array[:1]))]
    likelihoods = [make(**variant) for variant in variants]
    for i, one in enumerate(likelihoods):
        for j, other in enumerate([make(**variant) for variant in variants]):
            assert (one == other) == (i == j)
            assert i != j or hash(one) == hash(other)
    assert make(**{KNOWN[name]: np.float32(2.0)}) == make(**{KNOWN[name]: 2})
    assert hash(make(**{KNOWN[name]: jnp.float32(2.0)})) == hash(make(**{KNOWN[name]: 2}))
    assert make() != "poisson"


def test_links_differ():
    assert Beta(link="odds") != Beta()


@every_likelihood
def test_likelihoods_that_differ_in_values_share_a_compilation(name):
    traces = []

    @jax.jit
    def information(likelihood, v, mean):
        traces.append(likelihood)
        return likelihood.fisher_information(v, mean, **likelihood.known)

    v, mean = np.float32(0.5), np.float32(0.4)
    for value in (2.0, 3.0):
        likelihood = REGISTRY[name](**{KNOWN[name]: value})
        expected = likelihood.fisher_information(v, mean, **{KNOWN[name]: value})
        np.testing.assert_allclose(information(likelihood, v, mean), expected, rtol=1e-6)
    assert len(traces) == 1


# -- names --------------------------------------------------------------------------------------


@every_likelihood
def test_names_stand_for_default_instances(name):
    likelihood = as_likelihood(name)
    assert likelihood == REGISTRY[name]()
    assert as_likelihood(likelihood) is likelihood


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match="unknown likelihood 'gauss'; valid names: poisson, neg"):
        as_likelihood("gauss")
    with pytest.raises(TypeError, match=r"or an instance from .*, not <class .*Poisson"):
        as_likelihood(Poisson)


@pytest.mark.parametrize(
    ("loss", "name", "title"),
    [
        ("kullback-leibler", "poisson", "Poisson"),
        ("Frobenius", "gaussian", "Gaussian"),
        ("itakura_saito", "gamma", "gamma"),
    ],
)
def test_losses_are_translated(loss, name, title):
    sentence = f"unknown likelihood {loss!r}; this loss is the {title} likelihood here: use likelihood={name!r}"
    takers = (as_likelihood, partial(NMF, 2), partial(make_nmf, 3, 3, 1))
    for taker in (*takers, lambda loss: select_rank(np.ones((3, 3)), [1], likelihood=loss)):
        with pytest.raises(ValueError) as caught:
            taker(loss)
        assert str(caught.value) == sentence
