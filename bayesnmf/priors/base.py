"""What a prior has to offer: its distribution, and its part of densities and derivatives.

Every prior here is a gamma distribution of each entry, of shape a and rate b (the flat one with a = 1
and b = 0), so its mathematics is written once. Factors are component first: (component, row). Shape and rate
are numbers, or arrays: a rate of shape (component,), or either of two dimensions that broadcast to the
factor's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import gammaln, xlogy

from bayesnmf.arrays import Array, record

if TYPE_CHECKING:
    from bayesnmf.priors.gamma import Gamma


class Prior(ABC):
    """Independent prior on every entry of a factor."""

    name: ClassVar[str]
    #: Whether it is a distribution, from which draws can come.
    proper: ClassVar[bool] = True

    # Fields, class attributes or properties of the classes below.
    shape: Any
    rate: Any

    @property
    def hyper(self) -> Gamma | None:
        """Prior of each component's rate, or None where the rate is a number."""
        return None

    @property
    @abstractmethod
    def resolved(self) -> bool:
        """Whether every rate is set."""

    @property
    @abstractmethod
    def mean(self) -> float | None:
        """Prior mean, or None where there is none yet."""

    @abstractmethod
    def with_mean(self, mean: float) -> Self:
        """Return this prior with the rate that gives it `mean`."""

    @abstractmethod
    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""

    def of_entries(self, shape: tuple[int, int], axis: int) -> dist.Distribution:
        """Return the distribution of an entry, or of all where each component has its own rate.

        `shape` is that of the factor, and `axis` the axis along which its components run.
        """
        if np.ndim(self.rate) == np.ndim(self.shape) == 0:
            return self.distribution()
        terms = (_by_component(jnp.asarray(x)) for x in (self.shape, self.rate))
        return dist.Gamma(*(jnp.broadcast_to(x.T if axis else x, shape) for x in terms))

    def of_components(self, first: int) -> Prior:
        """Return the prior of the components from `first` on."""
        if first == 0 or np.ndim(self.rate) == np.ndim(self.shape) == 0:
            return self
        terms = {"shape": self.shape, "rate": self.rate}
        parts = {name: x[first:] for name, x in terms.items() if np.ndim(x) and len(x) > 1}
        return record(type(self), **{**vars(self), **parts})

    def of_entries_at(self, index: np.ndarray) -> Prior:
        """Return the prior of some entries of each component: itself where all entries are alike."""
        return self

    # -- mathematics, once the rate is given ------------------------------------------------------

    def terms(self, like: Array) -> tuple[Array, Array]:
        """Return shape and rate, which broadcast against a factor of the precision of `like`."""
        rate = _by_component(jnp.asarray(self.rate, like.dtype))
        return self.shape_term(like), jnp.atleast_2d(rate)

    def shape_term(self, like: Array) -> Array:
        """Return the shape, which broadcasts against a factor; it needs no rate."""
        return jnp.atleast_2d(_by_component(jnp.asarray(self.shape, like.dtype)))

    def log_coefficient(self, like: Array, log_space: bool) -> Array:
        """Return c of the objective's part ``rate x - c log x``, which no rate enters.

        c is ``shape - 1``, or ``shape`` for the MAP estimate in log space, whose Jacobian adds
        one. An entry whose prior has a shape below 1 has infinite density at 0, so its MAP estimate is
        always taken in log space, where it is finite and positive.
        """
        shape = jnp.asarray(self.shape, like.dtype)
        return shape if log_space else jnp.where(shape < 1.0, shape, shape - 1.0)

    def penalty_terms(self, x: Array, log_space: bool) -> tuple[Array, Array]:
        """Return rate and coefficient c of the objective's part ``rate x - c log x``."""
        rate = _by_component(jnp.asarray(self.rate, x.dtype))
        return rate, self.log_coefficient(x, log_space)

    def penalty(self, x: Array, log_space: bool) -> Array:
        """Return the prior's part of the objective."""
        rate, log_coefficient = self.penalty_terms(x, log_space)
        return jnp.sum(rate * x - xlogy(log_coefficient, x))

    def log_density(self, log_x: Array) -> Array:
        """Return the log density of every entry x, at its logarithm."""
        shape, rate = self.terms(log_x)
        constant = shape * jnp.log(rate) - gammaln(shape)
        return constant + (shape - 1.0) * log_x - rate * jnp.exp(log_x)

    def log_density_change(self, log_x: Array, new_log_x: Array) -> Array:
        """Return the change of the log density of every logarithm."""
        shape, rate = self.terms(log_x)
        return shape * (new_log_x - log_x) - rate * (jnp.exp(new_log_x) - jnp.exp(log_x))

    def log_slope(self, x: Array, gradient: Array) -> Array:
        """Return the gradient of the log posterior in ``log x``, given the log likelihood's in x."""
        shape, rate = self.terms(x)
        return shape + x * (gradient - rate)

    def rate_given(self, x: Array) -> tuple[Array, Array]:
        """Return what the entries x add to shape and rate of each component's rate's distribution.

        With ``x ~ Gamma(a, b)`` for n entries and ``b ~ Gamma(c, d)``, the rate given the entries is
        ``Gamma(c + n a, d + sum x)``.
        """
        shape = jnp.asarray(self.shape, x.dtype)
        return (total(shape, x)[:, 0] if shape.ndim else x.shape[1] * shape), jnp.sum(x, axis=1)


def total(term: Array, x: Array) -> Array:
    """Return the sum of a prior's term over the entries of each component, of shape () or (component or 1, 1).

    Parameters
    ----------
    term : array
        A number, or an array that broadcasts to the shape of `x`.
    x : array of shape (component, row)
    """
    if jnp.ndim(term) == 0:
        return x.shape[1] * term
    return (x.shape[1] // term.shape[1]) * jnp.sum(term, axis=1, keepdims=True)


def padded(term: Array, first: int) -> Array:
    """Return a term of the components from `first` on with zeros for those before it."""
    if jnp.ndim(term) == 0 or first == 0 or len(term) == 1:
        return term
    return jnp.concatenate([jnp.zeros((first, term.shape[1]), term.dtype), term])


def _by_component(x: Array) -> Array:
    """Return one value a component as a column; numbers and arrays of two dimensions stay as they are."""
    return x[:, None] if x.ndim == 1 else x
