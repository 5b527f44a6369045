"""What warm-up tunes: masses, step sizes and the widths of slices; frozen afterwards."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler import adaptation
from bayesnmf.methods.sampler.coordinates import to_softplus
from bayesnmf.methods.sampler.metric import FactorMetric, metrics
from bayesnmf.methods.sampler.row_metric import RowMetrics, row_metrics
from bayesnmf.methods.sampler.tangents import Tangents, Widths, tangents_at
from bayesnmf.methods.sampler.target import Position, conditioned, free_parts, independent_factor
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Shares of the warm-up after which the masses are taken anew, at the mean of the draws since; first at the start.
REFRESHES = (0.0, 0.05, 0.15, 0.3, 0.5)


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


class Metric(NamedTuple):
    """Masses of the moves of both factors: of the rows of each, and of directions that leave WH unchanged."""

    W: FactorMetric
    H: FactorMetric
    tangents: Tangents

    def quadratic(self) -> Array:
        """Return the rows' masses as a quadratic form along the tangents."""
        return self.tangents.quadratic(self.W.information, self.H.information)

    def gradient(self, model: NMF, position: Position) -> Array:
        """Return the gradient, along the tangents, of the quadratic form of the rows' masses."""
        given, position = conditioned(model, position)
        of_W, of_H = (
            own.pull(to_softplus(log_w, own.log_scale(prior.terms(log_w)[1]))[0])
            for own, (prior, log_w) in zip(
                (self.W, self.H), free_parts(given, position), strict=True
            )
        )
        return self.tangents.gradient((of_W, of_H))


class Tuning(NamedTuple):
    """The tuned part of the sampler.

    Attributes
    ----------
    metric : Metric or RowMetrics
        Masses of both factors; where one factor is known, of the other's rows and rates.
    steps : Steps
        Step sizes and their dual averaging.
    log_width : dict of scalars
        Logarithms of the widths of the parameters' brackets.
    total : Position
        Sum of the positions since the masses were last taken.
    widths : Widths or None
        What the same draws tell of directions that leave WH unchanged.
    n_summed : array
        Number of draws in both.
    """

    metric: Metric | RowMetrics
    steps: Steps
    log_width: dict[str, Array]
    total: Position
    widths: Widths | None
    n_summed: Array


def first_tuning(model: NMF, data: Sampled, position: Position) -> Tuning:
    """Return step sizes to try first, and no masses yet: those are taken before the first step."""
    first = jnp.log(jnp.asarray(0.5, position.W.dtype))
    shapes = (position.W.shape[1:], position.H.shape[1:], ())
    steps = Steps(*(adaptation.first_step_size(jnp.broadcast_to(first, shape)) for shape in shapes))
    log_width = {
        name: jnp.zeros_like(position.parameters[name]) for name in model.likelihood.priors
    }
    like = jax.eval_shape(lambda position: _masses(model, data, position), position)
    metric = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    return Tuning(metric, steps, log_width, position, _no_widths(metric), jnp.ones_like(first))


def refresh_due(i: Array, num_warmup: Array) -> Array:
    """Return whether the masses are to be taken before step `i`."""
    moments = jnp.asarray(REFRESHES, jnp.float32) * num_warmup.astype(jnp.float32)
    return jnp.any(i == moments.astype(i.dtype))


def refreshes(num_warmup: int) -> list[int]:
    """Return the steps before which the masses are taken.

    Examples
    --------
    >>> refreshes(300)
    [0, 15, 45, 90, 150]
    """
    moments = np.asarray(REFRESHES, np.float32) * np.float32(num_warmup)
    return sorted(set(moments.astype(int).tolist()))


def adapt(
    model: NMF,
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
    widths = tuning.widths
    if widths is not None:
        widths = widths.with_draw(cast(Metric, tuning.metric).gradient(model, position))
    tuning = Tuning(tuning.metric, steps, log_width, total, widths, tuning.n_summed + 1.0)

    # After the last step the averages of the step sizes hold for good.
    return lax.cond(i + 1 == num_warmup, lambda: _frozen(tuning), lambda: tuning)


def refreshed(model: NMF, data: Sampled, tuning: Tuning) -> Tuning:
    """Take the masses at the mean position, and the step sizes from where they were."""
    reference = jax.tree.map(lambda x: x / tuning.n_summed, tuning.total)
    steps = Steps(*(adaptation.first_step_size(step.log_average) for step in tuning.steps))
    zero = jax.tree.map(jnp.zeros_like, tuning.total)
    metric, zero_widths = _masses(model, data, reference), None
    if isinstance(metric, Metric):
        metric, zero_widths = _widened(metric, tuning), _no_widths(metric)
    none = jnp.zeros_like(tuning.n_summed)
    return Tuning(metric, steps, tuning.log_width, zero, zero_widths, none)


def _masses(model: NMF, data: Sampled, position: Position) -> Metric | RowMetrics:
    """Return the masses that the moves of this model use."""
    if independent_factor(model):
        return row_metrics(model, data, position)
    W, H = metrics(model, data, position)
    return Metric(W, H, tangents_at(jnp.exp(position.W), jnp.exp(position.H), (W, H)))


def _no_widths(metric: Metric | RowMetrics) -> Widths | None:
    """Return the sums of no draws; None where there is no direction to be learned."""
    if isinstance(metric, Metric) and metric.tangents.root.shape[1]:
        return Widths.none(metric.tangents)
    return None


def _widened(metric: Metric, before: Tuning) -> Metric:
    """Return the masses, lighter along the tangents by what the draws before have shown."""
    if before.widths is None:
        return metric
    old = cast(Metric, before.metric).quadratic()
    covariance = before.widths.covariance(old, before.n_summed)
    identities = [jnp.eye(len(x.prior), dtype=x.prior.dtype)[:, :, None] for x in metric[:2]]
    prior = metric.tangents.quadratic(
        *(identity * own.prior[None] for identity, own in zip(identities, metric[:2], strict=True))
    )
    tangents = metric.tangents.widened(metric.quadratic(), prior, covariance, before.n_summed)
    return metric._replace(tangents=tangents)


def _frozen(tuning: Tuning) -> Tuning:
    steps = Steps(*(step._replace(log_step=step.log_average) for step in tuning.steps))
    return tuning._replace(steps=steps)
