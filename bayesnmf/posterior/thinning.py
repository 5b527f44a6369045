"""Fewer draws of a fit, evenly spaced in every chain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from bayesnmf.posterior.result import Fit


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


def kept_draws(n_chains: int, n_draws: int, num_samples: int | None) -> np.ndarray:
    """Return the positions of the draws that each chain keeps, evenly spaced.

    Parameters
    ----------
    n_chains, n_draws : int
        Chains, and draws of each.
    num_samples : int or None
        At most this many over all chains. None: all.

    Raises
    ------
    ValueError, TypeError
        When `num_samples` is no positive integer, or fewer than the chains.

    Examples
    --------
    >>> kept_draws(2, 10, 9).tolist()
    [0, 2, 5, 7]
    """
    if num_samples is None:
        return np.arange(n_draws)
    num_samples = require_num_samples(num_samples)
    if num_samples < n_chains:
        raise ValueError(
            f"num_samples={num_samples} is fewer than the {n_chains} chains of this fit: ask for "
            f"{n_chains} or more"
        )
    return spaced(n_draws, min(n_draws, num_samples // n_chains))


def with_draws(fit: Fit, kept: np.ndarray) -> Fit:
    """Return the fit with some of its draws alone, and no state to continue from.

    Parameters
    ----------
    fit : Fit
        It stays as it is.
    kept : ndarray of int of shape (n,)
        Positions of draws, the same in every chain.
    """
    tree = fit.tree.copy()
    for group in ("posterior", "sample_stats"):
        tree[group] = xr.DataTree(fit.tree[group].to_dataset().isel(draw=kept))
    return replace(fit, tree=tree, sampler_state=None)
