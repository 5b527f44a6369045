"""Every cell in memory: any likelihood, with or without missing cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from bayesnmf.data import Matrix
from bayesnmf.likelihoods._base import Array
from bayesnmf.methods.newton import contract, half_step, product
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

from .interface import Improved, Parameters


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
    def n_cells(self) -> Array:
        """Number of observed cells."""
        number = self.values.size if self.observed is None else jnp.sum(self.observed)
        return jnp.asarray(number, self.dtype)

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
        # A kernel leaves out terms of the parameters too, so they must all be known.
        kernel = not constants and not likelihood.priors
        function = likelihood.log_kernel if kernel else likelihood.log_density

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

    def split(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as numerator minus denominator of the multiplicative update."""
        likelihood, mean = model.likelihood, mean_of(x, y, axis)
        parts = likelihood.split(self.values, mean, **likelihood.known, **parameters)
        numerator, denominator = (contract(y, self.kept(part), axis) for part in parts)
        return numerator, denominator

    def improve(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, prior: Prior, *, axis: int,
        log_space: bool,
    ) -> Improved:  # fmt: skip
        """Take a block Newton step."""
        W, H = (x, y) if axis == 1 else (y, x)
        mean = mean_of(W, H)
        new, slope = half_step(
            model, self, x, y, mean, parameters, prior, axis=axis, log_space=log_space
        )
        return Improved(new, slope, self.density(model, W, H, constants=False)(parameters))


def cells_of(model: NMF, matrix: Matrix) -> Cells:
    """Return the cells of `matrix` as this model's likelihood can be evaluated at."""
    values = jnp.asarray(matrix.filled(model.likelihood.placeholder))
    return Cells(values, None if matrix.observed.all() else jnp.asarray(matrix.observed))


def mean_of(x: Array, y: Array, axis: int = 1) -> Array:
    """Return WH, oriented as V and lifted off zero by a hair, so that ratios stay finite."""
    mean = product(x, y, axis)
    return jnp.maximum(mean, jnp.finfo(mean.dtype).tiny ** 0.5)
