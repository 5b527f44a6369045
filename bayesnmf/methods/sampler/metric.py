"""Masses of the Hamiltonian moves of both factors: every row's own Fisher information, factorised.

In the coordinates x of an entry, ``w = tau log(1 + e^x)``, row i has the information
``M_i = P_i + R_i D_w Q_i D_w R_i``: ``Q_i = sum_j u_ij y_j y_j'`` with the Fisher information u, ``R_i`` the derivative of
``log w`` in x, and P the prior's. A move works in whitened coordinates ``x = A_i z``, ``A_i A_i' = M_i^-1``,
where a step size of the order of one suits every row.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.coordinates import point_at, to_softplus
from bayesnmf.methods.sampler.target import Position, conditioned
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled, pairs
from bayesnmf.priors import Prior


class FactorMetric(NamedTuple):
    """Coordinates and masses of what is inferred of one factor.

    Attributes
    ----------
    log_width : array of shape (component, row)
        Logarithms of the standard deviations of entries of which only the likelihood speaks.
    root : array of shape (component, component, row)
        Whitening factor A of every row.
    center : array of shape (component, row)
        The x at which the masses were taken.
    information : array of shape (component, component, row)
        The masses M themselves.
    prior : array of shape (component, row)
        The prior's part of their diagonal.
    slack : array of shape (component, row)
        How far x follows a change of its entry: by ``dx / dw``, times the share of the data in the information
        about x. An entry that its prior determines stays where it is.
    """

    log_width: Array
    root: Array
    center: Array
    information: Array
    prior: Array
    slack: Array

    def log_scale(self, rate: Array) -> Array:
        """Return the logarithms of the coordinates' scales: the width of the prior or of the likelihood."""
        return jnp.minimum(-jnp.log(rate), self.log_width)

    def at(self, log_scale: Array) -> FactorMetric:
        """Return the metric in coordinates of these scales, which any whitening factor serves."""
        return self

    def whiten(self, slope: Array) -> Array:
        """Return ``A' slope``, row by row: a gradient in whitened coordinates."""
        return whiten(self.root, slope)

    def unwhiten(self, momentum: Array) -> Array:
        """Return ``A momentum``, row by row: a velocity in x."""
        return jnp.sum(self.root * momentum[None, :, :], axis=1)

    def pull(self, x: Array) -> Array:
        """Return ``M (x - center)``, row by row."""
        return jnp.sum(self.information * (x - self.center)[:, None, :], axis=0)


def metrics(model: NMF, data: Sampled, position: Position) -> tuple[FactorMetric, FactorMetric]:
    """Return the masses of W and of H at a position.

    Of known components there are none: they do not move.
    """
    model, position = conditioned(model, position)
    w, h = jnp.exp(position.W), jnp.exp(position.H)
    of_w, of_h = data.information(model, w, h, position.parameters)
    return (
        _factor(model.prior_W, position.W, of_w, model.n_known_W),
        _factor(model.prior_H, position.H, of_h, model.n_known_H),
    )


def whiten(root: Array, slope: Array) -> Array:
    """Return ``A' slope``, row by row."""
    return jnp.sum(root * slope[:, None, :], axis=0)


def _factor(prior: Prior, log_w: Array, packed: Array, known: int) -> FactorMetric:
    """Return the masses of a factor, from the packed information about its logarithms."""
    n_components = len(log_w)
    first, second = pairs(n_components)
    place = np.zeros((n_components, n_components), int)
    place[first, second] = place[second, first] = np.arange(len(first))
    information, log_w = packed[place[known:, known:]], log_w[known:]
    shape, rate = prior.of_components(known).terms(log_w)
    own = jnp.diagonal(information).T
    log_width = log_w - 0.5 * jnp.log(jnp.maximum(own, jnp.finfo(own.dtype).tiny))
    log_scale = jnp.minimum(-jnp.log(rate), log_width)
    x, _ = to_softplus(log_w, log_scale)
    point = point_at(x, jnp.exp(log_scale))
    of_prior, of_data = shape * point.ratio**2, own * point.ratio**2
    identity = jnp.eye(len(log_w), dtype=log_w.dtype)[:, :, None]
    information = information * point.ratio[:, None] * point.ratio[None]
    information = information + identity * of_prior[None]
    slack = of_data / (of_data + of_prior) / (jnp.exp(log_scale) * point.share)
    root = whitening(jnp.moveaxis(information, -1, 0))
    return FactorMetric(log_width, root, x, information, of_prior, slack)


def whitening(information: Array) -> Array:
    """Return A with ``A A' = M^-1``, (component, component, row), of M, (row, component, component)."""
    root = jnp.linalg.cholesky(information)
    identity = jnp.broadcast_to(jnp.eye(root.shape[-1], dtype=root.dtype), root.shape)
    inverse = lax.linalg.triangular_solve(root, identity, left_side=True, lower=True)
    # A row whose information overflowed moves coordinate by coordinate, on the scale of 1.
    safe = jnp.all(jnp.isfinite(inverse), axis=(1, 2), keepdims=True)
    return jnp.transpose(jnp.where(safe, inverse, identity), (2, 1, 0))
