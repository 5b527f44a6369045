"""The slow directions: ``W -> W (I + A)``, ``H -> (I - A) H`` leaves WH as it is, to first order in A.

Masses row by row know nothing of them, since they run through both factors. Along them only the prior has a slope, so
the posterior is wider there than either factor's masses say, up to ten times. Warm-up learns by how much. The
diagonal of A, the scales of components, is left out: scales are drawn exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.metric import FactorMetric

type Pair = tuple[Array, Array]

#: Power of a learned standard deviation: one that is taken too large costs more than one too small.
POWER = 0.7


#: Draws as many as which count for the masses' own width, when widths are learned.
PRIOR_DRAWS = 10.0


#: Coefficients of A above which widths are not learned: the algebra takes their cube.
MAX_COEFFICIENTS = 1024


class Tangents(NamedTuple):
    """Directions that leave WH unchanged, at a reference point.

    Component k of H gives and component l of W takes: A has an entry (k, l) for each pair in which both are inferred.

    Attributes
    ----------
    W, H : array of shape (giving component, row) and (taking component, column)
        Entries at the reference.
    per_W, per_H : array of shape (taking component, row) and (giving component, column)
        How x changes with what an entry of W takes, and with what one of H gives.
    root : array of shape (entry of A, direction)
        Directions in A, each as long as the posterior is wider than the masses say.
    """

    W: Array
    H: Array
    per_W: Array
    per_H: Array
    root: Array

    def along(self, momentum: Array) -> Pair:
        """Return the velocities in x of both factors."""
        a = (self.root @ momentum).reshape(len(self.W), len(self.H))
        return self.per_W * (a.T @ self.W), -self.per_H * (a @ self.H)

    def across(self, slopes: Pair) -> Array:
        """Return the gradient along the directions, of one in x."""
        return self.root.T @ self.gradient(slopes)

    def gradient(self, slopes: Pair) -> Array:
        """Return the gradient in the entries of A, of one in x."""
        of_W = self.W @ (self.per_W * slopes[0]).T
        return (of_W - (self.per_H * slopes[1]) @ self.H.T).reshape(-1)

    def quadratic(self, of_W: Array, of_H: Array) -> Array:
        """Return a quadratic form in the entries of A, of forms in each row's x."""
        given, taken = (jnp.einsum("ai,bi->abi", x, x) for x in (self.W, self.H))
        of_W = self.per_W[:, None] * self.per_W[None] * of_W
        of_H = self.per_H[:, None] * self.per_H[None] * of_H
        total = jnp.einsum("kKi,lLi->klKL", given, of_W) + jnp.einsum("kKj,lLj->klKL", of_H, taken)
        return total.reshape(self.root.shape[0], -1)

    def widened(self, masses: Array, prior: Array, covariance: Array, n_draws: Array) -> Tangents:
        """Return the same tangents, their directions as long as draws say.

        Parameters
        ----------
        masses, prior : array of shape (entry of A, entry of A)
            The masses and the prior's part of them, as quadratic forms in A.
        covariance : array of the same shape
            Of A over draws.
        n_draws : array
            Their number.
        """
        unit = _units(masses)
        masses, prior = _scaled(masses, unit) + _ridge(unit), _scaled(prior, unit)
        basis = _eigenbasis(_without_scales(masses, len(self.W), len(self.H)), masses, prior)
        coordinates = masses @ basis
        variance = jnp.sum(coordinates * (_scaled(covariance, 1.0 / unit) @ coordinates), axis=0)
        variance = (n_draws * variance + PRIOR_DRAWS) / (n_draws + PRIOR_DRAWS)
        # The masses have a width of 1 there already.
        beyond = jnp.maximum(variance, 1.0) ** POWER - 1.0
        root = basis * jnp.sqrt(beyond)[None] / unit[:, None]
        return self._replace(root=jnp.where(jnp.all(jnp.isfinite(root)), root, 0.0))


class Widths(NamedTuple):
    """What draws tell of the posterior's width along the tangents, since the masses were last taken.

    Attributes
    ----------
    total, products : array of shape (entry of A,) and (entry of A, entry of A)
        Sums of the gradients in A of the masses' quadratic form, and of their products.
    """

    total: Array
    products: Array

    @classmethod
    def none(cls, tangents: Tangents) -> Widths:
        """Return the sums of no draws."""
        zero = jnp.zeros_like(tangents.root, shape=tangents.root.shape[0])
        return cls(zero, zero[:, None] * zero[None])

    def with_draw(self, gradient: Array) -> Widths:
        """Return the sums with one more draw's gradient in A."""
        return Widths(self.total + gradient, self.products + gradient[:, None] * gradient[None])

    def covariance(self, masses: Array, n_draws: Array) -> Array:
        """Return the covariance of A over the draws, given the masses as a quadratic form in A."""
        unit, mean = _units(masses), self.total / n_draws
        of_gradient = _scaled(self.products / n_draws - mean[:, None] * mean[None], unit)
        form = _scaled(masses, unit) + _ridge(unit)
        half = jnp.linalg.solve(form, of_gradient)
        return _scaled(jnp.linalg.solve(form, half.T), unit)


def tangents_at(W: Array, H: Array, metric: tuple[FactorMetric, FactorMetric]) -> Tangents:
    """Return the tangents at the point where the masses were taken, no wider than these say.

    Parameters
    ----------
    W, H : array of shape (component, row) and (component, column)
        Both factors, known components first.
    metric : pair of FactorMetric
        Of what is inferred of W and of H.
    """
    taking, giving = (len(own.center) for own in metric)
    size, n_scales = giving * taking, min(giving, taking)
    directions = size - n_scales if size <= MAX_COEFFICIENTS else 0
    root = jnp.zeros((size, directions), W.dtype)
    per_W, per_H = (own.slack for own in metric)
    return Tangents(W[len(W) - giving :], H[len(H) - taking :], per_W, per_H, root)


def _without_scales(masses: Array, giving: int, taking: int) -> Array:
    """Return directions in A that are orthogonal to those that scale components."""
    is_scale = np.arange(giving)[:, None] - giving == np.arange(taking)[None] - taking
    scales, others = np.flatnonzero(is_scale), np.flatnonzero(~is_scale)
    among, between = masses[np.ix_(scales, scales)], masses[np.ix_(scales, others)]
    basis = jnp.zeros((len(masses), len(others)), masses.dtype)
    basis = basis.at[others].set(jnp.eye(len(others), dtype=masses.dtype))
    return basis.at[scales].set(-jnp.linalg.solve(among, between))


def _eigenbasis(basis: Array, masses: Array, prior: Array) -> Array:
    """Return the basis of the same space in which the masses are the identity and the prior's part is diagonal."""
    root = jnp.linalg.cholesky(basis.T @ masses @ basis)
    half = solve_triangular(root, basis.T @ prior @ basis, lower=True)
    _, turn = jnp.linalg.eigh(solve_triangular(root, half.T, lower=True))
    return basis @ solve_triangular(root.T, turn, lower=False)


def _units(form: Array) -> Array:
    """Return the square roots of the diagonal, which ranges over many orders of magnitude."""
    unit = jnp.sqrt(jnp.maximum(jnp.diagonal(form), jnp.finfo(form.dtype).tiny))
    return jnp.where(jnp.isfinite(unit), unit, 1.0)


def _scaled(form: Array, unit: Array) -> Array:
    return form / unit[:, None] / unit[None]


def _ridge(unit: Array) -> Array:
    """Return what keeps a form of this many unit entries on the diagonal positive in spite of rounding."""
    return 100 * len(unit) * jnp.finfo(unit.dtype).eps * jnp.eye(len(unit), dtype=unit.dtype)
