"""Beta noise on proportions, with a link from the unbounded mean WH to (0, 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import digamma, polygamma

from bayesnmf.arrays import Array, ArrayLike, Parameter, positive, pytree
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes
from bayesnmf.likelihoods.numpy_draws import BELOW_ONE, TINY
from bayesnmf.likelihoods.special_functions import stirling_remainder


@final
@pytree(static=("link",))
@dataclass(frozen=True, eq=False)
class Beta(Likelihood):
    r"""Proportions strictly inside (0, 1): ``Beta(phi mu, phi (1 - mu))`` with precision phi.

    ``mu = 1 - exp(-(WH)_ij)`` under the "cloglog" link: ``1 - mu`` is the product over
    components of ``exp(-W_ik H_kj)``, so components act as independent causes, and mu is close
    to WH while that is small. Under "odds", ``mu = WH / (1 + WH)``.

    Parameters
    ----------
    precision : float, optional
        Positive; the variance is ``mu (1 - mu) / (precision + 1)``. None: inferred under an
        exponential prior with mean 100.
    link : {"cloglog", "odds"}, default "cloglog"
        How WH becomes a proportion.

    References
    ----------
    Ferrari, S. and Cribari-Neto, F. (2004). Beta regression for modelling rates and
    proportions. Journal of Applied Statistics 31, 799-815. doi:10.1080/0266476042000214501

    Examples
    --------
    >>> Beta().distribution(1.0, precision=5.0).mean.round(3).item()
    0.6320000290870667
    """

    precision: Any = None
    link: Literal["cloglog", "odds"] = "cloglog"

    name: ClassVar[str] = "beta"
    description: ClassVar[str] = (
        "Proportions between 0 and 1, with a link from WH to the mean of a cell."
    )
    base_measure: ClassVar = "lebesgue"
    placeholder: ClassVar[float] = 0.5
    majorises: ClassVar[bool] = False
    parameters: ClassVar = ("precision",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.link not in ("cloglog", "odds"):
            raise ValueError(f"unknown link {self.link!r} of Beta; valid names: cloglog, odds")

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Return an exponential with mean 100."""
        return {} if self.known else {"precision": dist.Exponential(0.01)}

    def start(self) -> dict[str, float]:
        """Return the precision of a broad distribution."""
        return {} if self.known else {"precision": 5.0}

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Refuse cells outside (0, 1)."""
        n = matrix.n_observed
        matrix.refuse(
            lambda v: (v <= 0) | (v >= 1),
            "is not strictly between 0 and 1, and the beta likelihood gives it no density",
            f"The usual squeeze is V * {(n - 1) / n:.6g} + {0.5 / n:.3g}, which is "
            "(V (n - 1) + 0.5) / n with n the number of cells",
        )
        refuse_magnitudes(self, matrix)
        matrix.refuse(
            lambda v: v < np.finfo(matrix.dtype).tiny,
            f"has no logarithm in the arithmetic of {matrix.dtype}",
            "Replace it with a larger proportion, or NaN if missing",
        )

    def crude_mean(self, values: np.ndarray) -> np.ndarray:
        """Return the inverse link of the proportions."""
        return -np.log1p(-values) if self.link == "cloglog" else values / (1.0 - values)

    def typical_mean(self, matrix: AnyMatrix) -> float:
        """Return the WH at which mu is the grand mean of V."""
        return float(self.crude_mean(np.asarray(super().typical_mean(matrix))))

    def proportion(self, mean: ArrayLike) -> tuple[Array, Array, Array]:
        """Return mu, 1 - mu and the derivative of mu in the mean."""
        # Beyond this mean the complement leaves the floating-point range.
        tiny = jnp.finfo(jnp.result_type(float, mean)).tiny
        if self.link == "cloglog":
            mean = jnp.clip(mean, tiny, -0.5 * jnp.log(tiny))
            complement = jnp.exp(-mean)
            return -jnp.expm1(-mean), complement, complement
        mean = jnp.clip(mean, tiny, tiny**-0.5)
        complement = 1.0 / (1.0 + mean)
        return mean * complement, complement, complement * complement

    typical_level: ClassVar[float] = 0.3
    highest_level: ClassVar[float] = 1.0
    options: ClassVar[tuple[str, ...]] = ("link",)

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return proportions drawn around `mean`; a precision that is not given is 50."""
        precision = 50.0 if self.precision is None else self.precision
        if self.link == "cloglog":
            mu, complement = -np.expm1(-mean), np.exp(-mean)
        else:
            mu, complement = mean / (1.0 + mean), 1.0 / (1.0 + mean)
        a, b = np.maximum(precision * mu, TINY), np.maximum(precision * complement, TINY)
        return np.clip(rng.beta(a, b), TINY, BELOW_ONE)

    def distribution(self, mean: ArrayLike, precision: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the cells."""
        mu, complement, _ = self.proportion(mean)
        return dist.Beta(precision * mu, precision * complement)

    def log_density(self, v: Array, mean: Array, precision: Parameter) -> Array:
        """Return the log density of a beta distribution in mean and precision."""
        mu, complement, _ = self.proportion(mean)
        a, b = precision * mu, precision * complement
        # Stirling's formula is taken out of the beta function, which leaves a Kullback-Leibler
        # divergence that a large precision can multiply.
        return (
            a * jnp.log(v / mu)
            + b * (jnp.log1p(-v) - jnp.log(complement))
            - jnp.log(v)
            - jnp.log1p(-v)
            + 0.5 * jnp.log(a * complement / (2 * jnp.pi))
            + stirling_remainder(precision)
            - stirling_remainder(a)
            - stirling_remainder(b)
        )

    def saturated(self, v: Array, precision: Parameter) -> Array:
        """Return the log density at ``mu = v``."""
        mean = -jnp.log1p(-v) if self.link == "cloglog" else v / (1.0 - v)
        return self.log_density(v, mean, precision)

    def fisher_information(self, v: Array, mean: Array, precision: Parameter) -> Array:
        """Return ``phi**2 c**2 (trigamma(phi mu) + trigamma(phi (1 - mu)))``, c = dmu/dmean."""
        mu, complement, slope = self.proportion(mean)
        trigammas = polygamma(1, precision * mu) + polygamma(1, precision * complement)
        return (precision * slope) ** 2 * trigammas

    def score_parts(self, v: Array, mean: Array, precision: Parameter) -> tuple[Array, Array]:
        """Return two non-negative parts whose difference is the score.

        ``digamma(x) = [digamma(x + 1) + gamma_E] - [1 / x + gamma_E]`` with both brackets
        positive, and ``log v``, ``log(1 - v)`` are negative.
        """
        mu, complement, slope = self.proportion(mean)
        a, b = precision * mu, precision * complement
        numerator = _lifted_digamma(b) + 1.0 / a - jnp.log1p(-v)
        denominator = _lifted_digamma(a) + 1.0 / b - jnp.log(v)
        return precision * slope * numerator, precision * slope * denominator

    def update(
        self,
        w: Array,
        numerator: Array,
        denominator: Array,
        log_coefficient: Array,
        rate: Array,
        exponent: Array,
    ) -> Array:
        """Return the heuristic ``w (numerator / denominator) ** exponent``."""
        ratio = (w * numerator + log_coefficient) / positive(w * (denominator + rate))
        return w * ratio**exponent


def _lifted_digamma(x: Array) -> Array:
    return digamma(x + 1.0) + jnp.euler_gamma
