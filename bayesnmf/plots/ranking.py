"""Models in the order of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnmf.plots.canvas import axes_for, size_of, whole
from bayesnmf.plots.colours import component_colour
from bayesnmf.plots.text_sizes import fitting

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def compare(table: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Draw how far each model's predictive density falls behind the best one's.

    Parameters
    ----------
    table : DataFrame
        Result of :func:`bayesnmf.compare`.
    ax : matplotlib Axes, optional
        Axes to draw into. None: those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A point for each model, best on top, with a bar of one standard error of the difference.
    """
    from bayesnmf.plots.ticks import name_ticks, number_ticks

    axes = axes_for(ax, 7, 0.5 * len(table) + 1.2)
    width, height = size_of(axes)
    rows, colour = np.arange(len(table)), component_colour(0)
    axes.errorbar(table["elpd_diff"], rows, xerr=table["dse"], fmt="o", color=colour)
    axes.axvline(0, color="0.6", linewidth=0.8)
    number_ticks(axes.xaxis)
    name_ticks(axes.yaxis, table.index, height)
    axes.set_ylim(len(table) - 0.5, -0.5)
    label = "expected log predictive density, difference to the best"
    axes.set_xlabel(fitting((label, "elpd, difference to the best", "elpd"), width, 10))
    return whole(axes)
