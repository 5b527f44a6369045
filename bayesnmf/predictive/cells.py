"""Draws of a fit as its model has them, and the distribution of V at one of them."""

from __future__ import annotations

import numpy as np

from bayesnmf.model import CellDistribution
from bayesnmf.posterior.requirements import require_model
from bayesnmf.posterior.result import Fit, original_factors


def cell_distribution(fit: Fit) -> CellDistribution:
    """Return the distribution of V given a draw, under the model of a fit.

    Raises
    ------
    ValueError
        When the fit has no model.
    """
    model = require_model(fit, "drawing data")
    return model.cells(None if model.nmf is not None else fit.V.to_numpy())


def site_draws(fit: Fit, index: np.ndarray) -> dict[str, np.ndarray]:
    """Return draws of all sites as the model has them, in double precision.

    Parameters
    ----------
    fit : Fit
    index : ndarray of int of shape (n,)
        Draws wanted, chain after chain.
    """
    posterior = fit.tree["posterior"].dataset
    names = [str(name) for name in posterior.data_vars if name not in ("W", "H")]
    W, H = original_factors(fit)
    draws = {"W": W, "H": H}
    for name in names:
        values = posterior[name].to_numpy()
        draws[name] = values.reshape(-1, *values.shape[2:])
    chosen = {name: x[index] for name, x in draws.items()}
    return {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in chosen.items()}


def require_num_samples(num_samples: object) -> int:
    """Return `num_samples` as an int, or raise where it is no positive integer."""
    if isinstance(num_samples, bool) or not isinstance(num_samples, (int, np.integer)):
        raise TypeError(f"num_samples must be an integer, not {num_samples!r}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, not {num_samples}")
    return int(num_samples)


def spaced(n_draws: int, wanted: int) -> np.ndarray:
    """Return `wanted` positions among `n_draws`: evenly spaced, or repeated where too few."""
    if wanted > n_draws:
        return np.resize(np.arange(n_draws), wanted)
    return np.arange(wanted) * n_draws // wanted
