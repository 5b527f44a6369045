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
    draws = mass.stack(sample=("chain", "draw")).to_numpy()
    mean = draws.mean(axis=1)
    total = mean.sum()
    columns = {
        "mass": mean,
        **spread_of(draws, ci_prob),
        "share": mean / (total if total > 0 else 1.0),
        "leading columns": _leading_columns(H, top),
    }
    return pd.DataFrame(columns, index=pd.Index(H["component"].to_numpy(), name="component"))


def spread_of(draws: np.ndarray, ci_prob: float) -> dict[str, np.ndarray]:
    """Return the standard deviation and the interval of each entry, by the names of their columns.

    Parameters
    ----------
    draws : ndarray of shape (entry, draw)
    ci_prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    dict of str to ndarray of shape (entry,)
        All NaN for a single draw, which has neither.

    Raises
    ------
    ValueError
        When `ci_prob` is no probability.

    Examples
    --------
    >>> spread_of(np.array([[0.0, 1.0, 2.0]]), 0.5)
    {'sd': array([1.]), '25%': array([0.5]), '75%': array([1.5])}
    """
    low, high = tails_of(ci_prob)
    names = ["sd", column_name(low), column_name(high)]
    if draws.shape[1] == 1:
        return {name: np.full(len(draws), np.nan) for name in names}
    values = [draws.std(axis=1, ddof=1), *np.quantile(draws, (low, high), axis=1)]
    return dict(zip(names, values, strict=True))


def tails_of(ci_prob: float) -> tuple[float, float]:
    """Return the probabilities below the two ends of an equal-tailed interval.

    Raises
    ------
    ValueError
        When `ci_prob` is no probability.
    """
    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1, not {ci_prob}")
    return 0.5 - ci_prob / 2, 0.5 + ci_prob / 2


def column_name(tail: float) -> str:
    """Return the name of a column that holds a quantile.

    Examples
    --------
    >>> column_name(0.05), column_name(0.975)
    ('5%', '97.5%')
    """
    return f"{100 * tail:g}%"


def _leading_columns(H: xr.DataArray, top: int) -> list[str]:
    """Name the columns with the largest weights of each component, with their weights."""
    names, weights = H["column"].to_numpy(), H.to_numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :top]
    return [
        ", ".join(f"{names[j]} {row[j]:.2f}" for j in leading)
        for row, leading in zip(weights, order, strict=True)
    ]
