"""Gamma and exponential priors, with rates that are given, resolved from data, or inferred."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpyro.distributions as dist

from bayesnmf.arrays import pytree
from bayesnmf.priors.base import Prior


@pytree()
@dataclass(frozen=True)
class Gamma(Prior):
    """Independent gamma prior on every entry of a factor.

    The density is proportional to ``x**(shape - 1) * exp(-rate * x)`` on x > 0.

    Parameters
    ----------
    shape : float, default 1.0
        Positive. 1 is the exponential prior; below 1 the density rises without bound towards
        0, which asks for sparse factors; above 1 it vanishes at 0.
    rate : float or Gamma, optional
        Positive. None: resolved from the data when fitting, so that the prior mean of WH is
        the mean of V, and recorded in the fit's model. A gamma prior, the hyper-prior: every
        component has a rate of its own, inferred with the factors; where the hyper-prior's own
        rate is None, it is resolved so that the mean rate is the one that None would give.

    Examples
    --------
    >>> Gamma(shape=0.5, rate=2.0).mean
    0.25
    >>> Gamma(shape=0.5, rate=Gamma(4.0, 2.0)).mean  # at the mean rate, 2
    0.25
    """

    shape: float = 1.0
    rate: float | Gamma | None = None

    name: ClassVar[str] = "gamma"

    def __post_init__(self) -> None:
        keep_positive(self, "shape", "the shape of a gamma prior")
        if isinstance(self.rate, Gamma):
            require_hyper_prior(self.rate)
        elif self.rate is not None:
            keep_positive(self, "rate", "the rate of a gamma prior")

    @property
    def hyper(self) -> Gamma | None:
        """Prior of each component's rate, or None where the rate is a number."""
        return self.rate if isinstance(self.rate, Gamma) else None

    @property
    def resolved(self) -> bool:
        """Whether every rate is set."""
        return self.rate is not None and (self.hyper is None or self.hyper.resolved)

    @property
    def mean(self) -> float | None:
        """Prior mean, or None while a rate is unset; under a hyper-prior that at the mean rate."""
        if isinstance(self.rate, Gamma):
            mean_rate = self.rate.mean
            return None if mean_rate is None else self.shape / mean_rate
        return None if self.rate is None else self.shape / self.rate

    def with_mean(self, mean: float) -> Gamma:
        """Return this prior with the rate, or the mean rate, that gives it `mean`."""
        rate = self.shape / mean
        return replace(self, rate=self.rate.with_mean(rate) if self.hyper else rate)  # type: ignore[union-attr]

    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""
        return dist.Gamma(self.shape, plain_rate(self.rate))


@pytree()
@dataclass(frozen=True)
class Exponential(Prior):
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

    name: ClassVar[str] = "exponential"
    shape = 1.0

    def __post_init__(self) -> None:
        if self.rate is not None:
            keep_positive(self, "rate", "the rate of an exponential prior")

    @property
    def resolved(self) -> bool:
        """Whether the rate is set."""
        return self.rate is not None

    @property
    def mean(self) -> float | None:
        """Prior mean, or None while the rate is unresolved."""
        return None if self.rate is None else 1.0 / self.rate

    def with_mean(self, mean: float) -> Exponential:
        """Return this prior with the rate that gives it `mean`."""
        return replace(self, rate=1.0 / mean)

    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""
        return dist.Exponential(plain_rate(self.rate))


_UNRESOLVED = (
    "the prior's rate is not set. Give it a number, or call model.resolve(V) to take it from data"
)


def plain_rate(rate: Any) -> Any:
    """Return a rate, or raise where there is none to compute with."""
    if rate is None:
        raise ValueError(_UNRESOLVED)
    if isinstance(rate, Gamma):
        raise ValueError(
            "the prior's rate has a prior of its own, so an entry has no distribution until the "
            "rate is given: call model.with_rates(...)"
        )
    return rate


def require_hyper_prior(prior: Gamma) -> None:
    """Raise unless a hyper-prior's own rate is a number, or to be resolved."""
    if isinstance(prior.rate, Gamma):
        raise ValueError(
            "the rate of a hyper-prior must be a number or None, not another gamma prior: "
            "hyper-priors are one level deep"
        )


def keep_positive(prior: Any, name: str, what: str) -> None:
    """Raise unless a field is a positive number, and keep it as a plain float."""
    value = getattr(prior, name)
    if not (isinstance(value, Real) and math.isfinite(value) and float(value) > 0):
        raise ValueError(f"{what} must be one positive number, not {_shown(value)}")
    object.__setattr__(prior, name, float(value))


def _shown(value: Any) -> str:
    """Write a wrong value, an array by its shape."""
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", ())
    return f"an array of shape {tuple(shape)}" if np.ndim(value) and shape else repr(value)
