"""Rates that are left open: resolved from the data, or given for a while."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bayesnmf.arrays import record
from bayesnmf.priors import Prior
from bayesnmf.priors.ard import ARD
from bayesnmf.priors.gamma import Gamma


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


def resolve_rates_beside(
    prior: Prior, prior_known: Prior, mean: float, n_components: int, known: np.ndarray, number: int
) -> tuple[Prior, Prior]:
    """Set the unset rates where some components of one factor are known, whose scale the others take.

    Parameters
    ----------
    prior, prior_known : Prior
        Of the factor that is inferred, and of the one that is known in part or whole.
    known : ndarray
        The known entries, of `number` components.
    """
    size = float(known.mean())
    if not prior_known.resolved:
        prior_known = prior_known.with_mean(size)
    if not prior.resolved:
        free = (n_components - number) * (prior_known.mean or size)
        prior = prior.with_mean(mean / (number * size + free))
    return prior, prior_known
