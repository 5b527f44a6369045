"""Priors on the entries of W and H: where the non-negativity constraint lives."""

from __future__ import annotations

from typing import Any

from bayesnmf.priors.ard import ARD
from bayesnmf.priors.flat import Flat
from bayesnmf.priors.gamma import Exponential, Gamma, _shown

__all__ = ["ARD", "REGISTRY", "Exponential", "Flat", "Gamma", "Prior", "as_prior"]


type Prior = Gamma | Exponential | Flat | ARD


_CLASSES = (Gamma, Exponential, Flat, ARD)


REGISTRY: dict[str, type[Gamma] | type[Exponential] | type[Flat] | type[ARD]] = {
    cls.name: cls for cls in _CLASSES
}


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
