"""Every cell in memory: any likelihood, with or without missing cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.special import gammaln

from bayesnmf.arrays import Array, off_zero
from bayesnmf.data import Matrix
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Allocation, Improved, Parameters, pairs
from bayesnmf.observed.newton import half_step
from bayesnmf.observed.products import cell_product, contract
from bayesnmf.priors import Prior

#: Rows whose information is computed at once.
ROWS = 256


class Cells(NamedTuple):
    """Cells with any value of the support where missing, and the mask of observed ones.

    The mask is None for a complete matrix, whose arithmetic then has no selects.
    """

    values: Array
    observed: Array | None

    @property
    def dtype(self) -> Any:
        """Floating-point type."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns) of V."""
        n_rows, n_columns = self.values.shape
        return n_rows, n_columns

    @property
    def n_cells(self) -> Array:
        """Number of observed cells."""
        number = self.values.size if self.observed is None else jnp.sum(self.observed)
        return jnp.asarray(number, self.dtype)

    @property
    def is_complete(self) -> bool:
        """Whether no cell is missing."""
        return self.observed is None

    def fits_single_precision(self, model: NMF) -> bool:
        """Return whether gradients in single precision are accurate enough for a trajectory."""
        return model.likelihood.fits_single_precision(np.asarray(self.values))

    def kept(self, cells: Array) -> Array:
        """Return `cells` with 0 where missing."""
        return cells if self.observed is None else jnp.where(self.observed, cells, 0.0)

    def rounding(self, model: NMF, parameters: Parameters) -> Array:
        """Return 0: the sum over cells rounds relative to itself."""
        return jnp.zeros((), self.dtype)

    def density(
        self, model: NMF, W: Array, H: Array, *, constants: bool = True
    ) -> Callable[[Parameters], Array]:
        """Return the log density of the data as a function of the likelihood's parameters."""
        likelihood, mean = model.likelihood, mean_of(W, H)
        # The terms of the mean leave out those of the parameters, which must all be known.
        without = likelihood.varying_terms if likelihood.priors else likelihood.mean_terms
        function = likelihood.log_density if constants else without

        def density(parameters: Parameters) -> Array:
            return jnp.sum(self.kept(function(self.values, mean, **likelihood.known, **parameters)))

        return density

    def saturated(self, model: NMF, parameters: Parameters) -> Array:
        """Return the log density at a WH equal to the data."""
        known = {**model.likelihood.known, **parameters}
        return jnp.sum(self.kept(model.likelihood.saturated(self.values, **known)))

    def gradient(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the derivative of the log density in x."""
        likelihood, mean = model.likelihood, mean_of(x, y, axis)
        score = likelihood.score(self.values, mean, **likelihood.known, **parameters)
        return contract(y, self.kept(score), axis)

    def score_parts(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as numerator minus denominator of the multiplicative update."""
        likelihood, mean = model.likelihood, mean_of(x, y, axis)
        parts = likelihood.score_parts(self.values, mean, **likelihood.known, **parameters)
        numerator, denominator = (contract(y, self.kept(part), axis) for part in parts)
        return numerator, denominator

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
        """Take a block Newton step."""
        W, H = (x, y) if axis == 1 else (y, x)
        mean, known, free = mean_of(W, H), x[:first], x[first:]
        penalty = prior.penalty_terms(free, log_space)
        new, slope = half_step(model, self, free, y[first:], mean, parameters, penalty, axis=axis)
        new = jnp.concatenate([known, new]) if first else new
        # With parameters to infer, what may be left out of the density says little beside its size.
        constants = bool(model.likelihood.priors)
        return Improved(new, slope, self.density(model, W, H, constants=constants)(parameters))

    def gradients(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the derivatives of the log density in W and in H."""
        likelihood = model.likelihood
        score = likelihood.score(self.values, mean_of(W, H), **likelihood.known, **parameters)
        score = self.kept(score)
        return contract(H, score, 1), contract(W, score, 0)

    def log_density_change(
        self, model: NMF, x: Array, new: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the change of the log density of every row of x when it goes to `new`."""
        before, after = mean_of(x, y, axis), mean_of(new, y, axis)
        return jnp.sum(self._log_density_changes(model, before, after, parameters), axis=axis)

    def joint_log_density_change(
        self, model: NMF, old: tuple[Array, Array], new: tuple[Array, Array], parameters: Parameters
    ) -> Array:
        """Return the change of the log density when both factors (W, H) go from old to new."""
        return jnp.sum(self._log_density_changes(model, mean_of(*old), mean_of(*new), parameters))

    def information(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the Fisher information about the logarithms of W and of H, packed."""
        information = self._information(model, mean_of(W, H), parameters)
        first, second = pairs(len(W))
        return (
            contract(H[first] * H[second], information, 1) * W[first] * W[second],
            contract(W[first] * W[second], information, 0) * H[first] * H[second],
        )

    def information_diagonal(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the Fisher information about every logarithm of x alone."""
        information = self._information(model, mean_of(x, y, axis), parameters)
        return contract(y * y, information, axis) * x * x

    def information_among(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, chosen: Array, *, axis: int
    ) -> Array:
        """Return the Fisher information among some components of each row of x."""
        information = self._information(model, mean_of(x, y, axis), parameters)
        lines = information if axis == 1 else information.T

        def of_row(row: tuple[Array, Array]) -> Array:
            line, own = row
            roots = y[own] * jnp.sqrt(line)[None]
            return roots @ roots.T

        among = lax.map(of_row, (lines, chosen.T), batch_size=ROWS)
        entries = jnp.take_along_axis(x, chosen, axis=0)
        return jnp.moveaxis(among, 0, -1) * entries[:, None] * entries[None]

    def cross_information(
        self, model: NMF, x: Array, y: Array, step: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the Fisher information between the logarithms of x and of y, times a step of those of y."""
        information = self._information(model, mean_of(x, y, axis), parameters)
        return contract(y, information * cell_product(x, y * step, axis), axis) * x

    def allocate(self, model: NMF, W: Array, H: Array) -> Allocation:
        """Return how the counts go to the components; the likelihood is Poisson."""
        mean = mean_of(W, H)
        ratio = self.kept(self.values / mean)
        log_sum = jnp.sum(self.kept(self.values * jnp.log(mean)))
        return Allocation(contract(H, ratio, 1), contract(W, ratio, 0), log_sum)

    def constant(self, model: NMF) -> float:
        """Return the logarithms of exposures and factorials."""
        values = np.asarray(self.values, np.float64)
        exposure = np.asarray(model.likelihood.known.get("exposure", 1.0), np.float64)
        cells = values * np.log(np.broadcast_to(exposure, values.shape)) - gammaln(values + 1.0)
        return float(np.sum(cells if self.observed is None else cells[np.asarray(self.observed)]))

    def exposed(self, model: NMF, y: Array, *, axis: int) -> Array:
        """Return the expected count a unit of every entry of x."""
        exposure = model.likelihood.known.get("exposure")
        if self.is_complete and exposure is None:
            return jnp.sum(y, axis=1, keepdims=True)
        one = jnp.ones(self.shape, y.dtype)
        return contract(y, self.kept(one if exposure is None else one * exposure), axis)

    def project(self, y: Array, *, axis: int) -> Array:
        """Return VH' or W'V, component first; every cell must be observed."""
        return contract(y, self.values, axis)

    def squares(self, W: Array, H: Array) -> Array:
        """Return the sum of squares of V - WH over observed cells."""
        return jnp.sum(self.kept(self.values - mean_of(W, H)) ** 2)

    def _information(self, model: NMF, mean: Array, parameters: Parameters) -> Array:
        """Return the Fisher information about every cell's mean; 0 where missing."""
        known = {**model.likelihood.known, **parameters}
        return self.kept(model.likelihood.fisher_information(self.values, mean, **known))

    def _log_density_changes(
        self, model: NMF, mean: Array, new_mean: Array, parameters: Parameters
    ) -> Array:
        """Return the change of every cell's log density between two means; 0 where missing."""
        known = {**model.likelihood.known, **parameters}
        return self.kept(
            model.likelihood.log_density_change(self.values, mean, new_mean - mean, **known)
        )


def dense_cells_of(model: NMF, matrix: Matrix) -> Cells:
    """Return the cells of `matrix` as this model's likelihood can be evaluated at."""
    values = jnp.asarray(matrix.filled(model.likelihood.placeholder))
    return Cells(values, None if matrix.observed.all() else jnp.asarray(matrix.observed))


def mean_of(x: Array, y: Array, axis: int = 1) -> Array:
    """Return WH, oriented as V and lifted just above zero, so that ratios stay finite."""
    return off_zero(cell_product(x, y, axis))
