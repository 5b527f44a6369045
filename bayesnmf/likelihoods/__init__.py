"""Likelihoods of a cell given its mean WH; each owns all of its mathematics."""

from __future__ import annotations

from typing import Any

from bayesnmf.likelihoods.base import Likelihood
from bayesnmf.likelihoods.beta import Beta
from bayesnmf.likelihoods.define import likelihood
from bayesnmf.likelihoods.gamma import Gamma
from bayesnmf.likelihoods.gaussian import Gaussian
from bayesnmf.likelihoods.losses import translation
from bayesnmf.likelihoods.negative_binomial import NegativeBinomial
from bayesnmf.likelihoods.poisson import Poisson

__all__ = ["Beta", "Gamma", "Gaussian", "Likelihood", "NegativeBinomial", "Poisson", "likelihood"]


#: Every likelihood by name. A new class here inherits every test that the others have.
REGISTRY: dict[str, type[Likelihood]] = {
    cls.name: cls for cls in (Poisson, NegativeBinomial, Gaussian, Gamma, Beta)
}


def as_likelihood(likelihood: Any) -> Likelihood:
    """Return `likelihood`, or the default instance of the likelihood that it names."""
    if isinstance(likelihood, str):
        if likelihood not in REGISTRY:
            hint = translation(likelihood) or f"valid names: {', '.join(REGISTRY)}"
            raise ValueError(f"unknown likelihood {likelihood!r}; {hint}")
        return REGISTRY[likelihood]()
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"likelihood must be a name ({', '.join(REGISTRY)}) or an instance from "
            f"bayesnmf.likelihoods, not {likelihood!r}"
        )
    return likelihood
