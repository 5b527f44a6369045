"""Intervals of draws: their ends, how they are drawn, and the words that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesnmf.plots.canvas import size_of
from bayesnmf.posterior.summary import tails_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Width of the line of an interval in points, the least one, and the white on both sides of it, which keeps
#: it apart from a dark bar. Both are at most these shares of the distance between two bars.
WIDEST, THINNEST, CASING = 0.9, 0.4, 1.1
LINE_SHARE, CASING_SHARE = 0.18, 0.14


def has_draws(factor: xr.DataArray) -> bool:
    """Return whether there are two draws or more, which have intervals."""
    return factor.sizes["chain"] * factor.sizes["draw"] > 1


def bounds_of(factor: xr.DataArray, ci_prob: float) -> np.ndarray | None:
    """Return the two ends of the equal-tailed interval of each entry, None of a single draw.

    Parameters
    ----------
    factor : DataArray of dims (chain, draw, …)
    ci_prob : float
        Probability of the interval.

    Returns
    -------
    ndarray of shape (2, …), or None

    Raises
    ------
    ValueError
        When `ci_prob` is no probability.

    Examples
    --------
    >>> bounds_of(xr.DataArray([[0.0, 1.0, 2.0]], dims=("chain", "draw")), 0.5)
    array([0.5, 1.5])
    """
    tails = tails_of(ci_prob)
    if not has_draws(factor):
        return None
    draws = factor.to_numpy().reshape(-1, *factor.shape[2:])
    if draws.ndim == 3:  # one component at a time, since a sort copies
        parts = [_quantiles(draws[:, k], tails) for k in range(draws.shape[1])]
        return np.stack(parts, axis=1)
    return _quantiles(draws, tails)


def _quantiles(draws: np.ndarray, tails: tuple[float, float]) -> np.ndarray:
    # Numbers in one piece of memory for each entry are sorted several times as fast.
    return np.quantile(np.ascontiguousarray(np.moveaxis(draws, 0, -1)), tails, axis=-1)


def described(bounds: Any, ci_prob: float) -> str:
    """Say what bars and lines are.

    Examples
    --------
    >>> described(np.zeros((2, 3)), 0.9), described(None, 0.9)
    ('mean and 90 % interval', 'MAP estimate')
    """
    return "MAP estimate" if bounds is None else f"mean and {100 * ci_prob:g} % interval"


def draw_intervals(
    axes: Axes, places: np.ndarray, bounds: np.ndarray, *, lying: bool = False
) -> None:
    """Draw intervals at places of the x-axis, or lying, at places of the y-axis."""
    from matplotlib.patheffects import Normal, Stroke

    draw = axes.hlines if lying else axes.vlines
    spacing = 72 * size_of(axes)[lying] / max(len(places), 1)
    width = float(np.clip(LINE_SHARE * spacing, THINNEST, WIDEST))
    lines = draw(places, *bounds, color="black", linewidth=width)
    casing = width + min(CASING, CASING_SHARE * spacing)
    lines.set_path_effects([Stroke(linewidth=casing, foreground="white"), Normal()])
