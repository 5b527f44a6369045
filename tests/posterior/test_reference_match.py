"""Matching components with references, against SciPy, scikit-learn and a search."""

from __future__ import annotations

import itertools

import ambiguous
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import small
import synthetic
import xarray as xr
from sklearn.metrics.pairwise import cosine_similarity

import bayesnmf as bn

DRAWS = synthetic.draws()
COLUMNS = ["a", "b", "c", "d"]
NAMES = ["SBS1", "SBS2", "SBS3", "SBS4", "SBS5"]


@pytest.fixture(scope="module")
def fit():
    return synthetic.assembled(*DRAWS, V=pd.DataFrame(np.ones((5, 4)), columns=COLUMNS))


@pytest.fixture(scope="module")
def catalogue():
    """Return profiles of which three are the components, of any scale, among others."""
    rng = np.random.default_rng(3)
    values = np.vstack([rng.gamma(1.0, size=(2, 4)), synthetic.H[[2, 0, 1]] * [[9.0], [1], [0.1]]])
    return pd.DataFrame(values, NAMES, COLUMNS)


@pytest.mark.parametrize("ci_prob", [0.9, 0.5])
def test_cosines_are_scikit_learns(fit, catalogue, ci_prob):
    table = bn.match(fit, catalogue, ci_prob=ci_prob).cosine
    H = fit.tree["posterior/H"].to_numpy().reshape(-1, 3, 4)
    expected = np.stack([cosine_similarity(draw, catalogue) for draw in H])
    low, high = np.quantile(expected, (0.5 - ci_prob / 2, 0.5 + ci_prob / 2), axis=0)
    assert table["component"].tolist() == np.repeat([0, 1, 2], 5).tolist()
    assert table["reference"].tolist() == NAMES * 3
    found = table.iloc[:, 2:].to_numpy().T.reshape(3, 3, 5)
    np.testing.assert_allclose(found, [expected.mean(axis=0), low, high], rtol=1e-12)
    assert table.columns[3] == f"{50 - 50 * ci_prob:g}%"


def test_the_assignment_is_the_best_of_all(fit, catalogue):
    found = bn.match(fit, catalogue)
    cosine = found.cosine["mean"].to_numpy().reshape(3, 5)
    best = max(itertools.permutations(range(5), 3), key=lambda p: cosine[range(3), p].sum())
    assert found.assignment["reference"].tolist() == [NAMES[r] for r in best]
    assert found.assignment["reference"].tolist() == ["SBS4", "SBS5", "SBS3"]
    np.testing.assert_array_equal(found.assignment["mean"], cosine[range(3), best])
    pairs = found.cosine.set_index(["component", "reference"])
    for name, row in found.assignment.iterrows():
        assert pairs.loc[(name, row["reference"]), "5%"] == row["5%"]


def test_an_assignment_is_not_each_components_nearest():
    """Both components are nearest to the first reference, and one must take the second."""
    H = np.array([[[[0.8, 0.2, 0.0], [0.7, 0.3, 0.0]]]])
    fit = synthetic.assembled(np.ones((1, 1, 4, 2)) * [2.0, 1.0], H, method="map", converged=True)
    found = bn.match(fit, [[0.76, 0.24, 0.0], [0.2, 0.6, 0.2]])
    nearest = found.cosine.loc[found.cosine.groupby("component")["mean"].idxmax(), "reference"]
    assert nearest.tolist() == [0, 0]
    assert found.assignment["reference"].tolist() == [0, 1]
    assert found.assignment[["5%", "95%"]].isna().all(axis=None)  # a single draw


def test_fewer_references_than_components(fit, catalogue):
    found = bn.match(fit, catalogue.iloc[2:4])
    assert found.assignment["reference"].fillna("").tolist() == ["SBS4", "", "SBS3"]
    assert found.assignment["mean"].isna().tolist() == [False, True, False]
    assert found.message.endswith("1 have no reference, since there are too few.")
    assert found.message.startswith("2 of 3 component(s) have a cosine of 0.9 or more")


def test_combinations_are_least_squares(fit, catalogue):
    found = bn.match(fit, catalogue).combination
    profiles = catalogue.to_numpy() / catalogue.to_numpy().sum(axis=1, keepdims=True)
    H = fit.H.to_numpy()
    for k in range(3):
        rows = found[found["component"] == k].set_index("reference")
        weights = rows["weight"].reindex(NAMES, fill_value=0.0).to_numpy()
        exact = scipy.optimize.lsq_linear(profiles.T, H[k], (0, np.inf), tol=1e-14)
        residual = np.linalg.norm(weights @ profiles - H[k])
        np.testing.assert_allclose(residual, np.sqrt(2 * exact.cost), atol=1e-9)
        cosine = cosine_similarity([weights @ profiles], [H[k]])[0, 0]
        np.testing.assert_allclose(rows["cosine"], cosine)
        assert rows["weight"].is_monotonic_decreasing
        assert (rows["weight"] > 0).all()


def test_a_mixture_is_taken_apart():
    """A component that is 70 % of one reference and 30 % of another, whatever their scale."""
    parts = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.1, 0.2, 0.7], [0.1, 0.1, 0.7, 0.1]])
    H = np.array([[[0.7, 0.3, 0.0] @ parts]])[None]
    fit = synthetic.assembled(np.ones((1, 1, 4, 1)), H, method="map", converged=True)
    found = bn.match(fit, pd.DataFrame(parts * [[1e-200], [1e200], [5.0]], ["A", "B", "C"]))
    assert found.combination["reference"].tolist()[:2] == ["A", "B"]
    np.testing.assert_allclose(found.combination["weight"][:2], [0.7, 0.3], rtol=1e-9)
    np.testing.assert_allclose(found.combination["cosine"], 1.0)
    assert "0.70 A + 0.30 B" in repr(found)


def test_an_empty_component_is_like_nothing(catalogue):
    W, H = (x.copy() for x in DRAWS)
    H[:, :, 2] = 0.0
    fit = synthetic.assembled(W, H, V=pd.DataFrame(np.ones((5, 4)), columns=COLUMNS))
    with np.errstate(all="raise"):
        found = bn.match(fit, catalogue)
    assert (found.cosine.loc[found.cosine["component"] == 2, "mean"] == 0).all()
    assert set(found.combination["component"]) == {0, 1}
    assert "none" in repr(found)


# -- kinds of references ------------------------------------------------------------------------


def test_labelled_columns_are_matched_by_name(fit, catalogue):
    expected = bn.match(fit, catalogue)
    shuffled = catalogue[["c", "a", "d", "b"]]
    labelled = xr.DataArray(
        shuffled.to_numpy(), {"row": NAMES, "column": list(shuffled)}, ("row", "column")
    )
    for reference in (shuffled, labelled, labelled.T):
        found = bn.match(fit, reference)
        pd.testing.assert_frame_equal(found.cosine, expected.cosine, check_exact=True)
        pd.testing.assert_frame_equal(found.combination, expected.combination)
    found = bn.match(fit, catalogue.to_numpy())
    assert found.cosine["reference"].tolist()[:5] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found.cosine["mean"], expected.cosine["mean"])


def test_a_fit_is_a_reference(fit):
    other = fit.rename({0: "x", 1: "y", 2: "z"})
    found = bn.match(fit, other)
    assert found.assignment["reference"].tolist() == ["x", "y", "z"]
    pd.testing.assert_frame_equal(found.cosine, bn.match(fit, other.H).cosine)


def test_empty_components_of_a_fit_are_no_references(fit):
    H = DRAWS[1].copy()
    H[:, :, 2] = 0.0
    other = synthetic.assembled(DRAWS[0], H, V=fit.V)
    assert bn.match(fit, other).assignment["reference"].dropna().tolist() == [0, 1]


@pytest.mark.parametrize("likelihood", small.PLAIN)
@pytest.mark.parametrize("method", small.METHODS)
def test_a_fit_of_any_method_matches_itself(likelihood, method):
    fit = synthetic.shaped(likelihood, method)
    found = bn.match(fit, fit)
    np.testing.assert_allclose(found.combination.groupby("component")["cosine"].first(), 1.0)
    cosine = found.cosine["mean"].to_numpy().reshape(2, 2)
    swapped = cosine[0, 1] + cosine[1, 0] > np.trace(cosine)
    assert found.assignment["reference"].tolist() == ([1, 0] if swapped else [0, 1])


def test_blocks_of_references_change_nothing(fit, catalogue, monkeypatch):
    whole = bn.match(fit, catalogue)
    monkeypatch.setattr("bayesnmf.posterior.reference_match.BLOCK", 300)
    pd.testing.assert_frame_equal(bn.match(fit, catalogue).cosine, whole.cosine)


# -- what is refused ----------------------------------------------------------------------------


def changed(catalogue, value, row=1, column=2):
    table = catalogue.copy()
    table.iloc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (-0.5, "the value -0.5 of reference 'SBS2' in column 'c' is negative"),
        (np.nan, "the value nan of reference 'SBS2' in column 'c' is not finite"),
        (np.inf, "the value inf of reference 'SBS2' in column 'c' is not finite"),
    ],
)
def test_profiles_are_finite_and_not_negative(fit, catalogue, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        bn.match(fit, changed(catalogue, value))


def test_an_empty_profile_is_named(fit, catalogue):
    with pytest.raises(ValueError, match="reference 'SBS2' is zero in all columns"):
        bn.match(fit, catalogue.mul([1, 0, 1, 1, 1], axis=0))
    with pytest.raises(ValueError, match="reference 1 is zero in all columns"):
        bn.match(fit, [[1, 1, 1, 1], [0, 0, 0, 0]])


def test_other_columns_are_refused(fit, catalogue):
    with pytest.raises(ValueError, match=r"columns of reference have other names.*'e' not in"):
        bn.match(fit, catalogue.rename(columns={"d": "e"}))
    with pytest.raises(ValueError, match="'d' of the fit missing"):
        bn.match(fit, catalogue[["a", "b", "c"]])
    with pytest.raises(ValueError, match=r"names of the columns of V: .*reference\.T"):
        bn.match(fit, catalogue.T)
    for shape in ((5, 3), (4,), (0, 4), (2, 2, 4)):
        sentence = rf"reference has shape \({', '.join(map(str, shape))},?\), not \(references, 4\)"
        with pytest.raises(ValueError, match=sentence):
            bn.match(fit, np.ones(shape))


def test_other_kinds_of_references_are_refused(fit, catalogue):
    for reference in ("COSMIC.txt", catalogue.astype(object).replace(catalogue.iloc[0, 0], "x")):
        with pytest.raises(ValueError, match="reference must hold numbers"):
            bn.match(fit, reference)
    twice = catalogue.rename(index={"SBS2": "SBS1"})
    with pytest.raises(ValueError, match="several references have the name 'SBS1'"):
        bn.match(fit, twice)
    with pytest.raises(ValueError, match="ci_prob must lie between 0 and 1, not 90"):
        bn.match(fit, catalogue, ci_prob=90)


def test_draws_that_are_not_finite_are_like_nothing():
    W, H = (x.copy() for x in DRAWS)
    H[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"draws of H are not finite.*bn\.check"):
        bn.match(synthetic.assembled(W, H, V=np.ones((5, 4))), np.eye(4))


def test_modes_are_matched_one_at_a_time():
    several = ambiguous.fitted()
    one = bn.modes(several)[0]
    for fit, reference in ((several, np.eye(4)), (one, several)):
        with pytest.raises(ValueError, match="in 2 modes"):
            bn.match(fit, reference)
    assert len(bn.match(one, np.eye(4)).assignment) == 4


# -- real data ----------------------------------------------------------------------------------


@pytest.mark.data
def test_breast_cancers_hold_the_signatures_of_apobec(shared_data):
    """COSMIC's signatures 2 and 13, which the literature finds in these tumours."""
    path = shared_data / "cosmic" / "COSMIC_v2_SBS_GRCh37.txt"
    catalogue = pd.read_csv(path, sep="\t", index_col=0).T
    V = bn.datasets.breast21()
    fit = bn.fit(V, bn.NMF(4), bn.MAP(n_init=2), progress=False)
    found = bn.match(fit, catalogue[catalogue.columns[::-1]])
    named = found.assignment.set_index("reference")["mean"]
    assert named["Signature_2"] > 0.85
    assert named["Signature_13"] > 0.85
    parts = found.combination.groupby("component")["cosine"].first()
    assert (parts > 0.9).all()
    assert fit.rename(found.assignment["reference"].to_dict()).summary().index.is_unique
