"""Diagnostics of many entries at once are those of ArviZ, entry by entry."""

from __future__ import annotations

import warnings
from time import process_time

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayesnmf.convergence import convergence, ess_mean

AXES = {"chain_axis": 0, "draw_axis": 1}


def autoregressive(shape, share, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    for t in range(1, shape[1]):
        x[:, t] += share * x[:, t - 1]
    return x


def by_arviz(draws):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            array_stats.rhat(draws, **AXES),
            array_stats.ess(draws, **AXES),
            array_stats.ess(draws, **AXES, method="tail", prob=(0.05, 0.95)),
        )


@pytest.mark.parametrize(
    "shape",
    [
        (4, 100, 5),
        (2, 101, 3),
        (4, 4, 5),
        (3, 5, 4),
        (2, 7, 3),
        (4, 6, 9),
        (1, 50, 3),
        (4, 1000, 2),
    ],
)
@pytest.mark.parametrize("share", [-0.9, 0.0, 0.5, 0.95, 1.0])
def test_numbers_are_those_of_arviz(shape, share):
    x = autoregressive(shape, share)
    for draws in (x, np.round(x), np.exp(5 * x)):
        found = convergence(draws)
        for ours, theirs in zip(found, by_arviz(draws), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)
        theirs = array_stats.ess(draws, **AXES, method="mean")
        np.testing.assert_allclose(ess_mean(draws), theirs, rtol=1e-10)


def test_constant_and_broken_entries():
    draws = autoregressive((4, 50, 4), 0.5)
    draws[0, 3, 1], draws[..., 2], draws[1, :, 3] = np.nan, 1.0, np.inf
    found, theirs = convergence(draws), by_arviz(draws)
    for ours, expected in zip(found, theirs, strict=True):
        np.testing.assert_allclose(ours[:3], expected[:3], rtol=1e-10)
    assert np.isnan([x[3] for x in found]).all()
    assert np.isnan(convergence(draws[:, :3])).all()


def test_a_batch_takes_a_fraction_of_the_time():
    draws = autoregressive((4, 500, 300), 0.5)
    convergence(draws[..., :2])
    begin = process_time()
    convergence(draws)
    middle = process_time()
    by_arviz(draws[..., :60])
    assert middle - begin < 2 * (process_time() - middle)  # five times the entries
