"""Relabelling and rescaling the components of raw draws changes no reported number."""

from __future__ import annotations

import ambiguous
import numpy as np
import pandas as pd
import pytest
import synthetic

import bayesnmf as bn


def pair(W, H, seed):
    """Return a fit of draws and one of the same draws, each with its own order and scale.

    Scales are powers of two, which round nothing: whatever differs then, differs in kind.
    """
    V = np.random.default_rng(3).poisson((W @ H).mean(axis=(0, 1))) + 0.0
    raw = synthetic.scrambled(W, H, seed)[:2]
    return synthetic.assembled(W, H, V=V), synthetic.assembled(*raw, V=V)


def assert_same(a, b):
    pd.testing.assert_frame_equal(a.summary(), b.summary(), rtol=1e-9)
    ours, theirs = bn.check(a), bn.check(b)
    # Ranks break ties between the two draws nearest to a median by their last digits.
    pd.testing.assert_frame_equal(ours.table, theirs.table, rtol=1e-4)
    pd.testing.assert_frame_equal(ours.components, theirs.components, rtol=1e-9)
    assert ours.converged == theirs.converged
    np.testing.assert_allclose(a.mass, b.mass, rtol=1e-12)
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
    pd.testing.assert_frame_equal(bn.uniqueness(a).table, bn.uniqueness(b).table, rtol=1e-9)
    for criterion in (bn.loo, bn.waic):
        ours, theirs = criterion(a), criterion(b)
        np.testing.assert_allclose(ours.elpd_i, theirs.elpd_i, rtol=1e-9)
        assert ours.p == pytest.approx(theirs.p, rel=1e-6)


@pytest.mark.filterwarnings("ignore:Pareto k|WAIC is not")
@pytest.mark.parametrize("seed", range(3))
def test_one_mode(seed):
    a, b = pair(*synthetic.draws(n_draws=60), seed)
    assert len(bn.modes(a)) == len(bn.modes(b)) == 1
    assert_same(a, b)


@pytest.mark.filterwarnings("ignore:Pareto k|WAIC is not")
def test_two_modes():
    a, b = (bn.modes(fit) for fit in pair(*ambiguous.draws(n_draws=120), 1))
    np.testing.assert_array_equal(a.labels, b.labels)
    assert len(a) == 2
    pd.testing.assert_frame_equal(a.table, b.table, rtol=1e-6)
    for ours, theirs in zip(a, b, strict=True):
        assert_same(ours, theirs)
