"""Draws of a fit as its model has them, and the distribution of V at one of them."""

from __future__ import annotations

import numpy as np

from bayesnmf.model import CellDistribution
from bayesnmf.posterior.original import original_factors
from bayesnmf.posterior.requirements import require_model
from bayesnmf.posterior.result import Fit


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
