"""Poisson counts: the likelihood behind the Kullback-Leibler objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammaln, xlog1py, xlogy

from bayesnmf.arrays import Array, ArrayLike, Parameter, pytree
from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.counts import has_fractions, refuse_fractions
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes


@final
@pytree()
@dataclass(frozen=True, eq=False)
class Poisson(Likelihood):
    r"""Counts with variance equal to their mean: ``V_ij ~ Poisson(exposure_ij (WH)_ij)``.

    Maximising it over W and H minimises the generalised Kullback-Leibler divergence.

    Parameters
    ----------
    exposure : float or array of shape (n_rows, n_columns), optional
        Known positive multiplier of the mean (observation time, sequencing depth,
        mutational opportunity); an array that broadcasts, such as (n_rows, 1), is accepted. A
        labelled table or series is matched by its names with those of V.

    References
    ----------
    Lee, D. D. and Seung, H. S. (1999). Learning the parts of objects by non-negative matrix
    factorization. Nature 401, 788-791. doi:10.1038/44565

    Examples
    --------
    >>> float(Poisson().score(3.0, 2.0))
    0.5
    """

    exposure: Any = None

    name: ClassVar[str] = "poisson"
    description: ClassVar[str] = (
        "Counts of independent events: the variance of a cell equals its mean."
    )
    overdispersed_alternative: ClassVar[str] = "negative_binomial"
    base_measure: ClassVar = "counting"
    log_concave: ClassVar = True
    parameters: ClassVar = ("exposure",)

    @property
    def zeros_are_linear(self) -> bool:
        """Whether one exposure holds for all cells: a 0 has the log mass ``-E mean``."""
        return np.ndim(self.exposure) == 0

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Refuse negative cells and, unless `quasi`, fractions."""
        matrix.refuse(lambda v: v < 0, "is negative, but counts are not", "Check that cell")
        refuse_magnitudes(self, matrix)
        if not quasi:
            refuse_fractions(self, matrix)

    def is_quasi(self, matrix: AnyMatrix) -> bool:
        """Return whether any cell is not an integer."""
        return has_fractions(matrix)

    def crude_mean(self, values: np.ndarray) -> np.ndarray:
        """Return the count per unit of exposure."""
        return values / (1.0 if self.exposure is None else self.exposure)

    def typical_mean(self, matrix: AnyMatrix) -> float:
        """Return the mean count per unit of exposure."""
        if self.exposure is None:
            return super().typical_mean(matrix)
        if not np.ndim(self.exposure):
            return super().typical_mean(matrix) / self.exposure
        assert isinstance(matrix, Matrix)  # no sparse storage serves per-cell arrays
        exposure = np.broadcast_to(np.asarray(self.exposure, float), matrix.shape)
        return float(matrix.cells.sum() / exposure[matrix.observed].sum())

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return counts drawn around `mean`."""
        return rng.poisson(mean if self.exposure is None else self.exposure * mean)

    def distribution(self, mean: ArrayLike, exposure: ArrayLike = 1.0) -> dist.Distribution:
        """Return the NumPyro distribution of the counts."""
        return dist.Poisson(exposure * mean)

    def log_density(self, v: Array, mean: Array, exposure: Parameter = 1.0) -> Array:
        """Return the log mass ``v log(E mean) - E mean - log v!`` with exposure E."""
        expected = exposure * mean
        return xlogy(v, expected) - expected - gammaln(v + 1.0)

    def log_density_change(
        self, v: Array, mean: Array, step: Array, exposure: Parameter = 1.0
    ) -> Array:
        """Return ``v log1p(step / mean) - E step``."""
        return xlog1py(v, step / mean) - exposure * step

    def mean_terms(self, v: Array, mean: Array, exposure: Parameter = 1.0) -> Array:
        """Return ``v log mean - E mean``."""
        return xlogy(v, mean) - exposure * mean

    def saturated(self, v: Array, exposure: Parameter = 1.0) -> Array:
        """Return the log mass at an expected count of `v`, whatever the exposure."""
        return self.log_density(v, v)

    def fisher_information(self, v: Array, mean: Array, exposure: Parameter = 1.0) -> Array:
        """Return ``E / mean``."""
        return exposure / mean

    def curvature(self, v: Array, mean: Array, exposure: Parameter = 1.0) -> Array:
        """Return the observed information ``v / mean**2``, which an empty cell leaves finite."""
        return v / mean / mean

    def score_parts(self, v: Array, mean: Array, exposure: Parameter = 1.0) -> tuple[Array, Array]:
        """Return ``v / mean`` and ``E``."""
        return v / mean, exposure * jnp.ones_like(mean)
