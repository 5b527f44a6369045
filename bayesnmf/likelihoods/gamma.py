"""Gamma noise: the likelihood behind the Itakura-Saito objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammainc, gammaincc

from bayesnmf.arrays import Array, ArrayLike, Parameter, positive, pytree
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.exposure import with_exposure
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes
from bayesnmf.likelihoods.numpy_draws import TINY
from bayesnmf.likelihoods.special_functions import stirling_remainder


@final
@pytree()
@with_exposure
@dataclass(frozen=True, eq=False)
class Gamma(Likelihood):
    r"""Positive data with constant relative noise: gamma with mean (WH)_ij and given shape.

    With an exposure the mean is ``exposure_ij (WH)_ij``. The coefficient of variation is
    ``1 / sqrt(shape)`` at every mean. Maximising it over W and
    H minimises the Itakura-Saito divergence, the natural one for power spectrograms.

    Parameters
    ----------
    shape : float, optional
        Positive; 1 is exponential noise. None: inferred under an exponential prior with mean
        100.
    exposure : float or array of shape (n_rows, n_columns), optional
        Known positive multiplier of the mean, as of :class:`Poisson`.

    References
    ----------
    Fevotte, C., Bertin, N. and Durrieu, J.-L. (2009). Nonnegative matrix factorization with
    the Itakura-Saito divergence. Neural Computation 21, 793-830.
    doi:10.1162/neco.2008.04-08-771

    Examples
    --------
    >>> float(Gamma().score(4.0, 2.0, shape=3.0))
    1.5
    """

    shape: Any = None
    exposure: Any = None

    name: ClassVar[str] = "gamma"
    description: ClassVar[str] = "Positive values with noise in proportion to their mean."
    base_measure: ClassVar = "lebesgue"
    exponent: ClassVar[float] = 0.5
    every_cell: ClassVar[bool] = True  # its mean follows every cell, however small
    parameters: ClassVar = ("shape", "exposure")

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Return an exponential with mean 100."""
        return {} if self.shape is not None else {"shape": dist.Exponential(0.01)}

    def start(self) -> dict[str, float]:
        """Return exponential noise."""
        return {"shape": 1.0} if self.priors else {}

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Refuse zero and negative cells, and values that the arithmetic cannot carry."""
        matrix.refuse(
            lambda v: v <= 0,
            "is not positive, and the gamma likelihood gives it no density",
            "Mark it as missing, or choose the Poisson or Gaussian likelihood",
        )
        refuse_magnitudes(self, matrix)

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return positive values drawn around `mean`; a shape that is not given is 10."""
        shape = 10.0 if self.shape is None else self.shape
        return np.maximum(rng.gamma(shape, mean / shape), TINY)

    def distribution(self, mean: ArrayLike, shape: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the cells."""
        return dist.Gamma(shape, shape / mean)

    def log_density(self, v: Array, mean: Array, shape: Parameter) -> Array:
        """Return the log density of a gamma distribution in mean and shape."""
        # Grouped around v / mean and with Stirling's formula taken out of log Gamma(shape), so
        # that a large shape does not cancel large logarithms.
        ratio = v / mean
        return (
            shape * (jnp.log(ratio) - (ratio - 1.0))
            - jnp.log(v)
            + 0.5 * jnp.log(shape / (2 * jnp.pi))
            - stirling_remainder(shape)
        )

    def log_density_change(self, v: Array, mean: Array, step: Array, shape: Parameter) -> Array:
        """Return ``shape (v step / (mean (mean + step)) - log1p(step / mean))``."""
        return shape * (v / mean * (step / (mean + step)) - jnp.log1p(step / mean))

    def mean_terms(self, v: Array, mean: Array, shape: Parameter) -> Array:
        """Return ``-shape (v / mean + log mean)``."""
        return -shape * (v / mean + jnp.log(mean))

    def fisher_information(self, v: Array, mean: Array, shape: Parameter) -> Array:
        """Return ``shape / mean**2``."""
        return shape / (mean * mean)

    def score_parts(self, v: Array, mean: Array, shape: Parameter) -> tuple[Array, Array]:
        """Return ``shape v / mean**2`` and ``shape / mean``."""
        return shape * (v / mean) / mean, shape / mean

    def update(
        self,
        w: Array,
        numerator: Array,
        denominator: Array,
        log_coefficient: Array,
        rate: Array,
        exponent: Array,
    ) -> Array:
        """Minimise ``numerator w**2 / x + (denominator + rate) x - log_coefficient log x``."""
        slope = denominator + rate
        root = jnp.sqrt(log_coefficient * log_coefficient + 4.0 * slope * numerator * w * w)
        return (log_coefficient + root) / positive(2.0 * slope)

    def log_mass(self, v: Array, mean: Array, shape: Parameter) -> Array:
        """Return the log probability that the cell rounds to the count `v`."""
        rate = shape / mean
        lower, upper = jnp.maximum(v - 0.5, 0.0), v + 0.5
        below = v <= mean
        # Subtract on the side of the distribution that holds little mass.
        mass = jnp.where(
            below,
            gammainc(shape, rate * upper) - gammainc(shape, rate * lower),
            gammaincc(shape, rate * lower) - gammaincc(shape, rate * upper),
        )
        # Far in a tail the difference underflows. There the density falls exponentially from
        # the end nearer to the mean, with a relative error of one over its squared z-score.
        near = jnp.where(below, upper, lower)
        decay = positive(jnp.abs(rate - (shape - 1.0) / near))
        fall = jnp.log(-jnp.expm1(-decay * (upper - lower)) / decay)
        tail = self.log_density(near, mean, shape) + fall
        safe = mass > jnp.finfo(mass.dtype).tiny ** 0.5
        return jnp.where(safe, jnp.log(jnp.where(safe, mass, 1.0)), tail)
