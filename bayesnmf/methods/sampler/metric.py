"""Masses of the Hamiltonian moves: every row's own Fisher information, factorised.

In ``log w`` row i has the information ``M_i = diag(a) + D_w Q_i D_w``, ``Q_i = sum_j u_ij y_j y_j'`` with
the Fisher information u. A move works in whitened coordinates ``z = A_i u``, ``A_i A_i' = M_i^-1``,
where a step size of the order of one suits every row.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.target import Position, conditioned
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled, pairs
from bayesnmf.priors import Prior


def metrics(model: NMF, data: Sampled, position: Position) -> tuple[Array, Array]:
    """Return the whitening factors A of W, (component, component, row), and of H.

    Of known components there is none: they do not move.
    """
    model, position = conditioned(model, position)
    w, h = jnp.exp(position.W), jnp.exp(position.H)
    of_w, of_h = data.information(model, w, h, position.parameters)
    return (
        whitening(_information(model.prior_W, w, of_w, model.n_known_W)),
        whitening(_information(model.prior_H, h, of_h, model.n_known_H)),
    )


def whiten(metric: Array, slope: Array) -> Array:
    """Return ``A' slope``, row by row: a gradient in whitened coordinates."""
    return jnp.sum(metric * slope[:, None, :], axis=0)


def unwhiten(metric: Array, momentum: Array) -> Array:
    """Return ``A momentum``, row by row: a velocity in ``log w``."""
    return jnp.sum(metric * momentum[None, :, :], axis=1)


def _information(prior: Prior, w: Array, packed: Array, known: int) -> Array:
    """Return M of every row, of shape (row, component, component), without known components."""
    n_components = w.shape[0]
    first, second = pairs(n_components)
    place = np.zeros((n_components, n_components), int)
    place[first, second] = place[second, first] = np.arange(len(first))
    shape, _ = prior.of_components(known).terms(w)
    identity = jnp.eye(n_components - known, dtype=w.dtype)
    return jnp.moveaxis(packed[place[known:, known:]], -1, 0) + shape.T[:, None] * identity[None]


def whitening(information: Array) -> Array:
    """Return A with ``A A' = M^-1``, (component, component, row), of M, (row, component, component)."""
    root = jnp.linalg.cholesky(information)
    identity = jnp.broadcast_to(jnp.eye(root.shape[-1], dtype=root.dtype), root.shape)
    inverse = lax.linalg.triangular_solve(root, identity, left_side=True, lower=True)
    # A row whose information overflowed moves coordinate by coordinate, on the scale of 1.
    safe = jnp.all(jnp.isfinite(inverse), axis=(1, 2), keepdims=True)
    return jnp.transpose(jnp.where(safe, inverse, identity), (2, 1, 0))
