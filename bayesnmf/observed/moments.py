"""Gaussian noise of one size: Gram matrices stand for the cells, dense or sparse.

``|V - WH|**2 = |V|**2 - 2 <VH', W> + <W'W, HH'>``, so one product of V with a factor, and K x K
matrices, give the density and let every entry of the other factor be minimised exactly.

References
----------
Cichocki, A. and Phan, A.-H. (2009). Fast local algorithms for large scale nonnegative matrix and
tensor factorizations. IEICE Transactions on Fundamentals E92-A, 708-721.
doi:10.1587/transfun.E92.A.708
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array, off_zero, positive
from bayesnmf.data import AnyMatrix, SparseMatrix
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Improved, Parameters, pairs
from bayesnmf.observed.products import contract
from bayesnmf.observed.sparse_ops import contract_values
from bayesnmf.observed.stored_rows import Compressed, rows_of
from bayesnmf.priors import Prior
from bayesnmf.priors.base import padded


class Moments(NamedTuple):
    """V, whole or, where it is sparse, by rows and by columns; its squared norm and size."""

    dense: Array | None
    sparse: tuple[Compressed, Compressed] | None
    norm: Array
    size: Array

    @property
    def dtype(self) -> Any:
        """Floating-point type."""
        return self.norm.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns) of V."""
        if self.sparse is not None:
            rows, columns = self.sparse
            return rows.n_rows, columns.n_rows
        assert self.dense is not None
        n_rows, n_columns = self.dense.shape
        return n_rows, n_columns

    @property
    def n_cells(self) -> Array:
        """Number of cells."""
        return self.size

    @property
    def is_complete(self) -> bool:
        """True: moments of data with missing cells say too little."""
        return True

    def fits_single_precision(self, model: NMF) -> bool:
        """Return False: the residual is a difference of squared norms."""
        return False

    def rounding(self, model: NMF, parameters: Parameters) -> Array:
        """Return the squared norm in units of the noise: all but the residual cancels."""
        return self.norm * _precision(model, parameters)

    def density(
        self, model: NMF, W: Array, H: Array, *, constants: bool = True
    ) -> Callable[[Parameters], Array]:
        """Return the log density of the data as a function of sigma."""
        residual = self.squares(W, H)
        return lambda parameters: self._log_density(model, residual, parameters)

    def saturated(self, model: NMF, parameters: Parameters) -> Array:
        """Return the log density at a WH equal to the data."""
        return self._log_density(model, jnp.zeros_like(self.norm), parameters)

    def gradient(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the derivative of the log density in x."""
        numerator, denominator = self.score_parts(model, x, y, parameters, axis=axis)
        return numerator - denominator

    def score_parts(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as numerator minus denominator of the multiplicative update."""
        precision = _precision(model, parameters)
        return precision * self.project(y, axis=axis), precision * ((y @ y.T) @ x)

    def improve(
        self,
        model: NMF,
        x: Array,
        y: Array,
        parameters: Parameters,
        prior: Prior,
        *,
        axis: int,
        log_space: bool,
        first: int = 0,
    ) -> Improved:
        """Minimise the objective exactly in one component after another, for all rows at once."""
        rate, log_coefficient = prior.penalty_terms(x[first:], log_space)
        variance = 1.0 / _precision(model, parameters)
        projected, gram = self.project(y, axis=axis), y @ y.T
        # In units of the variance the objective is x' G x / 2 - p' x + rate x - c log x.
        lifted = variance * rate
        target = projected.at[first:].add(-lifted) if first else projected - lifted
        coefficient = jnp.broadcast_to(variance * padded(log_coefficient, first), x.shape)
        slope = gram @ x - target - coefficient / off_zero(x)

        def update(k: Array, x: Array) -> Array:
            row = lax.dynamic_index_in_dim(gram, k, keepdims=False)
            curvature = lax.dynamic_index_in_dim(row, k, keepdims=False)
            old = lax.dynamic_index_in_dim(x, k, keepdims=False)
            pulled = lax.dynamic_index_in_dim(target, k, keepdims=False)
            pull = lax.dynamic_index_in_dim(coefficient, k, keepdims=False)
            half = 0.5 * (pulled - row @ x + curvature * old)
            root = jnp.sqrt(half * half + pull * curvature)
            new = jnp.where(half >= 0, half + root, 0.0) / positive(curvature)
            # The other form of the root keeps its digits where half is negative.
            new = jnp.where((half < 0) & (pull > 0), pull / positive(root - half), new)
            new = jnp.where(curvature > 0, new, old)
            return lax.dynamic_update_index_in_dim(x, new, k, 0)

        new = lax.fori_loop(first, x.shape[0], update, x)
        residual = self._residual(x, projected, gram)
        log_density = self._log_density(model, residual, parameters)
        return Improved(new, slope[first:] / variance, log_density)

    def gradients(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the derivatives of the log density in W and in H."""
        return (
            self.gradient(model, W, H, parameters, axis=1),
            self.gradient(model, H, W, parameters, axis=0),
        )

    def log_density_change(
        self, model: NMF, x: Array, new: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the change of the log density of every row of x when it goes to `new`."""
        slope = self.project(y, axis=axis) - (y @ y.T) @ (0.5 * (x + new))  # halfway
        return _precision(model, parameters) * jnp.sum(slope * (new - x), axis=0)

    def joint_log_density_change(
        self, model: NMF, old: tuple[Array, Array], new: tuple[Array, Array], parameters: Parameters
    ) -> Array:
        """Return the change of the log density when both factors (W, H) go from old to new."""
        before, after = (self.squares(W, H) for W, H in (old, new))
        return 0.5 * _precision(model, parameters) * (before - after)

    def information(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the Fisher information about the logarithms of W and of H, packed."""
        (first, second), precision = pairs(len(W)), _precision(model, parameters)
        of_W, of_H = (
            precision * (y @ y.T)[first, second][:, None] * x[first] * x[second]
            for x, y in ((W, H), (H, W))
        )
        return of_W, of_H

    def information_diagonal(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the Fisher information about every logarithm of x alone."""
        return _precision(model, parameters) * jnp.sum(y * y, axis=1)[:, None] * x * x

    def cross_information(
        self, model: NMF, x: Array, y: Array, step: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the Fisher information between the logarithms of x and of y, times a step of those of y."""
        return _precision(model, parameters) * x * ((y @ (y * step).T) @ x)

    def information_among(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, chosen: Array, *, axis: int
    ) -> Array:
        """Return the Fisher information among some components of each row of x."""
        gram, entries = y @ y.T, jnp.take_along_axis(x, chosen, axis=0)
        among = gram[chosen[:, None], chosen[None]]
        return _precision(model, parameters) * among * entries[:, None] * entries[None]

    def project(self, y: Array, *, axis: int) -> Array:
        """Return VH' or W'V, component first."""
        if self.sparse is not None:
            rows, columns = self.sparse
            return contract_values(rows if axis == 1 else columns, y)
        assert self.dense is not None
        return contract(y, self.dense, axis)

    def squares(self, W: Array, H: Array) -> Array:
        """Return the sum of squares of V - WH."""
        return self._residual(W, self.project(H, axis=1), H @ H.T)

    def _residual(self, x: Array, projected: Array, gram: Array) -> Array:
        """Return the sum of squares of V - WH."""
        total = self.norm - 2.0 * jnp.sum(projected * x) + jnp.sum(gram * (x @ x.T))
        # Below the rounding of the norm there is nothing to tell it from zero.
        return jnp.maximum(total, jnp.finfo(self.dtype).eps * self.norm)

    def _log_density(self, model: NMF, residual: Array, parameters: Parameters) -> Array:
        precision = _precision(model, parameters)
        normal = jnp.log(precision) - jnp.log(2.0 * jnp.pi)
        return 0.5 * (self.size * normal - precision * residual)


def has_moments(model: NMF, matrix: AnyMatrix) -> bool:
    """Return whether Gram matrices say all that this model asks of this matrix.

    In single precision they do not: the residual is a difference of squared norms.
    """
    if not model.likelihood.constant_variance or not matrix.is_complete:
        return False
    return matrix.is_sparse or matrix.dtype == np.float64


def moments_of(matrix: AnyMatrix) -> Moments:
    """Return the data with their squared norm."""
    size = jnp.asarray(float(matrix.n_observed))
    if isinstance(matrix, SparseMatrix):
        norm = jnp.asarray(float(np.sum(np.square(matrix.stored.data, dtype=np.float64))))
        rows, columns = rows_of(matrix.stored), rows_of(matrix.stored_columns)
        return Moments(None, (rows, columns), norm, size)
    return Moments(jnp.asarray(matrix.values), None, jnp.sum(jnp.square(matrix.values)), size)


def _precision(model: NMF, parameters: Parameters) -> Array:
    sigma = {**model.likelihood.known, **parameters}["sigma"]
    return 1.0 / jnp.square(jnp.asarray(sigma, float))
