"""Loadings: how much of each component is in every row, as stacks, lines or panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from bayesnmf.plots.canvas import axes_for, figure_for, size_of
from bayesnmf.plots.loading_shapes import draw_lines, draw_panels, draw_stack, shows_intervals
from bayesnmf.plots.names import shown
from bayesnmf.plots.profiles import FREE_LETTERS, LETTER, WIDE
from bayesnmf.plots.row_order import RowOrder
from bayesnmf.plots.titles import component_titles
from bayesnmf.plots.weights import Weights, shares_of
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.summary import tails_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure

type LoadingKind = Literal["auto", "bar", "line", "panels"]


def loadings(
    fit: Fit,
    *,
    kind: LoadingKind = "auto",
    share: bool = False,
    order: Any = None,
    ci_prob: float = 0.9,
    ax: Axes | None = None,
    figure: AnyFigure | None = None,
) -> Figure:
    """Draw how much of each component is in every row of V: W.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    kind : {"auto", "bar", "line", "panels"}, default "auto"
        "bar" stacks the components of each row. "line" draws a line for each component along the
        rows. "panels" gives each component a panel of its own. "auto" draws lines where the rows have dates,
        fractional numbers, or an `order` of numbers or dates, without repetition; else bars.
    share : bool, default False
        Whether each row is divided by its sum, draw by draw.
    order : None, "largest", or array, default None
        Order of the rows. None: by date where their names are dates (ISO 8601, or quarters such as 2024Q1), by
        number where they are fractional, else as in V. "largest": grouped by the largest component. An array of one
        number or date a row: by these, which are the axis of lines. A Series is matched with
        the rows by name. Names of rows: these rows only, in this order.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals, drawn when there are two draws or more.
    ax : matplotlib Axes, optional
        Axes to draw into, for bars and lines.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Lines have their intervals as bands, and panels as lines on the bars. In a stack the interval of one
        component cannot be seen, because its bar begins where the last one ends. So the lines on a stack are
        intervals of *sums*: of the component at which they end and all components below it. They are drawn for up to 40
        rows and 6 components. Take "panels" to see how sure each component is.

    Raises
    ------
    ValueError
        For an unknown `kind`, an `order` that does not suit the rows, `ax` with panels or with `figure`, a
        `ci_prob` that is no probability, and chains in several modes.

    Notes
    -----
    With more than 12 components, stacks and lines show the 11 largest ones and the sum of the others. With
    more than 200 rows, bars have no gaps between them.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> figure = loadings(fit, share=True, order="largest")
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['1', '0']
    """
    tails_of(ci_prob)
    _refuse_places(kind, ax, figure)
    W = fit.W.transpose("row", "component")
    rows = RowOrder.of(W["row"].to_numpy(), order, shares_of(W.to_numpy(), axis=1))
    if kind == "auto":
        kind = "line" if rows.continuous else "bar"
    if kind == "line":
        rows = rows.on_a_line()
    weights = Weights.of(fit, rows, share)
    if kind == "panels":
        place = figure_for(figure, _width(rows), 1.6 * fit.n_components + _depth(rows))
        titles = component_titles(fit, ci_prob, WIDE * size_of(place)[0])
        return draw_panels(place, weights, rows, titles, _words(weights, share, ci_prob), ci_prob)
    if figure is None:
        axes = axes_for(ax, _width(rows), 3.0 + _depth(rows))
    else:
        axes = figure_for(figure, 1, 1).subplots()
    weights, draw = weights.of_few(), draw_stack if kind == "bar" else draw_lines
    return draw(axes, weights, rows, _words(weights, share, ci_prob, kind), ci_prob)


def _refuse_places(kind: str, ax: Any, figure: Any) -> None:
    """Raise ``ValueError`` for an unknown kind, and for a place that does not suit it."""
    if kind not in get_args(LoadingKind.__value__):
        raise ValueError(
            f"unknown kind {kind!r}; valid: {', '.join(get_args(LoadingKind.__value__))}"
        )
    if ax is not None and figure is not None:
        raise ValueError("give ax or figure, not both")
    if ax is not None and kind == "panels":
        raise ValueError("kind='panels' draws several axes: give figure, not ax")


def _width(rows: RowOrder) -> float:
    """Return the width of a figure of its own in inches."""
    return 8.0 if rows.continuous else float(np.clip(0.16 * len(rows.rows) + 2, 6, 14))


def _depth(rows: RowOrder) -> float:
    """Return the height that labels of rows take."""
    if rows.continuous:
        return 0.4
    longest = max(len(shown(name)) for name in rows.names)
    return 0.6 + LETTER * max(0, longest - FREE_LETTERS)


def _words(weights: Weights, share: bool, ci_prob: float, kind: str = "panels") -> tuple[str, ...]:
    """Return what the numbers are, in many words and in few."""
    what = "share of the row" if share else "weight in W"
    described = weights.described(ci_prob)
    if kind == "bar" and shows_intervals(weights):
        return f"{what} ({100 * ci_prob:g} % intervals of sums)", f"{what} (mean)", what
    if kind == "bar" and weights.has_draws:
        described = "mean"
    return f"{what} ({described})", what
