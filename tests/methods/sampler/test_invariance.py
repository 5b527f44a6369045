"""Every move alone, and the whole sweep, leave the joint distribution unchanged."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import small
from methods.sampler import prior_check as check

from bayesnmf.arrays import record
from bayesnmf.methods.sampler import Plan
from bayesnmf.methods.sampler.moves.joint import joint_move
from bayesnmf.methods.sampler.moves.parameters import parameter_move
from bayesnmf.methods.sampler.moves.row import row_move
from bayesnmf.methods.sampler.moves.scale import scale_move
from bayesnmf.methods.sampler.moves.shear import shear_move
from bayesnmf.methods.sampler.moves.truncated import truncated_move
from bayesnmf.methods.sampler.sweep import sweep
from bayesnmf.methods.sampler.target import Position, of_H, of_W
from bayesnmf.priors import Gamma

pytestmark = [pytest.mark.statistical, pytest.mark.usefixtures("float64")]
#: The short suite keeps one discrete and one continuous likelihood; `make test-long` runs the others.
every_likelihood = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("poisson", "gaussian") else pytest.mark.long)
        for name in check.LIKELIHOODS
    ],
)


def scale(model, data, position, noise):
    return scale_move(model, position, noise.scale)


def shear(model, data, position, noise):
    return shear_move(model, position, noise.shear)


def blocks(model, data, position, noise, step=0.6):
    """Move W, then H; the priors' part may be broken by another model's."""
    tuning = check.fixed_tuning(position, step)
    steps = [jnp.exp(s.log_step) for s in tuning.steps]
    W, _ = row_move(
        of_W(model, data, position), position.W, tuning.metric.W, steps[0], noise.W, n_leapfrogs=3
    )
    position = position._replace(W=W)
    H, _ = row_move(
        of_H(model, data, position), position.H, tuning.metric.H, steps[1], noise.H, n_leapfrogs=3
    )
    return position._replace(H=H)


def joint(model, data, position, noise):
    tuning = check.fixed_tuning(position)
    step = jnp.exp(tuning.steps.joint.log_step)
    return joint_move(model, data, position, tuning.metric, step, noise.joint, n_leapfrogs=5)[0]


def parameters(model, data, position, noise):
    W, H, values = position
    widths = {name: jnp.ones_like(x) for name, x in values.items()}
    values, _ = parameter_move(model, data, jnp.exp(W), jnp.exp(H), values, widths, noise.slices)
    return Position(W, H, values)


def truncated(model, data, position, noise):
    W, H, values = position
    u = noise.entries
    W = truncated_move(data, W, jnp.exp(H), values["sigma"], model.prior_W, u[0], axis=1)
    H = truncated_move(data, H, jnp.exp(W), values["sigma"], model.prior_H, u[1], axis=0)
    return Position(W, H, values)


def whole_sweep(model, data, position, noise):
    plan = Plan(exponential=False, joint_leapfrogs=4)
    tuning = check.fixed_tuning(position, known=model.n_known_H)
    return sweep(plan, model, data, position, tuning, noise.slices)[0]


def truncated_sweep(model, data, position, noise):
    plan = Plan("truncated", joint_leapfrogs=4)
    tuning = check.fixed_tuning(position, known=model.n_known_H)
    return sweep(plan, model, data, position, tuning, noise.slices)[0]


@pytest.mark.parametrize(
    ("move", "shape"), [(scale, 0.4), (scale, 1.0), (scale, 2.5), (shear, 1.0)]
)
def test_moves_that_leave_WH_leave_the_priors(move, shape):
    """They do not use the data, so one likelihood is enough; shears are of exponential priors only."""
    p = check.p_values(check.model_of("poisson", shape), move, seed=1)
    assert check.agrees(p), p


def test_truncated_normal_draws_leave_the_joint_distribution():
    p = check.p_values(check.model_of("gaussian", 1.0), truncated, seed=3)
    assert check.agrees(p), p


@pytest.mark.parametrize(
    ("name", "move"),
    small.short_of(
        [(name, move) for name in check.LIKELIHOODS for move in (blocks, joint)],
        ("gaussian", blocks),
        ("poisson", joint),
    ),
)
def test_moves_of_the_factors_leave_the_joint_distribution(name, move):
    p = check.p_values(check.model_of(name), move, seed=4)
    assert check.agrees(p), p


@pytest.mark.parametrize(
    "name", ["poisson", *(pytest.param(n, marks=pytest.mark.long) for n in ("gaussian", "beta"))]
)
def test_whole_sweeps_leave_the_joint_distribution(name):
    """Of the others in ``test_rate_moves.py``, where rates move too."""
    p = check.p_values(check.model_of(name), whole_sweep, seed=4)
    assert check.agrees(p), p


@pytest.mark.parametrize(
    ("name", "shape", "moves"),
    [
        ("poisson", 1.3, whole_sweep),
        ("gaussian", 1.0, truncated_sweep),
        pytest.param("gamma", 1.3, whole_sweep, marks=pytest.mark.long),
        pytest.param("beta", 1.3, whole_sweep, marks=pytest.mark.long),
    ],
)
def test_sweeps_beside_a_known_component_leave_the_joint_distribution(name, shape, moves):
    model = replace(check.model_of(name, shape), H=np.array([[0.3, 0.8, 0.0, 1.4]]))
    p = check.p_values(model, moves, seed=8)
    assert check.agrees(p), p


@pytest.mark.parametrize(
    "name",
    small.short_of([n for n in check.LIKELIHOODS if n != "poisson"], "negative_binomial"),
)
def test_moves_of_the_parameters_leave_the_joint_distribution(name):
    p = check.p_values(check.model_of(name), parameters, seed=5)
    assert check.agrees(p), p


# -- negative controls: what the test must see -------------------------------------------------


def with_another_shape(model, change):
    """Return the model with another shape of W's prior, which is traced, so not validated."""
    wrong = record(Gamma, shape=model.prior_W.shape + change, rate=model.prior_W.rate)
    return record(type(model), **{**vars(model), "prior_W": wrong})


def without_jacobian(model, data, position, noise):
    """Forget that the coordinates are logarithms."""
    return blocks(with_another_shape(model, -1.0), data, position, noise)


def with_wrong_order(model, data, position, noise):
    """Draw scales from a generalised inverse Gaussian whose order is off by one."""
    return scale(with_another_shape(model, 1.0 / position.W.shape[1]), data, position, noise)


def without_rejection(model, data, position, noise):
    """Accept every trajectory."""
    noise = noise._replace(
        W=noise.W._replace(accept=jnp.zeros_like(noise.W.accept)),
        H=noise.H._replace(accept=jnp.zeros_like(noise.H.accept)),
    )
    return blocks(model, data, position, noise, step=2.0)


@pytest.mark.parametrize(
    "move",
    small.short_of([without_jacobian, with_wrong_order, without_rejection], without_rejection),
)
def test_broken_moves_are_found_out(move):
    p = check.p_values(check.model_of("poisson", 1.3), move, seed=6)
    assert not check.agrees(p), p
