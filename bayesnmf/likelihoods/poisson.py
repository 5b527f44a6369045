"""Poisson counts: the likelihood behind the Kullback-Leibler objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammaln, xlog1py, xlogy

from bayesnmf.arrays import Array, ArrayLike, pytree
from bayesnmf.data import AnyMatrix
from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.counts import has_fractions, refuse_fractions
from bayesnmf.likelihoods.exposure import is_along_one_side, with_exposure
from bayesnmf.likelihoods.magnitudes import refuse_magnitudes


@final
@pytree()
@with_exposure
@dataclass(frozen=True, eq=False)
class Poisson(Likelihood):
    r"""Counts with variance equal to their mean: ``V_ij ~ Poisson(exposure_ij (WH)_ij)``.

    Maximising it over W and H minimises the generalised Kullback-Leibler divergence.

    Parameters
    ----------
    exposure : float or array of shape (n_rows, n_columns), optional
        Known positive multiplier of the mean (observation time, sequencing depth,
        mutational opportunity). One value a row, of shape (n_rows, 1) or (n_rows,), or one a column,
        of shape (1, n_columns), is accepted. A labelled table or series is matched by its names
        with those of V.

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
        """Whether rows, or columns, have one exposure each: a 0 has the log mass ``-E mean``."""
        return is_along_one_side(self.exposure)

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
        """Return counts drawn around `mean`."""
        return rng.poisson(mean)

    def distribution(self, mean: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the counts."""
        return dist.Poisson(mean)

    def log_density(self, v: Array, mean: Array) -> Array:
        """Return the log mass ``v log mean - mean - log v!``."""
        return xlogy(v, mean) - mean - gammaln(v + 1.0)

    def log_density_change(self, v: Array, mean: Array, step: Array) -> Array:
        """Return ``v log1p(step / mean) - step``."""
        return xlog1py(v, step / mean) - step

    def mean_terms(self, v: Array, mean: Array) -> Array:
        """Return ``v log mean - mean``."""
        return xlogy(v, mean) - mean

    def fisher_information(self, v: Array, mean: Array) -> Array:
        """Return ``1 / mean``."""
        return 1.0 / mean

    def curvature(self, v: Array, mean: Array) -> Array:
        """Return the observed information ``v / mean**2``, which an empty cell leaves finite."""
        return v / mean / mean

    def score_parts(self, v: Array, mean: Array) -> tuple[Array, Array]:
        """Return ``v / mean`` and 1."""
        return v / mean, jnp.ones_like(mean)
