"""Simulation-based calibration and coverage of MCMC, for every likelihood.

Each likelihood runs once: its chains answer for the ranks and for the coverage of intervals. All tests
of uniformity together fail once in a thousand times while the sampler is right.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
import replicates
from scipy import stats

from bayesnmf.likelihoods import REGISTRY
from bayesnmf.methods.sampler import Plan, plan_for
from bayesnmf.observed.cells import Cells

pytestmark = [
    pytest.mark.statistical,
    pytest.mark.long,
    pytest.mark.usefixtures("float64", "optimised"),
]

SHAPE, RANK, REPLICATES = (6, 5), 2, 192
DRAWS, WARMUP = 63, 200
#: Sweeps between draws, which makes them nearly independent, and a short joint trajectory, which
#: is enough for two dozen unknowns.
MOVES, THIN = {"joint_leapfrogs": 8}, 4
#: Shapes of the priors of W and H: the moves differ where one is not 1.
SHAPES = {"gamma": (1.5, 0.8)}
FALSE_ALARM = 1e-3
every_likelihood = pytest.mark.parametrize("name", replicates.LIKELIHOODS)


def model_of(name):
    return replicates.model_of(name, RANK, *SHAPES.get(name, ()))


@cache
def where(name, change=0.0):
    """Return where the truth falls among draws; `change` breaks the shape of the prior of W."""
    model = model_of(name)
    truth = replicates.simulate(model, SHAPE, REPLICATES, seed=1)
    start = replicates.simulate(model, SHAPE, REPLICATES, seed=2).sites
    plan: Plan = replace(plan_for(model, Cells(truth.V[0], None)), **MOVES)
    prior = model.prior_W
    model = replace(model, prior_W=replace(prior, shape=prior.shape + change))
    true, draws = replicates.sample(
        model, truth, start, plan, num_warmup=WARMUP, num_samples=DRAWS, thin=THIN, seed=3
    )
    return replicates.positions(true, draws)


def p_values(position):
    return {name: replicates.p_value(x) for name, x in replicates.scalars(position).items()}


def n_tests():
    """Return the number of quantities over all likelihoods."""
    return sum(2 + RANK + len(model_of(name).likelihood.priors) for name in replicates.LIKELIHOODS)


def test_every_likelihood_is_calibrated():
    assert set(replicates.LIKELIHOODS) == set(REGISTRY)


@every_likelihood
def test_the_rank_of_the_truth_is_uniform(name):
    p = p_values(where(name))
    assert min(p.values()) > FALSE_ALARM / n_tests(), p


@every_likelihood
def test_intervals_of_WH_cover_what_they_say(name):
    """The error of the share is about 0.6 %, so 87 % and 93 % are five errors away from 90 %."""
    limit = stats.norm.isf(FALSE_ALARM / 2 / (2 * len(replicates.LIKELIHOODS)))
    for prob in (0.5, 0.9):
        share, error = replicates.coverage(where(name)["WH"], prob)
        assert abs(share - prob) < limit * error, (prob, share, error)
    assert 0.87 < share < 0.93
    assert error < 0.008


def test_a_lost_jacobian_is_found_out():
    """Negative control: moves in log W that forget its Jacobian, a shape that is one too small."""
    p = p_values(where("gamma", change=-1.0))
    assert min(p.values()) < FALSE_ALARM / n_tests(), p


def test_the_tests_of_uniformity():
    """They pass uniform numbers, and see a shift and intervals that are too narrow or too wide."""
    rng = np.random.default_rng(5)
    p = np.array([replicates.p_value(rng.random(REPLICATES)) for _ in range(2000)])
    alarms = (p < 0.05).sum()
    assert alarms <= stats.binom.isf(FALSE_ALARM, len(p), 0.05)
    for a, b in ((2.0, 1.0), (0.4, 0.4), (2.5, 2.5)):
        assert replicates.p_value(rng.beta(a, b, REPLICATES)) < FALSE_ALARM / n_tests()


def test_where_the_truth_falls():
    """Against a count by hand, and intervals that hold a known share."""
    draws = {"x": np.arange(9.0)[:, None] + np.zeros(4)}
    u = replicates.positions({"x": np.array([-1.0, 0.5, 4.5, 20.0])}, draws)["x"]
    np.testing.assert_array_equal(np.floor(10 * u), [0, 1, 5, 9])
    grid = (np.arange(1000).reshape(10, 100).T + 0.5) / 1000
    share, error = replicates.coverage(grid, 0.9)
    assert share == pytest.approx(0.9)
    assert error == pytest.approx(0.0, abs=0.02)


def test_every_replicate_is_a_chain_of_its_own():
    """Replacing the data of one changes its draws, and no others."""
    model = model_of("gaussian")
    truth = replicates.simulate(model, SHAPE, REPLICATES, seed=1)
    other = replicates.simulate(model, SHAPE, REPLICATES, seed=4)
    V = truth.V.copy()
    V[7] = other.V[7]
    plan = replace(plan_for(model, Cells(truth.V[0], None)), **MOVES)
    options = {"num_warmup": 5, "num_samples": DRAWS, "thin": THIN, "seed": 3}
    runs = [
        replicates.sample(model, t, other.sites, plan, **options)[1]["WH"]
        for t in (truth, truth._replace(V=V))
    ]
    changed = (runs[0] != runs[1]).any(axis=(0, 2, 3))
    assert np.flatnonzero(changed).tolist() == [7]
    assert isinstance(jax.tree.leaves(runs)[0], np.ndarray)
