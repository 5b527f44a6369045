"""One sweep: every move once, in turn."""

from __future__ import annotations

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.auxiliary import parameter_move
from bayesnmf.methods.sampler.block import block_move
from bayesnmf.methods.sampler.hyper import rate_moves
from bayesnmf.methods.sampler.joint import joint_move
from bayesnmf.methods.sampler.noise import Noise, draw_noise
from bayesnmf.methods.sampler.plan import Plan
from bayesnmf.methods.sampler.scale import scale_move
from bayesnmf.methods.sampler.shear import shear_move
from bayesnmf.methods.sampler.target import Position, conditioned
from bayesnmf.methods.sampler.truncated import truncated_move
from bayesnmf.methods.sampler.tuning import Steps, Tuning
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Gram, Sampled


class Acceptance(NamedTuple):
    """What a sweep tells warm-up: acceptance probabilities, and proposals of the slices."""

    steps: Steps
    effort: dict[str, Array]

    @classmethod
    def none(cls, position: Position) -> Acceptance:
        """Return zeros of the right shapes, at a position without rates."""
        W, H, parameters = position
        steps = Steps(jnp.zeros_like(W[0]), jnp.zeros_like(H[0]), jnp.zeros((), W.dtype))
        return cls(steps, {name: jnp.zeros_like(x) for name, x in parameters.items()})


def sweep(
    plan: Plan, model: NMF, data: Sampled, position: Position, tuning: Tuning, key: Array
) -> tuple[Position, Acceptance]:
    """Apply the moves of a plan in turn; each leaves the posterior invariant.

    Rates under hyper-priors are moved last: to all other moves the priors are plain gamma ones.
    """
    noise = draw_noise(key, position, plan.joint_moves)
    whole, rates = model, {name: position.parameters[name] for name in model.hyper_priors}
    model, position = conditioned(model, position)
    position = scale_move(model, position, noise.scale)
    position = shear_move(model, position, noise.shear, noise.slices, exponential=plan.exponential)
    if plan.factors == "truncated":
        position, accept = _truncated(model, cast(Gram, data), position, noise)
    else:
        position, accept = _blocks(plan, model, data, position, tuning, noise)
    parameters, steps = position.parameters, tuning.steps
    accept_joint = jnp.zeros((), position.W.dtype)
    if plan.joint_moves:

        def jointly(j: Array, state: tuple[Position, Array]) -> tuple[Position, Array]:
            return joint_move(
                model,
                data,
                state[0],
                tuning.metric,
                jnp.exp(steps.joint.log_step),
                jax.tree.map(lambda x: x[j], noise.joint),
                n_leapfrogs=plan.joint_leapfrogs,
                single_precision=plan.single_precision,
            )

        position, accept_joint = lax.fori_loop(
            0, plan.joint_moves, jointly, (position, accept_joint)
        )
    effort: dict[str, Array] = {}
    if parameters:
        parameters, effort = parameter_move(
            model,
            data,
            jnp.exp(position.W),
            jnp.exp(position.H),
            parameters,
            tuning.log_width,
            jax.random.fold_in(noise.slices, 1),
        )
        position = position._replace(parameters=parameters)
    if rates:
        position = position._replace(parameters={**parameters, **rates})
        position = rate_moves(whole, data, position, jax.random.fold_in(noise.slices, 2))
    return position, Acceptance(Steps(*accept, accept_joint), effort)


def _blocks(
    plan: Plan, model: NMF, data: Sampled, position: Position, tuning: Tuning, noise: Noise
) -> tuple[Position, tuple[Array, Array]]:
    """Move W given H, then H given W, by row-parallel trajectories."""
    W, H, parameters = position
    W, accept_W = block_move(
        model,
        data,
        W,
        jnp.exp(H),
        parameters,
        model.prior_W,
        tuning.metric[0],
        jnp.exp(tuning.steps.W.log_step),
        noise.W,
        axis=1,
        n_leapfrogs=plan.block_leapfrogs,
    )
    H, accept_H = block_move(
        model,
        data,
        H,
        jnp.exp(W),
        parameters,
        model.prior_H,
        tuning.metric[1],
        jnp.exp(tuning.steps.H.log_step),
        noise.H,
        axis=0,
        n_leapfrogs=plan.block_leapfrogs,
    )
    return Position(W, H, parameters), (accept_W, accept_H)


def _truncated(
    model: NMF, data: Gram, position: Position, noise: Noise
) -> tuple[Position, tuple[Array, Array]]:
    """Draw W given H, then H given W; nothing is ever rejected."""
    W, H, parameters = position
    sigma = {**model.likelihood.known, **parameters}["sigma"]
    sigma = jnp.asarray(sigma, W.dtype)
    W = truncated_move(data, W, jnp.exp(H), sigma, model.prior_W, noise.entries[0], axis=1)
    H = truncated_move(data, H, jnp.exp(W), sigma, model.prior_H, noise.entries[1], axis=0)
    return Position(W, H, parameters), (jnp.ones_like(W[0]), jnp.ones_like(H[0]))
