"""One sweep: every move once, in turn."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.joint import joint_move
from bayesnmf.methods.sampler.moves.rates import rate_moves
from bayesnmf.methods.sampler.moves.row import row_move
from bayesnmf.methods.sampler.moves.scale import scale_move
from bayesnmf.methods.sampler.moves.shear import shear_move
from bayesnmf.methods.sampler.moves.truncated import truncated_move
from bayesnmf.methods.sampler.noise import Noise, Trajectory, draw_noise
from bayesnmf.methods.sampler.plan import Plan
from bayesnmf.methods.sampler.row_sweep import parameters_moved, row_sweep
from bayesnmf.methods.sampler.target import (
    Position,
    conditioned,
    free_parts,
    independent_factor,
    of_H,
    of_W,
    with_free,
)
from bayesnmf.methods.sampler.tuning import Acceptance, Metric, Steps, Tuning
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Gram, Sampled


def sweep(
    plan: Plan, model: NMF, data: Sampled, position: Position, tuning: Tuning, key: Array
) -> tuple[Position, Acceptance]:
    """Apply the moves of a plan in turn; each leaves the posterior invariant.

    Rates under hyper-priors are moved last: to all other moves the priors are plain gamma ones.
    """
    if plan.factors == "block" and independent_factor(model):
        return row_sweep(plan, model, data, position, tuning, key)
    known = model.n_known_W, model.n_known_H
    metric = tuning.metric
    directions = metric.tangents.root.shape[1] if isinstance(metric, Metric) else 0
    noise = draw_noise(key, position, directions, known)
    whole, rates = model, {name: position.parameters[name] for name in model.hyper_priors}
    model, position = conditioned(model, position)
    position = scale_move(model, position, noise.scale)
    if plan.exponential:
        position = shear_move(model, position, noise.shear)
    if plan.factors == "truncated":
        position, accept = _truncated(model, cast(Gram, data), position, noise)
    else:
        position, accept = _blocks(plan, model, data, position, tuning, noise)
    position, accept_joint = _jointly(plan, model, data, position, tuning, noise.joint)
    key_parameters = jax.random.fold_in(noise.slices, 1)
    position, effort = parameters_moved(model, data, position, tuning, key_parameters)
    if rates:
        position = position._replace(parameters={**position.parameters, **rates})
        position = rate_moves(whole, data, position, jax.random.fold_in(noise.slices, 2))
    return position, Acceptance(Steps(*accept, accept_joint), effort)


def _jointly(
    plan: Plan,
    model: NMF,
    data: Sampled,
    position: Position,
    tuning: Tuning,
    noise: Trajectory,
) -> tuple[Position, Array]:
    """Move both factors together; return the acceptance probability of the last trajectory."""
    if not plan.moves_jointly:
        return position, jnp.zeros((), position.W.dtype)
    return joint_move(
        model,
        data,
        position,
        cast(Metric, tuning.metric),
        jnp.exp(tuning.steps.joint.log_step),
        noise,
        n_leapfrogs=plan.joint_leapfrogs,
        single_precision=plan.single_precision,
    )


def _blocks(
    plan: Plan, model: NMF, data: Sampled, position: Position, tuning: Tuning, noise: Noise
) -> tuple[Position, tuple[Array, Array]]:
    """Move W given H, then H given W, by row-parallel trajectories."""
    steps = tuning.steps
    how: Any = {"n_leapfrogs": plan.block_leapfrogs, "single_precision": plan.single_precision}
    metric = cast(Metric, tuning.metric)
    accept_W, accept_H = jnp.ones_like(position.W[0]), jnp.ones_like(position.H[0])
    (_, W), (_, H) = free_parts(model, position)
    if len(W):
        W, accept_W = row_move(
            of_W(model, data, position),
            W,
            metric.W,
            jnp.exp(steps.W.log_step),
            noise.W,
            **how,
        )
        position = with_free(model, position, W, H)
    if len(H):
        H, accept_H = row_move(
            of_H(model, data, position),
            H,
            metric.H,
            jnp.exp(steps.H.log_step),
            noise.H,
            **how,
        )
        position = with_free(model, position, W, H)
    return position, (accept_W, accept_H)


def _truncated(
    model: NMF, data: Gram, position: Position, noise: Noise
) -> tuple[Position, tuple[Array, Array]]:
    """Draw W given H, then H given W; nothing is ever rejected."""
    W, H, parameters = position
    sigma = {**model.likelihood.known, **parameters}["sigma"]
    sigma = jnp.asarray(sigma, W.dtype)
    (prior_W, _), (prior_H, _) = free_parts(model, position)
    (of_W, of_H), a, b = noise.entries, model.n_known_W, model.n_known_H
    W = truncated_move(data, W, jnp.exp(H), sigma, prior_W, of_W, axis=1, first=a)
    H = truncated_move(data, H, jnp.exp(W), sigma, prior_H, of_H, axis=0, first=b)
    return Position(W, H, parameters), (jnp.ones_like(W[0]), jnp.ones_like(H[0]))
