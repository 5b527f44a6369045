"""The table of components: their mass, their share and their leading columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr


def summary_table(mass: xr.DataArray, H: xr.DataArray, ci_prob: float, top: int) -> pd.DataFrame:
    """Return one row a component; see :meth:`bayesnmf.Fit.summary`.

    Parameters
    ----------
    mass : DataArray of dims (chain, draw, component)
        Draws of each component's mass.
    H : DataArray of dims (component, column)
        Posterior mean of H.
    ci_prob : float
        Probability of the equal-tailed intervals.
    top : int
        Number of leading columns named.
    """
    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1, not {ci_prob}")
    draws = mass.stack(sample=("chain", "draw")).to_numpy()
    mean, single = draws.mean(axis=1), draws.shape[1] == 1
    tails = (0.5 - ci_prob / 2, 0.5 + ci_prob / 2)
    low, high = np.quantile(draws, tails, axis=1) * (np.nan if single else 1.0)
    total = mean.sum()
    columns = {
        "mass": mean,
        "sd": np.full(len(draws), np.nan) if single else draws.std(axis=1, ddof=1),
        f"{100 * tails[0]:g}%": low,
        f"{100 * tails[1]:g}%": high,
        "share": mean / (total if total > 0 else 1.0),
        "leading columns": _leading_columns(H, top),
    }
    return pd.DataFrame(columns, index=pd.Index(H["component"].to_numpy(), name="component"))


def _leading_columns(H: xr.DataArray, top: int) -> list[str]:
    """Name the columns with the largest weights of each component, with their weights."""
    names, weights = H["column"].to_numpy(), H.to_numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :top]
    return [
        ", ".join(f"{names[j]} {row[j]:.2f}" for j in leading)
        for row, leading in zip(weights, order, strict=True)
    ]
