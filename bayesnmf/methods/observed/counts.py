"""Sparse Poisson counts: only stored cells and column sums, never the whole of WH.

A cell whose count is 0 enters the log density by its mean alone, so the sum over all cells of
the mean, ``sum_k (sum_i W_ik)(sum_j H_kj)``, stands for all of them, less the held-out ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln, xlogy

from bayesnmf import kernels
from bayesnmf.kernels import Rows
from bayesnmf.likelihoods._base import Array
from bayesnmf.methods.penalty import prior_terms
from bayesnmf.model import NMF
from bayesnmf.priors import Prior
from bayesnmf.sparse import SparseMatrix

from .interface import Improved, Parameters


class Counts(NamedTuple):
    """Stored counts by rows and by columns, and the pattern of held-out cells likewise.

    The held-out patterns are None where there are none. `n_held_out` is the number of
    held-out cells, `total` the sum of the counts v,
    `log_factorials` that of ``log v!``, `perfect` that of ``v log v - v``.
    """

    rows: Rows
    columns: Rows
    held_rows: Rows | None
    held_columns: Rows | None
    n_held_out: Array
    total: Array
    log_factorials: Array
    perfect: Array

    @property
    def dtype(self) -> Any:
        """Floating-point type: counts are exact in single precision, factors are double."""
        return jnp.zeros((), float).dtype

    @property
    def n_cells(self) -> Array:
        """Number of observed cells."""
        n_rows, n_columns = self.rows.n_rows, self.columns.n_rows
        return jnp.asarray(n_rows * n_columns, self.dtype) - self.n_held_out

    def rounding(self, model: NMF, parameters: Parameters) -> Array:
        """Return 0: the sum over cells rounds relative to itself."""
        return jnp.zeros((), self.dtype)

    def density(
        self, model: NMF, W: Array, H: Array, *, constants: bool = True
    ) -> Callable[[Parameters], Array]:
        """Return the log density of the data; the Poisson likelihood has no parameters."""
        kernel = kernels.sum_log(self.rows, W, H, _floor(W))
        linear = self._linear(model, H, axis=1)
        total = jnp.sum(kernel) - jnp.sum(linear * W)
        if constants:
            total += self._constants(model)
        return lambda parameters: total

    def saturated(self, model: NMF, parameters: Parameters) -> Array:
        """Return the log density at a WH equal to the data."""
        return self.perfect - self.log_factorials

    def gradient(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the derivative of the log density in x."""
        numerator, denominator = self.split(model, x, y, parameters, axis=axis)
        return numerator - denominator

    def split(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as numerator minus denominator of the multiplicative update."""
        stored = self.rows if axis == 1 else self.columns
        numerator = kernels.contract_ratio(stored, x, y, _floor(x))
        return numerator, jnp.broadcast_to(self._linear(model, y, axis=axis), numerator.shape)

    def improve(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, prior: Prior, *, axis: int,
        log_space: bool,
    ) -> Improved:  # fmt: skip
        """Do one sweep of coordinate descent on every row."""
        rate, pull = prior_terms(prior, x, log_space)
        linear = jnp.broadcast_to(self._linear(model, y, axis=axis), x.shape)
        stored = self.rows if axis == 1 else self.columns
        new, slope, kernel = kernels.sweep(stored, x, y, linear + rate, pull, _floor(x))
        return Improved(new, slope, jnp.sum(kernel) - jnp.sum(linear * x))

    def _linear(self, model: NMF, y: Array, *, axis: int) -> Array:
        """Return the expected count per unit of each entry of x, over observed cells."""
        total = jnp.sum(y, axis=1, keepdims=True)
        held = self.held_rows if axis == 1 else self.held_columns
        if held is not None:
            # Every cell of a column held out but one leaves rounding of the size of the total.
            total = jnp.maximum(total - kernels.contract_values(held, y), 0.0)
        return _exposure(model, y) * total

    def _constants(self, model: NMF) -> Array:
        return self.total * jnp.log(_exposure(model, self.total)) - self.log_factorials


def counts_of(matrix: SparseMatrix) -> Counts:
    """Return stored counts and held-out cells in both orders."""
    counts, times = np.unique(matrix.stored.data, return_counts=True)  # of counts there are few
    counts = counts.astype(np.float64)
    sums = (counts, gammaln(counts + 1.0), xlogy(counts, counts) - counts)
    return Counts(
        kernels.rows_of(matrix.stored),
        kernels.rows_of(matrix.stored_columns),
        None if matrix.held_out is None else kernels.rows_of(matrix.held_out),
        None if matrix.held_out is None else kernels.rows_of(matrix.held_out_columns),
        jnp.asarray(0.0 if matrix.held_out is None else float(matrix.held_out.nnz)),
        *(jnp.asarray(float(part @ times)) for part in sums),
    )


def _exposure(model: NMF, like: Array) -> Array:
    return jnp.asarray(model.likelihood.known.get("exposure", 1.0), like.dtype)


def _floor(x: Array) -> float:
    return float(jnp.finfo(x.dtype).tiny ** 0.5)
