"""Gaussian noise: the likelihood behind the Frobenius objective."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, final

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr

from bayesnmf.arrays import Array, ArrayLike, Parameter, positive, pytree
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes


@final
@pytree()
@dataclass(frozen=True, eq=False)
class Gaussian(Likelihood):
    r"""Noise of constant or known standard deviation: ``V_ij ~ Normal((WH)_ij, sigma_ij)``.

    Maximising it over W and H minimises the squared Frobenius norm of V - WH, weighted by
    ``1 / sigma**2`` where sigma is known per cell. Cells may be negative.

    Parameters
    ----------
    sigma : float or array of shape (n_rows, n_columns), optional
        Positive standard deviation, in the units of V. None: one value is inferred, under an
        exponential prior on the precision ``1 / sigma**2``. A labelled table is matched by its
        names with those of V.
    scale : float, optional
        The prior mean of the precision is ``1 / scale**2``. None: the standard deviation of
        V, resolved when fitting, so the prior weighs as much as two cells.

    References
    ----------
    Schmidt, M. N., Winther, O. and Hansen, L. K. (2009). Bayesian non-negative matrix
    factorization. ICA 2009, LNCS 5441, 540-547. doi:10.1007/978-3-642-00599-2_68

    Examples
    --------
    >>> float(Gaussian().score(3.0, 2.0, sigma=0.5))
    4.0
    """

    sigma: Any = None
    scale: float | None = None

    name: ClassVar[str] = "gaussian"
    description: ClassVar[str] = (
        "Noise of the same size sigma in every cell, unless sigma is given cell by cell."
    )
    base_measure: ClassVar = "lebesgue"
    log_concave: ClassVar = True
    power: ClassVar[float] = 3.0  # of sigma, in its prior density
    parameters: ClassVar = ("sigma",)

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Return the distribution of sigma when its precision is exponential."""
        if self.known:
            return {}
        scale = 1.0 if self.scale is None else self.scale
        precision = dist.Exponential(scale**2)
        power = dist.transforms.PowerTransform(-0.5)
        return {"sigma": dist.TransformedDistribution(precision, power)}

    @property
    def constant_variance(self) -> bool:
        """Whether sigma is one number, given or inferred."""
        return np.ndim(self.sigma) == 0

    is_conjugate: ClassVar[bool] = True

    def conjugate_draw(self, key: Array, n_cells: Array, squares: Array) -> dict[str, Array]:
        """Draw sigma: its precision is exponential a priori, gamma given the residuals."""
        scale = jnp.asarray(self.start()["sigma"], squares.dtype)
        shape = 1.0 + 0.5 * jnp.asarray(n_cells, squares.dtype)
        # The prior mean of the precision is scale**-2.
        rate = scale**2 + 0.5 * squares
        return {"sigma": jnp.sqrt(rate / jax.random.gamma(key, shape, dtype=squares.dtype))}

    def fits_single_precision(self, values: np.ndarray) -> bool:
        """Return False: the noise may be small beside the digits of single precision."""
        return False

    def start(self) -> dict[str, float]:
        """Return the prior guess of sigma."""
        return {} if self.known else {"sigma": 1.0 if self.scale is None else self.scale}

    def resolve(self, matrix: AnyMatrix) -> Self:
        """Check a known sigma, or set the scale of an inferred one from the data."""
        if self.sigma is not None or self.scale is not None:
            return super().resolve(matrix)
        return replace(self, scale=matrix.std() or matrix.largest_size() or 1.0)

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Accept every real number that the arithmetic can carry."""
        refuse_magnitudes(self, matrix)

    def typical_mean(self, matrix: AnyMatrix) -> float:
        """Return the grand mean, or the root mean square where negative cells outweigh it."""
        mean = super().typical_mean(matrix)
        return mean if mean > 0 else math.hypot(mean, matrix.std())  # root mean square

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return values drawn around `mean`; a sigma that is not given is a tenth of `level`."""
        return rng.normal(mean, 0.1 * level if self.sigma is None else self.sigma)

    def distribution(self, mean: ArrayLike, sigma: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the cells."""
        return dist.Normal(mean, sigma)

    def log_density(self, v: Array, mean: Array, sigma: Parameter) -> Array:
        """Return the log density of a normal distribution."""
        z = (v - mean) / sigma
        return -0.5 * z * z - jnp.log(sigma) - 0.5 * jnp.log(2 * jnp.pi)

    def log_density_change(self, v: Array, mean: Array, step: Array, sigma: Parameter) -> Array:
        """Return ``step (v - mean - step / 2) / sigma**2``."""
        return step * (v - mean - 0.5 * step) / (sigma * sigma)

    def mean_terms(self, v: Array, mean: Array, sigma: Parameter) -> Array:
        """Return ``-(v - mean)**2 / (2 sigma**2)``."""
        return -0.5 * ((v - mean) / sigma) ** 2

    def fisher_information(self, v: Array, mean: Array, sigma: Parameter) -> Array:
        """Return ``1 / sigma**2``."""
        return jnp.broadcast_to(1.0 / (sigma * sigma), jnp.shape(mean))

    def score_parts(self, v: Array, mean: Array, sigma: Parameter) -> tuple[Array, Array]:
        """Return ``v / sigma**2`` and ``mean / sigma**2``; the first has the sign of `v`."""
        precision = 1.0 / (sigma * sigma)
        return precision * v, precision * mean

    def update(
        self,
        w: Array,
        numerator: Array,
        denominator: Array,
        log_coefficient: Array,
        rate: Array,
        exponent: Array,
    ) -> Array:
        """Minimise ``(denominator + rate) x**2 / (2 w) - numerator x - log_coefficient log x``.

        The linear penalty is majorised by ``rate (x**2 / w + w) / 2``, which keeps the step
        multiplicative.
        """
        slope = w * numerator
        curvature = denominator + rate
        root = jnp.sqrt(slope * slope + 4.0 * log_coefficient * curvature * w)
        return (slope + root) / positive(2.0 * curvature)

    def log_mass(self, v: Array, mean: Array, sigma: Parameter) -> Array:
        """Return the log probability that the cell rounds to the count `v`."""
        upper = (v + 0.5 - mean) / sigma
        lower = jnp.where(v > 0, (v - 0.5 - mean) / sigma, -jnp.inf)
        # Work in the lower tail, where log_ndtr keeps its digits.
        flip = lower > 0
        low, high = jnp.where(flip, -upper, lower), jnp.where(flip, -lower, upper)
        log_high = log_ndtr(high)
        gap = jnp.minimum(log_ndtr(low) - log_high, -jnp.finfo(log_high.dtype).tiny)
        return log_high + jnp.log(-jnp.expm1(gap))
