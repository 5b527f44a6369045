"""Shapes of loadings: a stack of bars, lines in one panel, and a panel for each component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.plots.canvas import size_of, whole
from bayesnmf.plots.colours import component_colour
from bayesnmf.plots.intervals import draw_intervals
from bayesnmf.plots.legend import add_legend
from bayesnmf.plots.profiles import DEEP, WIDE, draw_bars, draw_line, set_up_panel
from bayesnmf.plots.row_order import RowOrder
from bayesnmf.plots.text_sizes import fitting
from bayesnmf.plots.titles import SIZE
from bayesnmf.plots.weights import Weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure

#: Rows up to which stacks have intervals, bars have gaps, and lines have dots.
MAX_INTERVALS, MAX_BARS, MAX_DOTS = 40, 200, 60


#: Components up to which stacks have intervals.
MAX_LINES = 6


#: Width of a bar where there are gaps.
BAR = 0.8


def draw_stack(
    axes: Axes, weights: Weights, rows: RowOrder, words: Sequence[str], ci_prob: float
) -> Figure:
    """Draw the components of each row one above the other, with intervals of their sums.

    The lines of one row stand side by side, so that they do not hide each other.
    """
    top = weights.summed()
    heights, x = top.mean, np.arange(len(rows.rows))
    handles = [
        _bars(axes, heights[k - 1] if k else 0 * heights[0], heights[k], weights, k)
        for k in range(len(heights))
    ]
    bounds = top.bounds(ci_prob) if shows_intervals(weights) else None
    if bounds is not None:
        n_lines = len(heights)
        offsets = BAR * ((np.arange(n_lines) + 0.5) / n_lines - 0.5)
        for k in range(n_lines):
            if np.ptp(bounds[:, k], axis=0).max() > 1e-9:  # all shares sum to 1
                draw_intervals(axes, x + offsets[k], bounds[:, k])
    axes.set_xlim(-0.6, len(x) - 0.4)
    add_legend(axes, handles, weights.names, upwards=True)
    return _finished(axes, rows, False, words)


def shows_intervals(weights: Weights) -> bool:
    """Return whether a stack has intervals: of draws, where there is room for the lines."""
    _, n_components, n_rows = weights.draws.shape
    return weights.has_draws and n_rows <= MAX_INTERVALS and n_components <= MAX_LINES


def _bars(axes: Axes, bottom: np.ndarray, top: np.ndarray, weights: Weights, k: int) -> Any:
    """Draw one component of a stack; without gaps where there are many rows."""
    style: dict[str, Any] = {"facecolor": weights.colour(k), "hatch": weights.hatch(k)}
    style |= {"edgecolor": "white", "linewidth": 0}
    if len(top) <= MAX_BARS:
        return axes.bar(range(len(top)), top - bottom, BAR, bottom, **style)
    edges = np.arange(len(top) + 1) - 0.5
    return axes.stairs(top, edges, baseline=bottom, fill=True, **style)


def draw_lines(
    axes: Axes, weights: Weights, rows: RowOrder, words: Sequence[str], ci_prob: float
) -> Figure:
    """Draw a line for each component along the rows, with its intervals as a band."""
    x, mean, bounds = _along(rows), weights.mean, weights.bounds(ci_prob)
    dots: dict[str, Any] = {"marker": "o", "markersize": 3} if len(x) <= MAX_DOTS else {}
    for k, line in enumerate(mean):
        band = None if bounds is None else bounds[:, k]
        style = {"linestyle": weights.dashes(k), "linewidth": 1.3, **dots}
        draw_line(axes, x, line, band, weights.colour(k), **style)
    axes.margins(x=0.02)
    add_legend(axes, list(axes.lines)[-len(mean) :], weights.names)
    return _finished(axes, rows, True, words)


def draw_panels(
    figure: AnyFigure,
    weights: Weights,
    rows: RowOrder,
    titles: Sequence[str],
    words: Sequence[str],
    ci_prob: float,
) -> Figure:
    """Draw each component in a panel, as bars or a line, with its own intervals."""
    on_a_line = rows.continuous or len(rows.rows) > MAX_BARS
    x = _along(rows) if rows.continuous else np.arange(len(rows.rows))
    draw, bounds = draw_line if on_a_line else draw_bars, weights.bounds(ci_prob)
    panels = figure.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0]
    for k, (axes, mean, title) in enumerate(zip(panels, weights.mean, titles, strict=True)):
        draw(axes, x, mean, None if bounds is None else bounds[:, k], component_colour(k))
        set_up_panel(axes, title)
        axes.margins(x=0.01)
    width, height = size_of(figure)
    _label_rows(panels[-1], rows, rows.continuous, WIDE * width, DEEP * height)
    figure.supylabel(fitting(words, 0.95 * height, SIZE), fontsize=SIZE)
    return whole(figure)


def _along(rows: RowOrder) -> np.ndarray:
    """Return the places of rows on the axis of lines."""
    return np.arange(len(rows.rows)) if rows.values is None else rows.values


def _finished(axes: Axes, rows: RowOrder, on_a_line: bool, words: Sequence[str]) -> Figure:
    """Label the axes and return their figure."""
    from bayesnmf.plots.ticks import number_ticks

    width, height = size_of(axes)
    axes.set_ylim(bottom=0)
    number_ticks(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(fitting(words, 0.95 * height, SIZE), fontsize=SIZE)
    _label_rows(axes, rows, on_a_line, width, DEEP * size_of(axes.figure)[1])
    return whole(axes)


def _label_rows(axes: Axes, rows: RowOrder, on_a_line: bool, room: float, depth: float) -> None:
    """Label rows along the x-axis: by dates or numbers on a line that has them, else by names."""
    from bayesnmf.plots.ticks import date_ticks, name_ticks, number_ticks

    if not on_a_line and np.array_equal(rows.names, np.arange(len(rows.rows))):
        number_ticks(axes.xaxis, integer=True, most=9)
        axes.set_xlabel("row")
    elif not on_a_line or rows.values is None:
        name_ticks(axes.xaxis, rows.names, room, depth=depth)
        axes.set_xlabel("row")
    elif rows.scale == "dates":
        date_ticks(axes.xaxis)
        axes.set_xlabel(rows.title, parse_math=False)
    else:
        number_ticks(axes.xaxis, integer=rows.values.dtype.kind in "iu", most=9)
        axes.set_xlabel(rows.title, parse_math=False)
