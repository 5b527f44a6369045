"""Components: one scale, one order, and matching that no relabelling can change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from bayesnmf.methods.matching import match_rows, unit_rows
from bayesnmf.posterior.components import align, rescale


def cosines(H, pivot):
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (pivot, H)]
    return unit[0] @ unit[1].T


def test_scale_moves_into_W():
    W, H = synthetic.draws()
    raw_W, raw_H, _ = synthetic.scrambled(W, H)
    scaled_W, scaled_H, scale = rescale(raw_W, raw_H)
    np.testing.assert_allclose(scaled_H.sum(axis=-1), 1)
    np.testing.assert_allclose(scaled_W @ scaled_H, raw_W @ raw_H)
    np.testing.assert_allclose(scaled_H * scale[..., None], raw_H)
    np.testing.assert_allclose(scaled_W / scale[..., None, :], raw_W)


@pytest.mark.parametrize("seed", range(5))
def test_relabelled_and_rescaled_draws_align_to_the_same(seed):
    W, H = synthetic.draws(noise=0.3)
    lp = np.random.default_rng(2).standard_normal(W.shape[:2])
    expected = align(W, H, lp)
    raw_W, raw_H, _ = synthetic.scrambled(W, H, seed)
    scale = np.random.default_rng(seed).lognormal(0, 3, (*lp.shape, 3))
    raw_W, raw_H = raw_W * scale[..., None, :], raw_H / scale[..., None]
    got = align(raw_W, raw_H, lp)
    for name in ("W", "H", "similarity"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), err_msg=name)


def test_chains_whose_labels_switch_end_in_the_order_of_the_truth():
    """Each draw's order is known, so the matching can be compared with it entry by entry."""
    W, H = synthetic.draws(n_chains=4)
    raw_W, raw_H, order = synthetic.scrambled(W, H)
    got = align(raw_W, raw_H)
    np.testing.assert_array_equal(got.order, np.argsort(order, axis=-1))
    np.testing.assert_allclose(got.W, W)
    np.testing.assert_allclose(got.H, H)
    assert got.similarity.min() > 0.97


def test_nothing_is_lost():
    """Scale and order give the draws back; the product and the arguments do not change."""
    W, H, _ = synthetic.scrambled(*synthetic.draws())
    before = W.copy(), H.copy()
    got = align(W, H)
    np.testing.assert_allclose(got.W @ got.H, W @ H)
    original_W = np.take_along_axis(W, got.order[..., None, :], axis=-1)
    original_H = np.take_along_axis(H, got.order[..., None], axis=-2)
    np.testing.assert_allclose(got.W / got.scale[..., None, :], original_W)
    np.testing.assert_allclose(got.H * got.scale[..., None], original_H)
    np.testing.assert_array_equal(W, before[0])
    np.testing.assert_array_equal(H, before[1])


def test_components_fall_in_average_mass():
    rng = np.random.default_rng(3)
    H = np.exp(0.1 * rng.standard_normal((2, 9, 4, 6))) + 5 * np.eye(4, 6)
    W = rng.gamma(1.0, size=(2, 9, 5, 4)) * [1.0, 9.0, 0.1, 3.0]
    got = align(W, H)
    mass = got.W.sum(axis=-2)
    assert (np.diff(mass.mean(axis=(0, 1))) < 0).all()
    np.testing.assert_array_equal(got.order[0, 0], [1, 3, 0, 2])


@pytest.mark.parametrize("n_components", [1, 2, 3, 4])
def test_matching_is_the_best_of_all_permutations(n_components):
    """Near-equal rows clash: several of a draw's rows are nearest to the same place."""
    rng = np.random.default_rng(n_components)
    pivot = rng.gamma(2.0, size=(n_components, 5))
    H = rng.gamma(2.0, size=(60, n_components, 5))
    H[::2] = H[::2, :1] + 0.05 * H[::2]
    got, places = match_rows(H, pivot), np.arange(n_components)
    clashes = 0
    for order, draw in zip(got, H, strict=True):
        cosine = cosines(draw, pivot)
        clashes += len(set(cosine.argmax(axis=1))) < n_components
        best = max(cosine[places, list(p)].sum() for p in itertools.permutations(places))
        assert sorted(order) == list(places)
        assert cosine[places, order].sum() == pytest.approx(best, rel=1e-12)
    assert clashes > 20 or n_components == 1


def test_rounds_do_not_lower_the_similarity():
    """The draw of highest density is an outlier; its matches' mean is the better pivot."""
    W, H = synthetic.draws(noise=0.6, seed=5)
    lp = np.zeros(W.shape[:2])
    lp[1, 2] = 1.0
    H[1, 2] = 1.0 + 0.01 * H[1, 2]
    got = align(W, H, lp)
    first = match_rows(H.reshape(-1, *H.shape[2:]), H[1, 2])
    once = np.take_along_axis(H.reshape(-1, *H.shape[2:]), first[..., None], axis=1)
    pivot = once.mean(axis=0)
    before = np.mean([np.diag(cosines(draw, pivot)).mean() for draw in once])
    assert got.similarity.mean() >= before


def test_an_empty_component_stays_finite_and_comes_last():
    """A MAP estimate may have a component that is zero in H, while W is at the maximum of its prior."""
    W, H = synthetic.draws()
    H[:, :, 0] = 0
    W[..., 0] = 50.0
    with np.errstate(all="raise"):
        got = align(W, H)
    for value in got:
        assert np.isfinite(value).all()
    np.testing.assert_array_equal(got.order[..., -1], 0)
    np.testing.assert_array_equal(got.H[:, :, -1], 0)
    np.testing.assert_array_equal(got.similarity[..., -1], 0)
    np.testing.assert_allclose(got.W @ got.H, W @ H)


def test_one_component_needs_no_matching():
    W, H = synthetic.draws()
    got = align(3 * W[..., :1], H[..., :1, :] / 3)
    np.testing.assert_array_equal(got.order, 0)
    np.testing.assert_allclose(got.W, W[..., :1])
    np.testing.assert_allclose(got.scale, 1 / 3)


def test_one_draw_matches_itself():
    got = align(synthetic.W[None, None], synthetic.H[None, None])
    np.testing.assert_allclose(got.similarity, 1)


def test_precision_is_kept():
    W, H = (x.astype(np.float32) for x in synthetic.draws())
    assert {x.dtype for x in align(W, H) if x.dtype.kind == "f"} == {np.dtype(np.float32)}


ROW = st.sampled_from(["ordinary", "zero", "denormal", "tiny", "huge", "infinite", "nan"])
FACTORS = {
    "ordinary": 1.0,
    "zero": 0.0,
    "denormal": 1e-310,
    "tiny": 1e-200,
    "huge": 1e200,
    "infinite": np.inf,
    "nan": np.nan,
}


@given(st.lists(ROW, min_size=12, max_size=12), st.integers(0, 3))
def test_rows_of_any_size_are_matched(kinds, seed):
    """Three draws of four components: the matching sees finite cosines, whatever the rows hold."""
    H = np.random.default_rng(seed).gamma(1.0, size=(1, 3, 4, 5)) + 0.1
    unit = unit_rows(H)
    with np.errstate(all="ignore"):
        H *= np.array([FACTORS[kind] for kind in kinds]).reshape(1, 3, 4, 1)
    with np.errstate(over="raise", divide="raise"):
        got = align(np.ones((1, 3, 2, 4)), H, np.array([[np.nan, 0.0, -np.inf]]))
    np.testing.assert_array_equal(np.sort(got.order, axis=-1), np.arange(4) + np.zeros((1, 3, 1)))
    assert np.isfinite(got.similarity).all()
    assert (np.abs(got.similarity) <= 1 + 1e-12).all()
    # Any size that leaves digits leaves the direction too.
    plain = np.isin(np.reshape(kinds, (1, 3, 4)), ["ordinary", "tiny", "huge"])
    np.testing.assert_allclose(unit_rows(H)[plain], unit[plain], rtol=1e-14)
    gone = np.isin(np.reshape(kinds, (1, 3, 4)), ["zero", "infinite", "nan"])
    np.testing.assert_array_equal(unit_rows(H)[gone], 0)
