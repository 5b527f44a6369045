"""One sweep where a factor is known, so that the rows of the other are independent."""

from __future__ import annotations

from typing import cast

import jax
import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.parameters import parameter_move
from bayesnmf.methods.sampler.moves.rates import draw_rates
from bayesnmf.methods.sampler.moves.rates_together import shift_together
from bayesnmf.methods.sampler.moves.row import row_move
from bayesnmf.methods.sampler.noise import Trajectory, draw_row_noise
from bayesnmf.methods.sampler.plan import Plan
from bayesnmf.methods.sampler.row_metric import RowMetrics
from bayesnmf.methods.sampler.target import (
    Position,
    conditioned,
    independent_factor,
    independent_rows,
    with_free,
)
from bayesnmf.methods.sampler.tuning import Acceptance, Steps, Tuning
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Draws of all rates, each followed by a shift, in a sweep.
RATE_MOVES = 2


def row_sweep(
    plan: Plan, model: NMF, data: Sampled, position: Position, tuning: Tuning, key: Array
) -> tuple[Position, Acceptance]:
    """Move every row, then the likelihood's parameters, then the rates of the components."""
    given, conditional = conditioned(model, position)
    target, log_w = independent_rows(given, data, conditional)
    rows, of_rates, slices = draw_row_noise(key, log_w, RATE_MOVES)
    is_W, metric = independent_factor(model) == "W", cast(RowMetrics, tuning.metric)
    log_w, accept = row_move(
        target,
        log_w,
        metric.rows,
        jnp.exp((tuning.steps.W if is_W else tuning.steps.H).log_step),
        rows,
        n_leapfrogs=plan.block_leapfrogs,
        single_precision=plan.single_precision,
    )
    moved, effort = parameters_moved(
        given,
        data,
        _with_rows(given, conditional, log_w),
        tuning,
        jax.random.fold_in(slices, 1),
    )
    moved = moved._replace(parameters={**position.parameters, **moved.parameters})
    moved, accept_rates = _rates_moved(plan, model, data, moved, tuning, of_rates, slices)
    still = jnp.ones_like((position.H if is_W else position.W)[0])
    accepted = (accept, still) if is_W else (still, accept)
    return moved, Acceptance(Steps(*accepted, accept_rates), effort)


def _rates_moved(
    plan: Plan,
    model: NMF,
    data: Sampled,
    position: Position,
    tuning: Tuning,
    noise: Trajectory,
    key: Array,
) -> tuple[Position, Array]:
    """Draw all rates given the rows, and shift them, in turn; return the last acceptance probability."""
    accept = jnp.zeros((), position.W.dtype)
    for name in model.hyper_priors:
        for i in range(RATE_MOVES):
            position = draw_rates(model, position, name, jax.random.fold_in(key, 2 + i))
            own = Trajectory(*(x[i] for x in noise))
            position, accept = _shifted(plan, model, data, position, name, tuning, own)
    return position, accept


def parameters_moved(
    model: NMF, data: Sampled, position: Position, tuning: Tuning, key: Array
) -> tuple[Position, dict[str, Array]]:
    """Move the likelihood's parameters; return the proposals that each slice needed."""
    W, H, parameters = position
    if not parameters:
        return position, {}
    parameters, effort = parameter_move(
        model, data, jnp.exp(W), jnp.exp(H), parameters, tuning.log_width, key
    )
    return position._replace(parameters=parameters), effort


def _with_rows(model: NMF, position: Position, log_w: Array) -> Position:
    """Return the position with other rows of the factor that is inferred."""
    if independent_factor(model) == "W":
        return with_free(model, position, log_w, position.H[model.n_known_H :])
    return with_free(model, position, position.W[model.n_known_W :], log_w)


def _shifted(
    plan: Plan,
    model: NMF,
    data: Sampled,
    position: Position,
    name: str,
    tuning: Tuning,
    noise: Trajectory,
) -> tuple[Position, Array]:
    """Move the rates of all components that are inferred, and their entries with them."""
    given, conditional = conditioned(model, position)
    target, log_w = independent_rows(given, data, conditional)
    rates, metric = position.parameters[name], cast(RowMetrics, tuning.metric).rates
    assert metric is not None
    first = len(rates) - len(log_w)
    log_w, free, accept = shift_together(
        target,
        log_w,
        rates[first:],
        model.hyper_priors[name],
        metric,
        jnp.exp(tuning.steps.joint.log_step),
        noise,
        n_leapfrogs=plan.joint_leapfrogs,
        single_precision=plan.single_precision,
    )
    rates = jnp.concatenate([rates[:first], free]) if first else free
    parameters = {**position.parameters, name: rates}
    return _with_rows(given, position._replace(parameters=parameters), log_w), accept
