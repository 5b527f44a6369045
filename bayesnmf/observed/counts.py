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

from bayesnmf.arrays import Array, floor_of
from bayesnmf.data import SparseMatrix
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Allocation, Improved, Parameters
from bayesnmf.observed.sparse_ops import (
    contract_change,
    contract_ratio,
    contract_ratio_both,
    contract_values,
    share_products,
    sum_log,
    sweep,
)
from bayesnmf.observed.stored_rows import Compressed, rows_of
from bayesnmf.priors import Prior
from bayesnmf.priors.base import padded


class Counts(NamedTuple):
    """Stored counts by rows and by columns, and the pattern of held-out cells likewise.

    The held-out patterns are None where there are none. `n_held_out` is the number of
    held-out cells, `row_totals` and `column_totals` are sums of the counts v,
    `log_factorials` is the sum of ``log v!``, `perfect` that of ``v log v - v``.
    """

    rows: Compressed
    columns: Compressed
    held_rows: Compressed | None
    held_columns: Compressed | None
    n_held_out: Array
    row_totals: Array
    column_totals: Array
    log_factorials: Array
    perfect: Array

    @property
    def dtype(self) -> Any:
        """Floating-point type: counts are exact in single precision, factors are double."""
        return jnp.zeros((), float).dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns) of V."""
        return self.rows.n_rows, self.columns.n_rows

    @property
    def n_cells(self) -> Array:
        """Number of observed cells."""
        n_rows, n_columns = self.shape
        return jnp.asarray(n_rows * n_columns, self.dtype) - self.n_held_out

    @property
    def is_complete(self) -> bool:
        """Whether no cell is held out."""
        return self.held_rows is None

    def fits_single_precision(self, model: NMF) -> bool:
        """Return False: sums over stored cells are kept in double precision."""
        return False

    def rounding(self, model: NMF, parameters: Parameters) -> Array:
        """Return 0: the sum over cells rounds relative to itself."""
        return jnp.zeros((), self.dtype)

    def density(
        self, model: NMF, W: Array, H: Array, *, constants: bool = True
    ) -> Callable[[Parameters], Array]:
        """Return the log density of the data; the Poisson likelihood has no parameters."""
        log_sum = sum_log(self.rows, W, H, floor_of(W.dtype))
        linear = self._linear(model, H, axis=1)
        total = jnp.sum(log_sum) - jnp.sum(linear * W)
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
        numerator, denominator = self.score_parts(model, x, y, parameters, axis=axis)
        return numerator - denominator

    def score_parts(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as numerator minus denominator of the multiplicative update."""
        stored = self.rows if axis == 1 else self.columns
        numerator = contract_ratio(stored, x, y, floor_of(x.dtype))
        return numerator, jnp.broadcast_to(self._linear(model, y, axis=axis), numerator.shape)

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
        """Do one sweep of coordinate descent on every row."""
        rate, log_coefficient = prior.penalty_terms(x[first:], log_space)
        linear = jnp.broadcast_to(self._linear(model, y, axis=axis), x.shape)
        penalised = linear.at[first:].add(rate) if first else linear + rate
        log_coefficient = padded(log_coefficient, first)
        stored, floor = self.rows if axis == 1 else self.columns, floor_of(x.dtype)
        new, slope, log_sum = sweep(stored, x, y, penalised, log_coefficient, floor, first)
        return Improved(new, slope[first:], jnp.sum(log_sum) - jnp.sum(linear * x))

    def gradients(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the derivatives of the log density in W and in H, from one visit of each cell."""
        of_W, of_H = self._ratios(W, H)
        return of_W - self._linear(model, H, axis=1), of_H - self._linear(model, W, axis=0)

    def log_density_change(
        self, model: NMF, x: Array, new: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the change of the log density of every row of x when it goes to `new`."""
        stored = self.rows if axis == 1 else self.columns
        linear = jnp.sum(self._linear(model, y, axis=axis) * (new - x), axis=0)
        before, after = (sum_log(stored, z, y, floor_of(x.dtype)) for z in (x, new))
        return after - before - linear

    def joint_log_density_change(
        self, model: NMF, old: tuple[Array, Array], new: tuple[Array, Array], parameters: Parameters
    ) -> Array:
        """Return the change of the log density when both factors (W, H) go from old to new."""
        before, after = (self._by_rows(model, W, H) for W, H in (old, new))
        return jnp.sum(after - before)

    def information(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the observed information about the logarithms of W and of H, packed.

        Fisher's, ``sum_j w_k h_k w_l h_l / L``, has a term for every cell. With v in place of its
        expectation L twice over, ``sum_j v (w_k h_k / L) (w_l h_l / L)``, only stored cells
        count, and summed over all k and l a row has its count in place of its expected count.
        """
        return self._packed(W, H, 1), self._packed(H, W, 0)

    def information_diagonal(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the observed information about every logarithm of x alone."""
        line = np.arange(len(x))
        return self._packed(x, y, axis)[line * (line + 1) // 2 + line]

    def information_among(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, chosen: Array, *, axis: int
    ) -> Array:
        """Return the observed information among some components of each row of x."""
        first, second = chosen[:, None], chosen[None]
        line, column = jnp.maximum(first, second), jnp.minimum(first, second)
        place = line * (line + 1) // 2 + column
        return self._packed(x, y, axis)[place, jnp.arange(x.shape[1])]

    def cross_information(
        self, model: NMF, x: Array, y: Array, step: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the observed information between the logarithms of x and of y, times a step of those of y."""
        stored = self.rows if axis == 1 else self.columns
        return x * contract_change(stored, x, y, y * step, floor_of(x.dtype))

    def allocate(self, model: NMF, W: Array, H: Array) -> Allocation:
        """Return how the counts go to the components."""
        log_sum = jnp.sum(sum_log(self.rows, W, H, floor_of(W.dtype)))
        return Allocation(*self._ratios(W, H), log_sum)

    def constant(self, model: NMF) -> float:
        """Return the logarithms of exposures and factorials."""
        return float(self._constants(model))

    def exposed(self, model: NMF, y: Array, *, axis: int) -> Array:
        """Return the expected count a unit of every entry of x."""
        return self._linear(model, y, axis=axis)

    def _ratios(self, W: Array, H: Array) -> tuple[Array, Array]:
        """Return ``sum_j v_ij H_kj / L_ij`` and ``sum_i v_ij W_ik / L_ij``."""
        # What is summed out of order is the smaller factor, which then stays in cache.
        if self.rows.n_rows >= self.columns.n_rows:
            return contract_ratio_both(self.rows, W, H, floor_of(W.dtype))
        of_H, of_W = contract_ratio_both(self.columns, H, W, floor_of(W.dtype))
        return of_W, of_H

    def _packed(self, x: Array, y: Array, axis: int) -> Array:
        """Return the observed information about the logarithms of x, packed."""
        return share_products(self.rows if axis == 1 else self.columns, x, y, floor_of(x.dtype))

    def _by_rows(self, model: NMF, W: Array, H: Array) -> Array:
        """Return the log density of every row, without constants."""
        linear = jnp.sum(self._linear(model, H, axis=1) * W, axis=0)
        return sum_log(self.rows, W, H, floor_of(W.dtype)) - linear

    def _linear(self, model: NMF, y: Array, *, axis: int) -> Array:
        """Return the expected count per unit of each entry of x, over observed cells."""
        of_x, of_y = _exposures(model, y.dtype)[:: 1 if axis == 1 else -1]
        y = y * of_y
        total = jnp.sum(y, axis=1, keepdims=True)
        held = self.held_rows if axis == 1 else self.held_columns
        if held is not None:
            # Every cell of a column held out but one leaves rounding of the size of the total.
            total = jnp.maximum(total - contract_values(held, y), 0.0)
        return of_x * total

    def _constants(self, model: NMF) -> Array:
        exposures = _exposures(model, self.dtype)
        totals = self.row_totals, self.column_totals
        logs = (jnp.sum(v[None] * jnp.log(e)) for v, e in zip(totals, exposures, strict=True))
        return sum(logs) - self.log_factorials


def counts_of(matrix: SparseMatrix) -> Counts:
    """Return stored counts and held-out cells in both orders."""
    counts, times = np.unique(matrix.stored.data, return_counts=True)  # few distinct counts
    counts = counts.astype(np.float64)
    sums = (gammaln(counts + 1.0), xlogy(counts, counts) - counts)
    return Counts(
        rows_of(matrix.stored),
        rows_of(matrix.stored_columns),
        None if matrix.held_out is None else rows_of(matrix.held_out),
        None if matrix.held_out is None else rows_of(matrix.held_out_columns),
        jnp.asarray(0.0 if matrix.held_out is None else float(matrix.held_out.nnz)),
        *(jnp.asarray(matrix.stored.sum(axis=axis, dtype=np.float64)) for axis in (1, 0)),
        *(jnp.asarray(float(part @ times)) for part in sums),
    )


def _exposures(model: NMF, dtype: Any) -> tuple[Array, Array]:
    """Return the exposures of rows and of columns, whose product is that of a cell; one is 1.

    A number, or an array of shape (1, n_rows) or (1, n_columns).
    """
    exposure = jnp.asarray(model.likelihood.known.get("exposure", 1.0), dtype)
    one = jnp.ones((), dtype)
    along_columns = exposure.ndim == 2 and exposure.shape[0] == 1
    return (one, exposure) if along_columns else (exposure.T, one)
