"""Masses of rows that are independent: dense for the leading components of each, diagonal for the rest.

Of many known components a row has few that matter. Those with the most information about ``log w`` have a
dense block of their row's Fisher information; of each other only its own entry is kept. So a row costs
``K + r * r`` numbers in place of ``K * K``, which many rows would have to fetch from memory at every step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.coordinates import point_at, to_softplus
from bayesnmf.methods.sampler.metric import whiten, whitening
from bayesnmf.methods.sampler.target import Conditional, Position, conditioned, independent_rows
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Components of a row that have a dense block. Where about as many are active, a whole block mixes no faster;
#: where all of 86 are a little active, it mixes two to three times as fast, and costs ten times as much.
LEADING = 24


class RowMetric(NamedTuple):
    """Whitening factors of every row.

    Attributes
    ----------
    order, place : array of int of shape (component, row)
        Components of each row, those with the most information first; and where in that order each is.
    leading, transposed : array of shape (leading component, leading component, row)
        Whitening factor A of the first, and A': sums over the first axis are fast.
    rest : array of shape (component - leading component, row)
        Of the others.
    """

    order: Array
    place: Array
    leading: Array
    transposed: Array
    rest: Array

    @classmethod
    def of(cls, order: Array, place: Array, leading: Array, information: Array) -> RowMetric:
        """Return the metric in which each of the other components has this information."""
        # One that overflowed moves on the scale of 1.
        safe = jnp.isfinite(information) & (information > 0)
        rest = jnp.where(safe, information, 1.0) ** -0.5
        return cls(order, place, leading, jnp.swapaxes(leading, 0, 1), rest)

    def whiten(self, slope: Array) -> Array:
        """Return a gradient in whitened coordinates, whose components are in the metric's order."""
        size, slope = len(self.leading), jnp.take_along_axis(slope, self.order, axis=0)
        return jnp.concatenate([whiten(self.leading, slope[:size]), self.rest * slope[size:]])

    def unwhiten(self, momentum: Array) -> Array:
        """Return a velocity, component by component, of a momentum in the metric's order."""
        size = len(self.leading)
        parts = [whiten(self.transposed, momentum[:size]), self.rest * momentum[size:]]
        return jnp.take_along_axis(jnp.concatenate(parts), self.place, axis=0)


class RowReference(NamedTuple):
    """What the metric of rows is made of, at any rates of their prior.

    Rates under a hyper-prior range over orders of magnitude, and with them the entries that the data do not
    determine. The move has the rates given, so coordinates and metric may follow them. Any factor serves as
    a whitening one, so it is kept in single precision: every step of a chain reads it.

    Attributes
    ----------
    log_width : array of shape (component, row)
        Logarithms of the standard deviations of entries of which only the likelihood speaks.
    order, place, leading : array
        As in :class:`RowMetric`.
    prior, share : array of shape (component - leading component, row)
        Information of the prior of the others, and of the likelihood where its width is the scale.
    """

    log_width: Array
    order: Array
    place: Array
    leading: Array
    prior: Array
    share: Array

    def log_scale(self, rate: Array) -> Array:
        """Return the logarithms of the coordinates' scales: the width of the prior or of the likelihood."""
        return jnp.minimum(-jnp.log(rate), self.log_width)

    def at(self, log_scale: Array) -> RowMetric:
        """Return the metric in coordinates of these scales."""
        relative = (log_scale - self.log_width).astype(self.prior.dtype)
        relative = jnp.take_along_axis(relative, self.order[len(self.leading) :], axis=0)
        rest = self.prior + self.share * jnp.exp(2.0 * relative)
        return RowMetric.of(self.order, self.place, self.leading, rest)


class RowMetrics(NamedTuple):
    """The metrics of the rows of a factor and, under a hyper-prior, of its components' rates."""

    rows: RowReference
    rates: RowMetric | None


def row_metrics(model: NMF, data: Sampled, position: Position) -> RowMetrics:
    """Return the metrics of the factor whose rows are independent, at a reference position."""
    hypers = list(model.hyper_priors.values())
    given, position = conditioned(model, position)
    target, log_w = independent_rows(given, data, position)
    rates = rate_metric(target, log_w, hypers[0].shape) if hypers else None
    return RowMetrics(row_reference(target, log_w), rates)


def row_reference(target: Conditional, log_w: Array) -> RowReference:
    """Return the metric of a factor's rows, given the other factor, at reference logarithms."""
    shape, rate = target.prior.terms(log_w)
    own = target.information_diagonal(log_w)
    # Where nothing is known of an entry its width is not infinite, so that differences are numbers.
    log_width = log_w - 0.5 * jnp.log(jnp.maximum(own, jnp.finfo(own.dtype).tiny))
    order, place, chosen = _leading(own)
    x, _ = to_softplus(log_w, jnp.minimum(-jnp.log(rate), log_width))
    point = point_at(x, jnp.ones((), x.dtype))
    prior, share = shape * point.ratio**2, point.share**2
    leading = _block_root(target.information_among(log_w, chosen), chosen, point.ratio, prior)
    others = order[len(chosen) :]
    prior, share = (jnp.take_along_axis(x, others, axis=0) for x in (prior, share))
    rounded = (x.astype(jnp.float32) for x in (leading, prior, share))
    return RowReference(log_width, order, place, *rounded)


def rate_metric(target: Conditional, log_w: Array, hyper_shape: Any) -> RowMetric:
    """Return the metric of the logarithms of all rates, which move as one row."""
    own = jnp.sum(target.information_diagonal(log_w), axis=1, keepdims=True)
    order, place, chosen = _leading(own)
    everywhere = jnp.broadcast_to(chosen, (len(chosen), log_w.shape[1]))
    block = jnp.sum(target.information_among(log_w, everywhere), axis=2, keepdims=True)
    prior = jnp.full_like(own, jnp.asarray(hyper_shape, own.dtype))
    leading = _block_root(block, chosen, jnp.ones_like(own), prior)
    rest = jnp.take_along_axis(prior + own, order[len(chosen) :], axis=0)
    return RowMetric.of(order, place, leading, rest)


def _leading(own: Array) -> tuple[Array, Array, Array]:
    """Return components by information, their places, and the first of them."""
    order = jnp.argsort(-own, axis=0).astype(jnp.int32)
    return order, jnp.argsort(order, axis=0).astype(jnp.int32), order[:LEADING]


def _block_root(block: Array, chosen: Array, ratio: Array, prior: Array) -> Array:
    """Return the whitening factor of the chosen components, of their information about logarithms.

    In the coordinates x it has a factor ``d log w / d x`` on both sides; `prior` is there already.
    """
    factor, lift = (jnp.take_along_axis(x, chosen, axis=0) for x in (ratio, prior))
    identity = jnp.eye(len(block), dtype=block.dtype)[:, :, None]
    information = block * factor[:, None] * factor[None] + identity * lift[None]
    return whitening(jnp.moveaxis(information, -1, 0))
