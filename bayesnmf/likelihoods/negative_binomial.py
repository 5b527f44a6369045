"""Negative binomial counts: Poisson with room for overdispersion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammaln, xlog1py, xlogy

from bayesnmf.arrays import Array, ArrayLike, Parameter, pytree
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.counts import has_fractions, refuse_fractions
from bayesnmf.likelihoods.exposure import with_exposure
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes
from bayesnmf.likelihoods.special_functions import stirling_remainder


@final
@pytree()
@with_exposure
@dataclass(frozen=True, eq=False)
class NegativeBinomial(Likelihood):
    r"""Overdispersed counts: mean ``L = (WH)_ij`` and variance ``L + L**2 / concentration``.

    With an exposure, ``L = exposure_ij (WH)_ij``.

    Parameters
    ----------
    concentration : float, optional
        Positive; infinity would be Poisson. None: inferred under an exponential prior with
        mean 1 on ``1 / concentration``, which is the squared coefficient of variation beyond
        Poisson noise.

    References
    ----------
    Gouvert, O., Oberlin, T. and Fevotte, C. (2020). Negative binomial matrix factorization.
    IEEE Signal Processing Letters 27, 815-819. doi:10.1109/LSP.2020.2991613

    Examples
    --------
    >>> float(NegativeBinomial().fisher_information(3.0, 2.0, concentration=2.0))
    0.25
    """

    concentration: Any = None
    exposure: Any = None

    name: ClassVar[str] = "negative_binomial"
    description: ClassVar[str] = (
        "Counts that scatter more than Poisson counts: the "
        "variance is mean + mean² / concentration."
    )
    base_measure: ClassVar = "counting"
    cancels: ClassVar[bool] = True
    parameters: ClassVar = ("concentration", "exposure")

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Return an inverse gamma: ``1 / concentration`` is exponential with mean 1."""
        return (
            {} if self.concentration is not None else {"concentration": dist.InverseGamma(1.0, 1.0)}
        )

    def start(self) -> dict[str, float]:
        """Return a concentration at which the counts are visibly overdispersed."""
        return {"concentration": 10.0} if self.priors else {}

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Refuse negative cells and, unless `quasi`, fractions."""
        matrix.refuse(lambda v: v < 0, "is negative, but counts are not", "Check that cell")
        refuse_magnitudes(self, matrix)
        if not quasi:
            refuse_fractions(self, matrix)

    def is_quasi(self, matrix: AnyMatrix) -> bool:
        """Return whether any cell is not an integer."""
        return has_fractions(matrix)

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return counts drawn around `mean`; a concentration that is not given is 5."""
        concentration = 5.0 if self.concentration is None else self.concentration
        return rng.poisson(rng.gamma(concentration, mean / concentration))

    def distribution(self, mean: ArrayLike, concentration: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the counts."""
        return dist.NegativeBinomial2(mean, concentration)

    def log_density(self, v: Array, mean: Array, concentration: Parameter) -> Array:
        """Return the log mass of the NB2 parametrisation."""
        return self.varying_terms(v, mean, concentration) - v - gammaln(v + 1.0)

    def varying_terms(self, v: Array, mean: Array, concentration: Parameter) -> Array:
        """Return the log mass without the factorial, which takes as long as all the rest."""
        # Near Poisson, at a large r, the three log gamma functions cancel: Stirling's formula
        # is subtracted from two of them by hand, and the terms grouped so that each is small.
        r = concentration
        return (
            (r - 0.5) * jnp.log1p(v / r)
            - r * jnp.log1p(mean / r)
            + v * jnp.log((v + r) / (mean + r))
            + stirling_remainder(v + r)
            - stirling_remainder(r)
            + xlogy(v, mean)
        )

    def log_density_change(
        self, v: Array, mean: Array, step: Array, concentration: Parameter
    ) -> Array:
        """Return the difference of the two logarithmic terms."""
        tail = jnp.log1p(step / (mean + concentration))
        return xlog1py(v, step / mean) - (v + concentration) * tail

    def mean_terms(self, v: Array, mean: Array, concentration: Parameter) -> Array:
        """Return ``v log mean - (v + r) log(1 + mean / r)``."""
        return xlogy(v, mean) - (v + concentration) * jnp.log1p(mean / concentration)

    def fisher_information(self, v: Array, mean: Array, concentration: Parameter) -> Array:
        """Return ``r / (mean (mean + r))``."""
        return concentration / (mean * (mean + concentration))

    def curvature(self, v: Array, mean: Array, concentration: Parameter) -> Array:
        """Return the Fisher information times ``v / mean``: non-negative, and 0 in an empty cell."""
        return v / mean / mean * (concentration / (mean + concentration))

    def score_parts(self, v: Array, mean: Array, concentration: Parameter) -> tuple[Array, Array]:
        """Return ``v / mean`` and ``(v + r) / (mean + r)``.

        The second part of the negative log density, ``(v + r) log(mean + r)``, is concave in
        the mean: its tangent majorises it, and the surrogate is the Poisson one.
        """
        return v / mean, (v + concentration) / (mean + concentration)
