"""Priors on the entries of W and H: where the non-negativity constraint lives."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpyro.distributions as dist

from bayesnmf.pytree import pytree


@pytree()
@dataclass(frozen=True)
class Gamma:
    """Independent gamma prior on every entry of a factor.

    The density is proportional to ``x**(shape - 1) * exp(-rate * x)`` on x > 0.

    Parameters
    ----------
    shape : float, default 1.0
        Positive. 1 is the exponential prior; below 1 the density rises without bound towards
        0, which asks for sparse factors; above 1 it vanishes at 0.
    rate : float, optional
        Positive. None: resolved from the data when fitting, so that the prior mean of WH is
        the mean of V, and recorded in the fit's model.

    Examples
    --------
    >>> Gamma(shape=0.5, rate=2.0).mean
    0.25
    """

    shape: float = 1.0
    rate: float | None = None

    name = "gamma"
    proper = True

    def __post_init__(self) -> None:
        _keep_positive(self, "shape", "the shape of a gamma prior")
        if self.rate is not None:
            _keep_positive(self, "rate", "the rate of a gamma prior")

    @property
    def mean(self) -> float | None:
        """Prior mean, or None while the rate is unresolved."""
        return None if self.rate is None else self.shape / self.rate

    def with_mean(self, mean: float) -> Gamma:
        """Return this prior with the rate that gives it `mean`."""
        return replace(self, rate=self.shape / mean)

    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""
        if self.rate is None:
            raise ValueError(_UNRESOLVED)
        return dist.Gamma(self.shape, self.rate)


@pytree()
@dataclass(frozen=True)
class Exponential:
    """Independent exponential prior on every entry of a factor: ``Gamma(1, rate)``.

    Parameters
    ----------
    rate : float, optional
        Positive. None: resolved from the data, as for :class:`Gamma`.

    Examples
    --------
    >>> Exponential(rate=4.0).mean
    0.25
    """

    rate: float | None = None

    name = "exponential"
    proper = True
    shape = 1.0

    def __post_init__(self) -> None:
        if self.rate is not None:
            _keep_positive(self, "rate", "the rate of an exponential prior")

    @property
    def mean(self) -> float | None:
        """Prior mean, or None while the rate is unresolved."""
        return None if self.rate is None else 1.0 / self.rate

    def with_mean(self, mean: float) -> Exponential:
        """Return this prior with the rate that gives it `mean`."""
        return replace(self, rate=1.0 / mean)

    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""
        if self.rate is None:
            raise ValueError(_UNRESOLVED)
        return dist.Exponential(self.rate)


@pytree()
@dataclass(frozen=True)
class Flat:
    """The improper uniform prior on the non-negative half-line, for MAP only.

    With it the mode is the classic, unpenalised factorisation. It is no distribution, so SVI
    and MCMC refuse it.
    """

    name = "flat"
    proper = False
    shape = 1.0
    rate = 0.0
    mean = None

    def with_mean(self, mean: float) -> Flat:
        """Return this prior: it has no scale to set."""
        return self

    def distribution(self) -> dist.Distribution:
        """Return NumPyro's improper uniform distribution, whose log density is 0."""
        return dist.ImproperUniform(dist.constraints.positive, (), ())


type Prior = Gamma | Exponential | Flat

REGISTRY: dict[str, type[Gamma] | type[Exponential] | type[Flat]] = {
    cls.name: cls for cls in (Gamma, Exponential, Flat)
}

_UNRESOLVED = (
    "the prior's rate is not set. Give it a number, or call model.resolve(V) to take it from data"
)


def as_prior(prior: Any, argument: str) -> Prior:
    """Return `prior`, or the default instance of the prior that it names."""
    if isinstance(prior, str):
        if prior not in REGISTRY:
            raise ValueError(f"unknown {argument} {prior!r}; valid names: {', '.join(REGISTRY)}")
        return REGISTRY[prior]()
    if not isinstance(prior, (Gamma, Exponential, Flat)):
        raise TypeError(
            f"{argument} must be a name ({', '.join(REGISTRY)}) or an instance from "
            f"bayesnmf.priors, not {prior!r}"
        )
    return prior


def resolve_rates(
    prior_W: Prior, prior_H: Prior, mean: float, n_components: int
) -> tuple[Prior, Prior]:
    """Set the unset rates so that the prior mean of WH is `mean`.

    One entry of WH is a sum of `n_components` independent products, so its prior mean is
    ``n_components * mean_W * mean_H``. When both rates are free the two factors share it
    equally; when one is given the other takes up the rest.
    """
    share = mean / n_components
    if prior_W.rate is None and prior_H.rate is None:
        return prior_W.with_mean(math.sqrt(share)), prior_H.with_mean(math.sqrt(share))
    if prior_W.rate is None:
        other = prior_H.mean
        return prior_W.with_mean(share / other if other else math.sqrt(share)), prior_H
    if prior_H.rate is None:
        other = prior_W.mean
        return prior_W, prior_H.with_mean(share / other if other else math.sqrt(share))
    return prior_W, prior_H


def _keep_positive(prior: Any, name: str, what: str) -> None:
    """Raise unless a field is a positive number, and keep it as a plain float."""
    value = getattr(prior, name)
    if not (isinstance(value, Real) and math.isfinite(value) and float(value) > 0):
        raise ValueError(f"{what} must be a positive number, not {value!r}")
    object.__setattr__(prior, name, float(value))
