"""Priors on the entries of W and H: where the non-negativity constraint lives."""

from __future__ import annotations

from bayesnmf.priors.ard import ARD
from bayesnmf.priors.base import Prior
from bayesnmf.priors.flat import Flat
from bayesnmf.priors.gamma import EntrywiseGamma, Exponential, Gamma, _shown

__all__ = ["ARD", "REGISTRY", "EntrywiseGamma", "Exponential", "Flat", "Gamma", "Prior", "as_prior"]


#: Every prior by name. A new class here inherits every test that the others have.
REGISTRY: dict[str, type[Prior]] = {cls.name: cls for cls in (Gamma, Exponential, Flat, ARD)}


def as_prior(prior: str | Prior, argument: str) -> Prior:
    """Return `prior`, or the default instance of the prior that it names."""
    if isinstance(prior, str):
        if prior not in REGISTRY:
            raise ValueError(f"unknown {argument} {prior!r}; valid names: {', '.join(REGISTRY)}")
        return REGISTRY[prior]()
    if not isinstance(prior, Prior):
        raise TypeError(
            f"{argument} must be a name ({', '.join(REGISTRY)}) or an instance from "
            f"bayesnmf.priors, not {_shown(prior)}"
        )
    return prior
