"""The flat prior: the classic, unpenalised factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpyro.distributions as dist

from bayesnmf.arrays import pytree
from bayesnmf.priors.base import Prior


@pytree()
@dataclass(frozen=True)
class Flat(Prior):
    """The improper uniform prior on the non-negative half-line, for MAP only.

    With it the MAP estimate is the classic, unpenalised factorisation. It is no distribution, so SVI
    and MCMC refuse it.
    """

    name: ClassVar[str] = "flat"
    proper: ClassVar[bool] = False
    shape = 1.0
    rate = 0.0
    mean: ClassVar[None] = None
    resolved: ClassVar[bool] = True

    def with_mean(self, mean: float) -> Flat:
        """Return this prior: it has no scale to set."""
        return self

    def distribution(self) -> dist.Distribution:
        """Return NumPyro's improper uniform distribution, whose log density is 0."""
        return dist.ImproperUniform(dist.constraints.positive, (), ())
