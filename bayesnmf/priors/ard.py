"""Automatic relevance determination: a prior under which excess components empty out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpyro.distributions as dist

from bayesnmf.arrays import pytree
from bayesnmf.priors.base import Prior
from bayesnmf.priors.gamma import Gamma, _shown, keep_positive, plain_rate, require_hyper_prior


@pytree()
@dataclass(frozen=True)
class ARD(Prior):
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
    ``c log(s / d)`` nats, 7 for the defaults, which any but the smallest data overrule.

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

    name: ClassVar[str] = "ard"
    #: An empty component's entries have no mean that would say anything of the data.
    mean: ClassVar[None] = None

    def __post_init__(self) -> None:
        keep_positive(self, "shape", "the shape of an ARD prior")
        keep_positive(self, "floor", "the floor of an ARD prior")
        if not isinstance(self.rate, Gamma):
            raise TypeError(
                "the rate of an ARD prior must be its hyper-prior, a priors.Gamma, not "
                f"{_shown(self.rate)}"
            )
        require_hyper_prior(self.rate)

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
        return dist.Gamma(self.shape, plain_rate(self.rate))
