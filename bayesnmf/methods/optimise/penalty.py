"""What the priors add to the objective: for every entry ``rate x - c log x``."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.model.rates import at_optimal_rates, conditional


def penalty(
    model: NMF, W: Array, H: Array, parameters: dict[str, Array], *, log_space: bool
) -> Array:
    """Return the priors' part of the objective; the factors are component first.

    Rates under a hyper-prior maximise their density given the factors.
    """
    total = jnp.zeros((), W.dtype)
    given = at_optimal_rates(model, W, H)
    parts = ((given.prior_W, W, model.n_known_W), (given.prior_H, H, model.n_known_H))
    for prior, factor, first in parts:
        total += prior.of_components(first).penalty(factor[first:], log_space)
    for name, (shape, rate) in conditional(model, W, H).items():
        hyper_rate = jnp.asarray(model.hyper_priors[name].rate, W.dtype)
        total += jnp.sum(hyper_rate * shape / rate - shape * jnp.log(shape / rate))
    for name, prior in model.likelihood.priors.items():
        total -= prior.log_prob(parameters[name]) + jnp.log(parameters[name])
    return total


def refuse_drift(model: NMF, n_rows: int, n_columns: int, *, log_space: bool) -> None:
    """Raise ``ValueError`` where the objective falls without end as the scale of a component goes to a side.

    Of the scale c in ``W_k -> c W_k``, ``H_k -> H_k / c`` the priors see ``A c + B / c - P log c``, which has a
    minimum where A and B are positive. A known component has the scale that it is given in.
    """
    first = max(model.n_known_W, model.n_known_H)
    if first == model.n_components:
        return
    W, H = (jnp.ones((model.n_components, size)) for size in (n_rows, n_columns))
    given = at_optimal_rates(model, W, H)
    (A, pull_W), (B, pull_H) = (
        [
            np.sum(np.broadcast_to(term, x[first:].shape), axis=1)
            for term in prior.of_components(first).penalty_terms(x[first:], log_space)
        ]
        for prior, x in ((given.prior_W, W), (given.prior_H, H))
    )
    P = pull_W - pull_H
    for drifts, with_rate, flat in (
        ((A > 0) & (B == 0) & (P <= 0), "W", "H"),
        ((B > 0) & (A == 0) & (P >= 0), "H", "W"),
    ):
        if drifts.any():
            raise ValueError(
                f"prior_{with_rate} has a rate and prior_{flat} is flat, so the objective falls without end as "
                f"{with_rate} shrinks and {flat} grows: there is no MAP estimate. Give both priors a rate, or make "
                "both flat"
            )
