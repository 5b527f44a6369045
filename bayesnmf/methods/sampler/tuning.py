"""What warm-up tunes: masses, step sizes and the widths of slices; frozen afterwards."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler import adaptation
from bayesnmf.methods.sampler.metric import metrics
from bayesnmf.methods.sampler.row_metric import RowMetrics, row_metrics
from bayesnmf.methods.sampler.target import Position, independent_factor
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Shares of the warm-up after which the masses are taken anew, at the mean of the draws since.
REFRESHES = (0.05, 0.15, 0.3, 0.5)


#: Proposals that a slice of the likelihood's parameter aims at.
EFFORT = 2.5


class Steps(NamedTuple):
    """What belongs to the three Hamiltonian moves: their step sizes, or acceptance probabilities.

    Those of W have one number a row, those of H one a column; the joint move has one. Where one factor
    is known, the joint move is that of the other's rates.
    """

    W: Any
    H: Any
    joint: Any


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


class Tuning(NamedTuple):
    """The tuned part of the sampler.

    Attributes
    ----------
    metric : pair of arrays of shape (component, component, row or column), or RowMetrics
        Whitening factors of W and of H; where one factor is known, of the other's rows and rates.
    steps : Steps
        Step sizes and their dual averaging.
    log_width : dict of scalars
        Logarithms of the widths of the parameters' brackets.
    total : Position
        Sum of the positions since the masses were last taken.
    n_summed : array
        Number of its terms.
    """

    metric: tuple[Array, Array] | RowMetrics
    steps: Steps
    log_width: dict[str, Array]
    total: Position
    n_summed: Array


def first_tuning(model: NMF, data: Sampled, position: Position) -> Tuning:
    """Return masses at the start of the chain, and step sizes to try first."""
    metric = _masses(model, data, position)
    first = jnp.log(jnp.asarray(0.5, position.W.dtype))
    shapes = (position.W.shape[1:], position.H.shape[1:], ())
    steps = Steps(*(adaptation.first_step_size(jnp.broadcast_to(first, shape)) for shape in shapes))
    widths = {name: jnp.zeros_like(position.parameters[name]) for name in model.likelihood.priors}
    zero = jax.tree.map(jnp.zeros_like, position)
    return Tuning(metric, steps, widths, zero, jnp.zeros_like(first))


def adapt(
    model: NMF,
    data: Sampled,
    tuning: Tuning,
    position: Position,
    acceptance: Acceptance,
    i: Array,
    num_warmup: Array,
) -> Tuning:
    """Learn from warm-up step `i`, counted from 0.

    Parameters
    ----------
    acceptance : Acceptance
        What the step's sweep tells.
    """
    steps = Steps(*map(adaptation.update, tuning.steps, acceptance.steps))
    rate = 2.0 / jnp.sqrt(1.0 + i.astype(position.W.dtype))
    log_width = {
        name: x + rate * jnp.clip(EFFORT - acceptance.effort[name], -3.0, 3.0)
        for name, x in tuning.log_width.items()
    }
    total = jax.tree.map(jnp.add, tuning.total, position)
    tuning = Tuning(tuning.metric, steps, log_width, total, tuning.n_summed + 1.0)

    moments = jnp.asarray(REFRESHES, jnp.float32) * num_warmup.astype(jnp.float32)
    due = jnp.any(i + 1 == jnp.maximum(moments.astype(i.dtype), 1))
    tuning = lax.cond(due, lambda: _refreshed(model, data, tuning), lambda: tuning)
    # After the last step the averages of the step sizes hold for good.
    return lax.cond(i + 1 == num_warmup, lambda: _frozen(tuning), lambda: tuning)


def _refreshed(model: NMF, data: Sampled, tuning: Tuning) -> Tuning:
    """Take the masses at the mean position, and the step sizes from where they were."""
    reference = jax.tree.map(lambda x: x / tuning.n_summed, tuning.total)
    steps = Steps(*(adaptation.first_step_size(step.log_average) for step in tuning.steps))
    zero = jax.tree.map(jnp.zeros_like, tuning.total)
    return Tuning(
        _masses(model, data, reference),
        steps,
        tuning.log_width,
        zero,
        jnp.zeros_like(tuning.n_summed),
    )


def _masses(model: NMF, data: Sampled, position: Position) -> tuple[Array, Array] | RowMetrics:
    """Return the whitening factors that the moves of this model use."""
    masses = row_metrics if independent_factor(model) else metrics
    return masses(model, data, position)


def _frozen(tuning: Tuning) -> Tuning:
    steps = Steps(*(step._replace(log_step=step.log_average) for step in tuning.steps))
    return tuning._replace(steps=steps)
