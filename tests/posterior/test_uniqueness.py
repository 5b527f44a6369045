"""Shears: how much mass two components can trade, against a search along the shear itself."""

from __future__ import annotations

import ambiguous
import numpy as np
import pytest
import small
import synthetic

import bayesnmf as bn
from bayesnmf.posterior.uniqueness import tradable


def searched(W, H, source, target, via):
    """Return the largest share of the source's mass that a shear moves, by bisection."""
    mass = W[:, source].sum() * H[source].sum()
    low, high = 0.0, 1e6
    for _ in range(200):
        t = (low + high) / 2
        new_W, new_H = W.copy(), H.copy()
        if via == "H":
            new_W[:, target] += t * W[:, source]
            new_H[source] -= t * H[target]
        else:
            new_H[target] += t * H[source]
            new_W[:, source] -= t * W[:, target]
        np.testing.assert_allclose(new_W @ new_H, W @ H, atol=1e-9 * (1 + t))
        if min(new_W.min(), new_H.min()) >= 0:
            low = t
            moved = mass - new_W[:, source].sum() * new_H[source].sum()
        else:
            high = t
    return moved / mass


def test_the_range_is_that_of_a_search():
    W, H = (x[None, None] for x in (synthetic.W, synthetic.H))
    table = bn.uniqueness(synthetic.assembled(W, H, method="map", converged=True)).table
    assert len(table) == 12
    for _, row in table.iterrows():
        expected = searched(synthetic.W, synthetic.H, row["source"], row["target"], row["via"])
        assert row["mean"] == pytest.approx(expected, rel=1e-9)
    assert table[["5%", "95%"]].isna().all(axis=None)


def test_means_and_quantiles_are_over_draws():
    W, H = synthetic.draws()
    table = bn.uniqueness(synthetic.assembled(W, H)).table.set_index(["source", "target", "via"])
    unit = [x / x.sum(axis=-1, keepdims=True) for x in (H, np.swapaxes(W, 2, 3))]
    for via, x in zip("HW", unit, strict=True):
        share = (x[:, :, 2] / x[:, :, 0]).min(axis=-1)
        row = table.loc[(2, 0, via)]
        expected = [share.mean(), *np.quantile(share, (0.05, 0.95))]
        np.testing.assert_allclose(row.to_numpy(float), expected)


def test_components_with_entries_of_their_own_trade_nothing():
    profiles = np.eye(3)[None] + 0.0
    np.testing.assert_array_equal(tradable(profiles), profiles)


def test_empty_components_trade_nothing():
    profiles = np.array([[[1.0, 2.0], [0.0, 0.0]]])
    with np.errstate(all="raise"):
        assert tradable(profiles)[0, 0, 1] == tradable(profiles)[0, 1, 0] == 0


def test_blocks_of_draws_change_nothing(monkeypatch):
    profiles = np.random.default_rng(0).gamma(1.0, size=(30, 3, 5))
    whole = tradable(profiles)
    monkeypatch.setattr("bayesnmf.posterior.uniqueness.BLOCK", 40)
    np.testing.assert_array_equal(tradable(profiles), whole)


def test_words_name_the_pairs():
    W, H = synthetic.draws(noise=0.01)
    H[:, :, 1] = 0.5 * H[:, :, 1] + 0.5 * H[:, :, 0]
    message = bn.uniqueness(synthetic.assembled(W, H)).message
    assert message.startswith("Components can trade mass without changing WH: up to ")
    assert "% of 1 to 0" in message
    rigid = np.eye(3)[None, None]
    message = bn.uniqueness(synthetic.assembled(rigid, rigid, method="map", converged=True)).message
    assert message == "No two components can trade a quarter of either without changing WH."


def test_any_method_has_a_table():
    assert len(bn.uniqueness(small.fitted("poisson", "svi")).table) == 4
    assert "via" in repr(bn.uniqueness(small.fitted("poisson", "map")))


def test_modes_are_asked_one_at_a_time():
    with pytest.raises(ValueError, match="in 2 modes"):
        bn.uniqueness(ambiguous.fitted())
