"""The embedded counts, and simulated matrices against the moments of their distributions."""

import numpy as np
import pytest
import scipy.special

from bayesnmf import likelihoods
from bayesnmf.data import Matrix
from bayesnmf.datasets import breast21, make_nmf
from bayesnmf.likelihoods import REGISTRY

NAMES = sorted(REGISTRY)


def test_breast21():
    V = breast21()
    assert V.shape == (21, 96)
    assert (V.index.name, V.columns.name) == ("tumour", "channel")
    assert V.index.is_unique
    assert V.columns.is_unique
    assert V.to_numpy().dtype == np.int64
    # The published total, and two cells read off the table by eye.
    assert V.to_numpy().sum() == 183916
    assert V.loc["PD3851a", "A[C>A]A"] == 31
    assert V.loc["PD4248a", "T[T>G]T"] == 28
    likelihoods.Poisson().check(Matrix.of(V))


def test_breast21_is_a_fresh_copy():
    V = breast21()
    V.iloc[0, 0] = -1
    assert breast21().iloc[0, 0] == 31


@pytest.mark.parametrize("name", NAMES)
def test_shapes_support_and_seed(name):
    V, W, H = make_nmf(7, 5, 3, name, seed=4)
    assert (V.shape, W.shape, H.shape) == ((7, 5), (7, 3), (3, 5))
    assert V.dtype == W.dtype == H.dtype == np.float64
    assert (W > 0).all()
    assert (H > 0).all()
    REGISTRY[name]().check(Matrix.of(V))
    for again, first in zip(make_nmf(7, 5, 3, REGISTRY[name](), seed=4), (V, W, H), strict=True):
        np.testing.assert_array_equal(again, first)
    assert not np.array_equal(make_nmf(7, 5, 3, name, seed=5)[0], V)


PARAMETERS = {
    "poisson": {"exposure": 3.0},
    "negative_binomial": {"concentration": 2.0},
    "gaussian": {"sigma": 0.7},
    "gamma": {"shape": 4.0},
    "beta": {"precision": 12.0},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given", [True, False], ids=["given", "default"])
def test_cells_have_the_mean_and_variance_of_their_distribution(name, given):
    """NumPyro's distribution of the same likelihood is the reference.

    The sum of N standardised cells is close to a standard normal; 4.4 is exceeded with a
    probability of about 1e-5. The sum of their squares has a variance set by the kurtosis, for
    which the sample's own is used.
    """
    parameters = PARAMETERS[name] if given else {}
    V, W, H = make_nmf(150, 120, 3, name, seed=2, shape_W=3.0, shape_H=3.0, **parameters)
    defaults = {"negative_binomial": 5.0, "gaussian": 1.0, "gamma": 10.0, "beta": 50.0}
    if not parameters and name in defaults:
        parameters = dict.fromkeys(PARAMETERS[name], defaults[name])
    cells = REGISTRY[name]().distribution((W @ H).astype(np.float32), **parameters)
    z = (V - np.asarray(cells.mean, float)) / np.sqrt(np.asarray(cells.variance, float))
    assert abs(z.sum() / np.sqrt(z.size)) < 4.4
    square = z**2 - 1
    assert abs(square.mean() / square.std() * np.sqrt(z.size)) < 4.4


@pytest.mark.parametrize("name", NAMES)
def test_mean_is_that_of_the_data(name):
    """Averaged over W and H; the beta likelihood's links are curved, so it has its own test."""
    mean = 0.02 if name == "beta" else 7.0
    V, W, H = make_nmf(400, 300, 4, name, seed=1, mean=mean, shape_W=5.0, shape_H=5.0)
    assert V.mean() == pytest.approx(mean, rel=0.1)
    assert W.mean() == pytest.approx(H.mean(), rel=0.1)


@pytest.mark.parametrize("link", ["cloglog", "odds"])
def test_beta_mean_goes_through_the_link(link):
    _, W, H = make_nmf(400, 300, 4, "beta", seed=1, mean=0.6, link=link, shape_W=9, shape_H=9)
    expected = -np.log(0.4) if link == "cloglog" else 1.5
    assert (W @ H).mean() == pytest.approx(expected, rel=0.05)


def test_exposure_scales_the_counts_not_the_factors():
    exposure = np.linspace(1, 5, 40)[:, None]
    V, W, H = make_nmf(
        40, 200, 2, "poisson", seed=0, mean=9.0, exposure=exposure, shape_W=9, shape_H=9
    )
    assert V.mean() == pytest.approx(9.0, rel=0.2)
    assert (W @ H).mean() == pytest.approx(3.0, rel=0.2)
    z = (V - exposure * (W @ H)) / np.sqrt(exposure * (W @ H))
    assert abs(z.sum() / np.sqrt(z.size)) < 4.4


def test_factors_are_gamma():
    """A gamma entry with shape a has E log x = digamma(a) - log(a) + log(mean)."""
    _, W, _ = make_nmf(4000, 2, 3, mean=12.0, shape_W=0.7, seed=3)
    error = np.log(W).mean() - (scipy.special.digamma(0.7) - np.log(0.7) + np.log(2.0))
    assert abs(error) < 4.4 * np.sqrt(scipy.special.polygamma(1, 0.7) / W.size)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gamma", {"shape": 0.01}),
        ("gamma", {"shape_W": 1e-3, "shape_H": 1e-3}),
        ("beta", {"precision": 1e-3}),
        ("beta", {"mean": 0.9999}),
        ("beta", {"mean": 1e-300}),
        ("beta", {"link": "odds", "shape_W": 1e-3, "shape_H": 1e-3, "mean": 0.999}),
        ("poisson", {"shape_W": 1e-3}),
        ("negative_binomial", {"concentration": 1e-6}),
    ],
)
def test_extremes_stay_inside_the_support(name, options):
    V, W, H = make_nmf(60, 50, 2, name, **options)
    assert np.isfinite(V).all()
    assert (W > 0).all()
    assert (H > 0).all()
    likelihood = REGISTRY[name]()
    cells = likelihood.distribution(0.5, **dict.fromkeys(likelihood.priors, 1.0))
    assert np.asarray(cells.support(V)).all()


@pytest.mark.parametrize(("n_rows", "n_columns"), [(6, 4), (3, 8), (5, 5), (1, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_missing_leaves_every_row_and_column_a_cell(n_rows, n_columns, seed):
    size = n_rows * n_columns
    most = (size - max(n_rows, n_columns)) / size
    V, W, H = make_nmf(n_rows, n_columns, 1, seed=seed, missing=most)
    assert np.isnan(V).sum() == round(most * size)
    Matrix.of(V)
    whole = make_nmf(n_rows, n_columns, 1, seed=seed)
    np.testing.assert_array_equal(V[~np.isnan(V)], whole[0][~np.isnan(V)])
    np.testing.assert_array_equal(W @ H, whole[1] @ whole[2])


def test_every_cell_is_as_likely_to_be_missing():
    """Of 600 matrices with a third missing; 4.4 standard errors of a binomial share."""
    share = np.mean([np.isnan(make_nmf(4, 3, 1, seed=s, missing=1 / 3)[0]) for s in range(600)], 0)
    assert np.abs(share - 1 / 3).max() < 4.4 * np.sqrt(2 / 9 / 600)


@pytest.mark.parametrize(
    ("arguments", "options", "part"),
    [
        ((0, 3, 1), {}, "n_rows must be a whole number"),
        ((3, 2.5, 1), {}, "n_columns must be a whole number"),
        ((3, 3, True), {}, "n_components must be a whole number"),
        ((3, 3, 1, "student"), {}, "unknown likelihood 'student'"),
        ((3, 3, 1), {"mean": -1.0}, "mean must be a positive number"),
        ((3, 3, 1, "beta"), {"mean": 2.0}, "mean must be between 0 and 1"),
        ((3, 3, 1), {"shape_W": "1"}, "shape_W must be a positive number"),
        ((3, 3, 1), {"shape_H": np.nan}, "shape_H must be a positive number"),
        ((3, 3, 1), {"missing": 1.0}, "missing must be between 0 and 1"),
        ((3, 3, 1), {"missing": 0.9}, "at most 0.667"),
        ((3, 3, 1), {"sigma": 1.0}, "poisson likelihood has no parameter 'sigma'; it has exposure"),
        ((3, 3, 1, "gaussian"), {"scale": 1.0}, "no parameter 'scale'; it has sigma"),
        ((3, 3, 1, "gaussian"), {"sigma": -1.0}, "must be positive"),
        ((3, 3, 1, "gaussian"), {"sigma": np.ones((2, 3))}, "has shape (2, 3)"),
        ((3, 3, 1, "beta"), {"link": "logit"}, "unknown link 'logit'"),
    ],
)
def test_bad_input_is_named(arguments, options, part):
    with pytest.raises(ValueError) as caught:
        make_nmf(*arguments, **options)
    assert part in str(caught.value)
