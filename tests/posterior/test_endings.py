"""What a fit reports at its end: not converged, interrupted, or components that are empty."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.posterior.endings import EMPTY, describe_empty, warn_of_ending
from bayesnmf.rank.ard import kept_by_ard
from bayesnmf.rank.settings import settings_of

TINY = small.METHODS | {
    "map": bn.MAP(n_init=1, max_iter=20),
    "svi": bn.SVI(num_steps=5, num_samples=20),
}
#: Shares of each row: the whole matrix sums to 6, against 22 coefficients.
COUNTS = small.data(small.LIKELIHOODS["poisson"])
SHARES = (1 + COUNTS) / (1 + COUNTS).sum(axis=1, keepdims=True)


@pytest.fixture
def as_users_see_them():
    """Record every warning, because the suite ignores warnings of fits that have not converged."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        yield seen


@pytest.mark.parametrize("method", TINY)
def test_fit_warns_with_the_message_when_it_has_not_converged(method):
    with pytest.warns(bn.ConvergenceWarning) as caught:
        fit = small.run(COUNTS, small.model("poisson"), TINY[method])
    assert not fit.converged
    assert [str(warning.message) for warning in caught] == [fit.message]
    assert issubclass(bn.ConvergenceWarning, UserWarning)


def test_the_warning_points_at_the_line_that_fits():
    with pytest.warns(bn.ConvergenceWarning) as caught:
        bn.fit(COUNTS, small.model("poisson"), TINY["map"], progress=False)
    assert caught[0].filename == __file__


def test_resume_warns_too():
    fit = small.run(COUNTS, small.model("poisson"), TINY["mcmc"])
    with pytest.warns(bn.ConvergenceWarning, match=r"2 chain\(s\) of 24 draws") as caught:
        bn.resume(fit, 4, progress=False)
    assert caught[0].filename == __file__


def test_a_fit_that_has_converged_is_silent(as_users_see_them):
    assert small.run(COUNTS, small.model("poisson"), bn.MAP(n_init=1)).converged
    assert not as_users_see_them


def test_an_interrupted_fit_warns_even_where_its_draws_agree():
    fit = small.run(COUNTS, small.model("poisson"), bn.MAP(n_init=1))
    fit.tree.attrs["interrupted"] = 1
    with pytest.warns(bn.ConvergenceWarning, match=re.escape(fit.message)):
        warn_of_ending(fit)


def test_fits_inside_other_functions_leave_it_to_them(as_users_see_them):
    """A sweep or a cross-validation reports in its own words."""
    settings = settings_of(
        COUNTS, None, "poisson", "map", "gamma", "gamma", "auto", n_folds=2, n_replicates=19, seed=0
    )
    kept_by_ard(settings, 2)
    assert not as_users_see_them


# -- empty components ---------------------------------------------------------------------------


def with_masses(*masses, model=None, V=COUNTS):
    """Return a fit whose components have these masses."""
    fit = small.run(V, small.model("poisson") if model is None else model, TINY["map"])
    fit.tree["posterior/W"].values[...] = np.asarray(masses) / small.SHAPE[0]
    return fit


@pytest.mark.parametrize("storage", ["dense", "masked", "sparse"])
@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_on_a_small_scale_leave_components_empty_and_fit_says_why(likelihood, storage):
    V = SHARES.copy()
    if storage == "masked":
        V[0, 0] = np.nan
    with pytest.warns(
        UserWarning, match="1 of 2 components is empty: the .* takes V for counts"
    ) as caught:
        small.run(
            scipy.sparse.csr_array(V) if storage == "sparse" else V,
            bn.NMF(2, likelihood),
            bn.MAP(n_init=1),
        )
    (sentence,) = (str(warning.message) for warning in caught)
    for words in (
        f"sum of {np.nansum(V):.4g} is small against the 22 coefficients",
        "prior_W='flat'",
        "multiply V by a constant",
        "'ard'",
    ):
        assert words in sentence
    assert "round" not in sentence.casefold()


def test_priors_that_empty_components_on_purpose_are_let_be(as_users_see_them):
    small.run(SHARES, bn.NMF(2, prior_W="ard", prior_H="ard"), bn.MAP(n_init=1))
    assert not as_users_see_them


@pytest.mark.parametrize("method", TINY)
def test_components_count_as_empty_by_their_share(method):
    fit = small.run(COUNTS, small.model("poisson"), TINY[method])
    assert describe_empty(fit) == ""
    W = fit.tree["posterior/W"].values
    W[..., 1] *= 0.4 * EMPTY * W[..., 0].sum() / W[..., 1].sum()
    assert describe_empty(fit).startswith("1 of 2 components is empty: under these priors the data")


def test_under_flat_priors_the_search_is_to_blame():
    fit = with_masses(5.0, 0.0, model=bn.NMF(2, prior_W="flat", prior_H="flat"))
    assert "Use more starts (n_init)" in describe_empty(fit)


def test_nothing_but_zeros_has_no_component_to_fill():
    assert describe_empty(with_masses(0.0, 0.0)) == ""


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_nobody_is_told_to_round(likelihood):
    """Rounding shares or TF-IDF weights leaves nothing of them."""
    with pytest.raises(ValueError, match="not an integer") as error:
        small.run(SHARES, bn.NMF(2, likelihood), "mcmc")
    assert "round" not in str(error.value).casefold()
    assert "gamma or Gaussian likelihood" in str(error.value)
