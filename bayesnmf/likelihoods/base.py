"""What a likelihood has to offer; an algorithm uses this interface and nothing else."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayesnmf.arrays import Array, ArrayLike, Parameter
from bayesnmf.data import AnyMatrix
from bayesnmf.data.given import require_positive, same_value
from bayesnmf.data.labels import is_labelled
from bayesnmf.likelihoods.known import in_shape, known_array
from bayesnmf.likelihoods.magnitudes import fit_single_precision, refuse_magnitudes
from bayesnmf.likelihoods.numpy_draws import draw_cells
from bayesnmf.likelihoods.special_functions import log_linear_step, mean_derivative


@dataclass(frozen=True, eq=False)
class Likelihood(ABC):
    """Distribution of one cell V_ij around its mean (WH)_ij, with its mathematics.

    Every function of the cell takes `v`, `mean` (arrays that broadcast) and the likelihood's parameters by
    name, and returns one number a cell. The instance holds what is given; what is None is inferred.
    """

    name: ClassVar[str]
    #: The measure that the log density refers to; only equal ones can be compared.
    base_measure: ClassVar[Literal["counting", "lebesgue"]]
    #: One sentence on the noise of a cell.
    description: ClassVar[str] = "A likelihood of your own."
    #: Name of a likelihood for the same data with more noise; empty where there is none.
    overdispersed_alternative: ClassVar[str] = ""
    log_concave: ClassVar[bool] = False  #: Whether the log density is concave in the mean.
    #: A value inside the support, standing in for missing cells so that no NaN is computed.
    placeholder: ClassVar[float] = 1.0
    #: Exponent of the multiplicative update, and whether it is proven never to increase the objective.
    exponent: ClassVar[float] = 1.0
    majorises: ClassVar[bool] = True
    #: Largest power of a value, or of its inverse, that the arithmetic forms; with room to spare.
    power: ClassVar[float] = 2.5
    #: Whether the log density cancels terms of the size of V, so that its whole numbers have to be exact.
    cancels: ClassVar[bool] = False
    #: Whether every cell of V, not only the largest, has to be in that range.
    every_cell: ClassVar[bool] = False
    #: Names of the parameters beside the mean.
    parameters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.default is None:  # what the user may give: a number or an array
                value = require_positive(self._described(field.name), getattr(self, field.name))
                object.__setattr__(self, field.name, value)

    # -- what algorithms may use ---------------------------------------------------------------

    @property
    def constant_variance(self) -> bool:
        """Whether noise has one size in all cells, so that sums of squares say all of V."""
        return False

    @property
    def zeros_are_linear(self) -> bool:
        """Whether a 0 enters the log density by its mean alone, so that sparse data serve."""
        return False

    #: Whether :meth:`conjugate_draw` draws the inferred parameters.
    is_conjugate: ClassVar[bool] = False

    def conjugate_draw(self, key: Array, n_cells: Array, squares: Array) -> dict[str, Array]:
        """Draw the inferred parameters given the sum of squares of V - WH; none by default."""
        return {}

    def fits_single_precision(self, values: np.ndarray) -> bool:
        """Return whether single precision is accurate enough for the trajectory of a sampler."""
        return fit_single_precision(values)

    # -- parameters ---------------------------------------------------------------------------

    @property
    def known(self) -> dict[str, Any]:
        """Return the parameters that are given, by name: numbers or per-cell arrays."""
        values = {name: getattr(self, name) for name in self.parameters}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def priors(self) -> dict[str, dist.Distribution]:
        """Return the weak prior of each parameter that is inferred, by name."""
        return {}

    def start(self) -> dict[str, float]:
        """Return a starting value of each inferred parameter."""
        return dict.fromkeys(self.priors, 1.0)

    def resolve(self, matrix: AnyMatrix) -> Self:
        """Return this likelihood with known arrays checked against `matrix`."""
        changes = {
            name: known_array(self._described(name), value, matrix)
            for name, value in self.matched(matrix).known.items()
            if np.ndim(value)
        }
        return replace(self, **changes) if changes else self

    def matched(self, matrix: AnyMatrix) -> Self:
        """Return this likelihood with known arrays that broadcast to the shape of `matrix`.

        Labelled tables become plain arrays in the order of its names.

        Raises
        ------
        ValueError
            When a table has other names than the data, or an array another shape.
        """
        arrays = {name: value for name, value in self.known.items() if np.ndim(value)}
        changes = {name: in_shape(self._described(name), x, matrix) for name, x in arrays.items()}
        return replace(self, **changes) if changes else self

    def at_rows(self, rows: np.ndarray) -> Self:
        """Return this likelihood, which is matched with the data, for some rows: a mask, or positions."""
        parts = {name: x[rows] for name, x in self.known.items() if np.ndim(x) and len(x) > 1}
        return replace(self, **parts) if parts else self

    def require_plain(self) -> None:
        """Raise while a labelled table waits for the data whose names it is matched by."""
        for name in (name for name, value in self.known.items() if is_labelled(value)):
            raise ValueError(
                f"{self._described(name)} is a labelled table, which is matched with the names of V: "
                "call model.resolve(V) first"
            )

    def _described(self, name: str) -> str:
        return f"the {name} of the {self.name.replace('_', ' ')} likelihood"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        names = [field.name for field in fields(self)]
        return all(same_value(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        values = (getattr(self, f.name) for f in fields(self))
        return hash((type(self), *(None if np.ndim(v) else v for v in values)))

    # -- data ---------------------------------------------------------------------------------

    def check(self, matrix: AnyMatrix, *, quasi: bool = False) -> None:
        """Raise ``ValueError`` naming the first cell outside the support.

        With `quasi`, cells at which the log density is still a sensible objective pass. Here the
        support is that of the distribution.
        """
        parameters = dict.fromkeys(self.parameters, 1.0) | self.known
        support = self.distribution(np.ones((1, 1)), **parameters).support
        matrix.refuse(
            lambda v: ~np.asarray(support(v)),
            f"lies outside the support of the {self.name.replace('_', ' ')} likelihood",
            "Check that cell, or choose another likelihood",
        )
        refuse_magnitudes(self, matrix)

    def is_quasi(self, matrix: AnyMatrix) -> bool:
        """Return whether `matrix` makes this a quasi-likelihood: an objective, no density."""
        return False

    def crude_mean(self, values: np.ndarray) -> np.ndarray:
        """Return, cell by cell, the non-negative WH that the value itself suggests."""
        return np.maximum(values, 0.0)

    def typical_mean(self, matrix: AnyMatrix) -> float:
        """Return the average of WH that the data suggest, from their grand mean."""
        return matrix.mean()

    # -- the density and its derivatives in the mean ------------------------------------------

    @abstractmethod
    def distribution(self, mean: ArrayLike, **parameters: ArrayLike) -> dist.Distribution:
        """Return the NumPyro distribution of the cells."""

    def log_density(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the log density, normalising constants included; by default NumPyro's."""
        return self.distribution(mean, **parameters).log_prob(v)

    def log_density_change(
        self, v: Array, mean: Array, step: Array, **parameters: Parameter
    ) -> Array:
        """Return the log density at ``mean + step`` minus the log density at `mean`.

        Overridden where that can be had without cancellation: a line search needs its sign.
        """
        after = self.log_density(v, mean + step, **parameters)
        return after - self.log_density(v, mean, **parameters)

    def mean_terms(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the log density without the terms that do not involve the mean."""
        return self.log_density(v, mean, **parameters)

    def varying_terms(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the log density without terms of `v` alone, where leaving them out saves time."""
        return self.log_density(v, mean, **parameters)

    def saturated(self, v: Array, **parameters: Parameter) -> Array:
        """Return the log density at the mean that `v` itself suggests: the end of a perfect fit."""
        return self.log_density(v, v, **parameters)

    def score(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the derivative of the log density in the mean."""
        numerator, denominator = self.score_parts(v, mean, **parameters)
        return numerator - denominator

    @abstractmethod
    def fisher_information(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the Fisher information about the mean: the variance of the score."""

    def curvature(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return a non-negative stand-in for the negative second derivative in the mean.

        Its expectation is the Fisher information, which is the default.
        """
        return self.fisher_information(v, mean, **parameters)

    def score_parts(self, v: Array, mean: Array, **parameters: Parameter) -> tuple[Array, Array]:
        """Return the score as numerator minus denominator of the multiplicative update.

        Both are non-negative wherever `v` is. By default the Fisher information times the mean is
        added to both: a multiplicative update is then a step of Fisher scoring to first order.
        """
        own = type(self).score is not Likelihood.score
        slope = self.score if own else partial(mean_derivative, self.log_density)
        score = slope(v, mean, **parameters)
        drift = self.fisher_information(v, mean, **parameters) * mean
        return jnp.maximum(score, 0.0) + drift, jnp.maximum(-score, 0.0) + drift

    def update(
        self,
        w: Array,
        numerator: Array,
        denominator: Array,
        log_coefficient: Array,
        rate: Array,
        exponent: Array,
    ) -> Array:
        """Minimise the surrogate of the objective in one factor.

        Parameters
        ----------
        w : array
            The factor's current entries.
        numerator, denominator : array
            :meth:`score_parts`, contracted with the other factor over observed cells.
        log_coefficient, rate : array
            The prior's part of the objective is ``rate * w - log_coefficient * log(w)``, with a
            coefficient of at least 0.
        exponent : array
            Exponent of the update, where the surrogate has no closed form.
        """
        return log_linear_step(w, numerator, denominator, log_coefficient, rate)

    # -- masses of counts, and simulated data -------------------------------------------------

    @property
    def gives_mass(self) -> bool:
        """Whether :meth:`log_mass` can score counts."""
        return self.base_measure == "counting" or type(self).log_mass is not Likelihood.log_mass

    def log_mass(self, v: Array, mean: Array, **parameters: Parameter) -> Array:
        """Return the log probability of the unit interval around the count `v`.

        This puts a continuous likelihood of counts on the base measure of the discrete ones;
        the mass below one half belongs to the count 0. By default that of a discrete likelihood;
        a continuous one has to say its own.
        """
        if self.base_measure != "counting":
            raise ValueError(f"the {self.name.replace('_', ' ')} likelihood gives counts no mass")
        return self.log_density(v, mean, **parameters)

    #: Mean of simulated data where none is asked for, and the least upper bound of all means.
    typical_level: ClassVar[float] = 10.0
    highest_level: ClassVar[float] = math.inf
    #: Fields beside the parameters that simulated data can be asked for.
    options: ClassVar[tuple[str, ...]] = ()

    def simulate(self, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        """Return data drawn around `mean`.

        Parameters
        ----------
        rng : numpy.random.Generator
        mean : ndarray of shape (n_rows, n_columns), positive
        level : float
            Typical value of V, in units of which a parameter that is not given may be set.
        """
        cells = self.distribution(mean, **(self.start() | self.known))
        return draw_cells(cells, rng, lambda: jax.random.key(int(rng.integers(2**31))))
