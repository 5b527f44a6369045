"""Gamma and exponential priors, with rates that are given, resolved from data, or inferred."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpyro.distributions as dist

from bayesnmf.arrays import pytree
from bayesnmf.data.given import require_positive, same_value
from bayesnmf.data.labels import is_labelled
from bayesnmf.priors.base import Prior


@pytree()
@dataclass(frozen=True, eq=False)
class Gamma(Prior):
    """Independent gamma prior on every entry of a factor.

    The density is proportional to ``x**(shape - 1) * exp(-rate * x)`` on x > 0.

    Parameters
    ----------
    shape : float, DataFrame, DataArray, Series or array, default 1.0
        Positive. 1 is the exponential prior; below 1 the density rises without bound towards
        0, which asks for sparse factors; above 1 it vanishes at 0. A table gives every entry its own: see
        the notes.
    rate : float, Gamma, DataFrame, DataArray, Series or array, optional
        Positive. None: resolved from the data when fitting, so that the prior mean of WH is
        the mean of V, and recorded in the fit's model. A gamma prior, the hyper-prior: every
        component has a rate of its own, inferred with the factors; where the hyper-prior's own
        rate is None, it is resolved so that the mean rate is the one that None would give.

    Raises
    ------
    TypeError, ValueError
        For a shape or rate that is not positive and finite; the message says where.

    Notes
    -----
    A table has the shape of the factor: (row, component) for W, (component, column) for H, of free
    components only where others are known. It may have one entry along a dimension, which then counts for all, and
    one dimension, for one value a component. Labels are matched with the names of V, in any order; labels of
    components name the components. Components whose priors differ keep their places:
    they are not sorted by mass, and draws are not matched with each other.

    An entry near a value r, of relative standard deviation s, has ``shape = 1 / s**2`` and
    ``rate = shape / r``.

    Examples
    --------
    >>> Gamma(shape=0.5, rate=2.0).mean
    0.25
    >>> Gamma(shape=0.5, rate=Gamma(4.0, 2.0)).mean  # at the mean rate, 2
    0.25
    >>> reference = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    >>> Gamma(shape=1 + 100 * reference, rate=100.0)  # of H, near a reference
    Gamma(shape=array of shape (2, 3), rate=100.0)
    """

    shape: Any = 1.0
    rate: Any = None

    name: ClassVar[str] = "gamma"

    def __post_init__(self) -> None:
        keep_positive(self, "shape", "the shape of a gamma prior", tables=True)
        if isinstance(self.rate, Gamma):
            require_hyper_prior(self.rate)
        elif self.rate is not None:
            keep_positive(self, "rate", "the rate of a gamma prior", tables=True)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(same_value(x, vars(other)[name]) for name, x in vars(self).items())

    def __hash__(self) -> int:
        return hash((type(self), *(None if np.ndim(x) else x for x in vars(self).values())))

    def __repr__(self) -> str:
        values = (
            f"{name}={_shown(x).removeprefix('an ') if np.ndim(x) else x}"
            for name, x in vars(self).items()
        )
        return f"{type(self).__name__}({', '.join(values)})"

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
        """Prior mean, or None while a rate is unset; under a hyper-prior that at the mean rate.

        Of tables it is the mean over entries, and None while they are not matched with V.
        """
        rate = self.rate.mean if isinstance(self.rate, Gamma) else self.rate
        return None if rate is None or self.has_tables else self.shape / rate

    @property
    def has_tables(self) -> bool:
        """Whether entries have priors of their own."""
        return bool(np.ndim(self.shape) or np.ndim(self.rate))

    def with_mean(self, mean: float) -> Gamma:
        """Return this prior with the rate, or the mean rate, that gives it `mean`."""
        rate = float(np.mean(np.asarray(self.shape, float))) / mean
        return replace(self, rate=self.rate.with_mean(rate) if self.hyper else rate)

    def distribution(self) -> dist.Distribution:
        """Return the NumPyro distribution of one entry."""
        if is_labelled(self.shape) or is_labelled(self.rate):
            raise ValueError("the prior's tables are not matched with V yet: call model.resolve(V)")
        return dist.Gamma(self.shape, plain_rate(self.rate))


@pytree()
@dataclass(frozen=True, eq=False, repr=False)
class EntrywiseGamma(Gamma):
    """A gamma prior whose tables are matched with V: arrays as algorithms hold factors, component first.

    Parameters
    ----------
    shape, rate : float or ndarray
        Arrays are of shape (component or 1, entry or 1); a hyper-prior is as it was.
    """

    @property
    def mean(self) -> float | None:
        """Mean over entries of the prior mean, or None while a rate is unset."""
        means = self.entry_means
        return None if means is None else float(np.mean(means))

    @property
    def entry_means(self) -> np.ndarray | None:
        """Prior means of entries, of shape (component or 1, entry or 1), or None while a rate is unset."""
        rate = self.rate.mean if isinstance(self.rate, Gamma) else self.rate
        return None if rate is None else np.atleast_2d(np.asarray(self.shape, float) / rate)

    def of_entries_at(self, index: np.ndarray) -> EntrywiseGamma:
        """Return the prior of some entries of each component."""
        tables = {name: x for name, x in vars(self).items() if np.ndim(x) == 2 and x.shape[1] > 1}
        return replace(self, **{name: x[:, index] for name, x in tables.items()})


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


def keep_positive(prior: Any, name: str, what: str, *, tables: bool = False) -> None:
    """Raise unless a field is a positive number, or a table of them, and keep a number as a plain float."""
    value = getattr(prior, name)
    if tables and np.ndim(value) and not isinstance(value, str):
        require_positive(what, value)
        if np.isnan(np.asarray(value)).any():
            raise ValueError(f"{what} holds NaN: give every entry a positive number")
        object.__setattr__(prior, name, value if is_labelled(value) else np.asarray(value))
        return
    if not (isinstance(value, Real) and math.isfinite(value) and float(value) > 0):
        raise ValueError(f"{what} must be one positive number, not {_shown(value)}")
    object.__setattr__(prior, name, float(value))


def _shown(value: Any) -> str:
    """Write a wrong value, an array by its shape."""
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", ())
    return f"an array of shape {tuple(shape)}" if np.ndim(value) and shape else repr(value)
