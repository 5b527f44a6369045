"""Priors on the entries of W and H: where the non-negativity constraint lives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import numpyro.distributions as dist

from bayesnmf.pytree import pytree, record


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

    name = "gamma"
    proper = True

    def __post_init__(self) -> None:
        _keep_positive(self, "shape", "the shape of a gamma prior")
        if isinstance(self.rate, Gamma):
            _require_hyper_prior(self.rate)
        elif self.rate is not None:
            _keep_positive(self, "rate", "the rate of a gamma prior")

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
        return dist.Gamma(self.shape, _plain_rate(self.rate))


@pytree()
@dataclass(frozen=True)
class ARD:
    """Automatic relevance determination: components that the data do not ask for empty out.

    Every component has a rate of its own under a gamma hyper-prior, as with
    ``Gamma(shape, rate=Gamma(...))``, whose defaults here let the rate, and with it the size of
    the entries, range over orders of magnitude: an unused component shrinks towards `floor`,
    and a used one is hardly shrunk, since its many entries settle its rate. Given to both
    factors, a component's column of W and its row of H share one rate, as in Tan & Fevotte (2013).

    Parameters
    ----------
    shape : float, default 1.0
        Of the entries' prior, as for :class:`Gamma`.
    rate : Gamma, default Gamma(1.0)
        The hyper-prior of the rates. Its own rate, where None, is resolved from the data by `floor`.
    floor : float, default 1e-3
        Size of the entries of an empty component, the inverse of the hyper-prior's mean rate, in
        units of the size that entries would have if all components shared the mean of V equally.

    Notes
    -----
    With n entries, shape a and hyper-prior Gamma(c, d), a component whose entries sum to S has the
    conditional mean rate ``(n a + c) / (S + d)``: d matters only to components whose sum is about
    d. The hyper-prior holds a component of size s against an empty one by about
    ``c log(s / d)`` nats, 7 for the defaults, so data of any weight overrule it.

    References
    ----------
    Tan, V. Y. F. and Fevotte, C. (2013). Automatic relevance determination in nonnegative matrix
    factorization with the beta-divergence. IEEE Transactions on Pattern Analysis and Machine
    Intelligence 35, 1592-1605. doi:10.1109/TPAMI.2012.240

    Examples
    --------
    >>> ARD().rate
    Gamma(shape=1.0, rate=None)
    """

    shape: float = 1.0
    rate: Gamma = field(default_factory=Gamma)
    floor: float = 1e-3

    name = "ard"
    proper = True
    #: An empty component's entries have no mean that would say anything of the data.
    mean = None

    def __post_init__(self) -> None:
        _keep_positive(self, "shape", "the shape of an ARD prior")
        _keep_positive(self, "floor", "the floor of an ARD prior")
        if not isinstance(self.rate, Gamma):
            raise TypeError(
                "the rate of an ARD prior must be its hyper-prior, a priors.Gamma, not "
                f"{_shown(self.rate)}"
            )
        _require_hyper_prior(self.rate)

    @property
    def hyper(self) -> Gamma:
        """Prior of each component's rate."""
        return self.rate

    @property
    def resolved(self) -> bool:
        """Whether the hyper-prior's rate is set."""
        return self.rate.resolved

    def with_mean(self, mean: float) -> ARD:
        """Return this prior for components that would have this mean if they were equal."""
        return self.with_size(mean / self.shape)

    def with_size(self, size: float) -> ARD:
        """Return this prior for entries of this size: the inverse of their rate."""
        return replace(self, rate=self.rate.with_mean(1.0 / (self.floor * size)))

    def distribution(self) -> dist.Distribution:
        """Raise: entries have no distribution before a rate is given."""
        return dist.Gamma(self.shape, _plain_rate(self.rate))


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
    hyper = None

    def __post_init__(self) -> None:
        if self.rate is not None:
            _keep_positive(self, "rate", "the rate of an exponential prior")

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
        return dist.Exponential(_plain_rate(self.rate))


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
    hyper = None
    resolved = True

    def with_mean(self, mean: float) -> Flat:
        """Return this prior: it has no scale to set."""
        return self

    def distribution(self) -> dist.Distribution:
        """Return NumPyro's improper uniform distribution, whose log density is 0."""
        return dist.ImproperUniform(dist.constraints.positive, (), ())


type Prior = Gamma | Exponential | Flat | ARD

_CLASSES = (Gamma, Exponential, Flat, ARD)
REGISTRY: dict[str, type[Gamma] | type[Exponential] | type[Flat] | type[ARD]] = {
    cls.name: cls for cls in _CLASSES
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
    if not isinstance(prior, _CLASSES):
        raise TypeError(
            f"{argument} must be a name ({', '.join(REGISTRY)}) or an instance from "
            f"bayesnmf.priors, not {_shown(prior)}"
        )
    return prior


def require_one_rate(prior_W: Prior, prior_H: Prior) -> None:
    """Raise when ARD on both factors, which then share a rate a component, says two things of it."""
    if not (isinstance(prior_W, ARD) and isinstance(prior_H, ARD)):
        return
    if (prior_W.rate, prior_W.floor) != (prior_H.rate, prior_H.floor):
        raise ValueError(
            "with ARD on both factors a component has one rate, so prior_W and prior_H must have "
            f"the same hyper-prior and floor: not {prior_W} and {prior_H}. Make them equal, or give "
            "one factor a gamma prior"
        )


def with_rate(prior: Prior, rate: Any) -> Gamma:
    """Return the gamma prior that is left when every component's rate is given.

    Parameters
    ----------
    prior : Gamma or ARD
        With a hyper-prior.
    rate : array of shape (component,)
        May be traced by JAX, so nothing is validated.
    """
    return record(Gamma, shape=prior.shape, rate=rate)


def resolve_rates(
    prior_W: Prior, prior_H: Prior, mean: float, n_components: int
) -> tuple[Prior, Prior]:
    """Set the unset rates so that the prior mean of WH is `mean`.

    One entry of WH is a sum of `n_components` independent products, so its prior mean is
    ``n_components * mean_W * mean_H``. When both rates are free the two factors share it
    equally; when one is given the other takes up the rest. ARD counts as if its components were
    equal and not empty.
    """
    share = mean / n_components
    if prior_W.resolved and prior_H.resolved:
        return prior_W, prior_H
    if isinstance(prior_W, ARD) and isinstance(prior_H, ARD):
        size = math.sqrt(share / (prior_W.shape * prior_H.shape))
        return prior_W.with_size(size), prior_H.with_size(size)
    if prior_W.resolved:
        other = prior_W.mean
        return prior_W, prior_H.with_mean(share / other if other else math.sqrt(share))
    if prior_H.resolved:
        other = prior_H.mean
        return prior_W.with_mean(share / other if other else math.sqrt(share)), prior_H
    return prior_W.with_mean(math.sqrt(share)), prior_H.with_mean(math.sqrt(share))


def _plain_rate(rate: Any) -> Any:
    """Return a rate, or raise where there is none to compute with."""
    if rate is None:
        raise ValueError(_UNRESOLVED)
    if isinstance(rate, Gamma):
        raise ValueError(
            "the prior's rate has a prior of its own, so an entry has no distribution until the "
            "rate is given: call model.with_rates(...)"
        )
    return rate


def _require_hyper_prior(prior: Gamma) -> None:
    """Raise unless a hyper-prior's own rate is a number, or to be resolved."""
    if isinstance(prior.rate, Gamma):
        raise ValueError(
            "the rate of a hyper-prior must be a number or None, not another gamma prior: "
            "hyper-priors are one level deep"
        )


def _keep_positive(prior: Any, name: str, what: str) -> None:
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
