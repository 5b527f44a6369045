"""Where a plot is drawn: a figure of its own, or one that the caller has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    type AnyFigure = Figure | SubFigure


def figure_for(figure: AnyFigure | None, width: float, height: float) -> AnyFigure:
    """Return the figure to draw into: the caller's, or a new one of a size in inches.

    A figure of the caller that has no layout engine gets the constrained one, which makes room for labels.

    Raises
    ------
    TypeError
        When `figure` is no Matplotlib figure.
    ValueError
        When it has axes already.

    Examples
    --------
    >>> figure_for(None, 4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    from matplotlib.figure import FigureBase

    from bayesnmf.figures import new_figure

    if figure is None:
        return new_figure(width, height)
    if not isinstance(figure, FigureBase):
        raise TypeError(
            f"figure must be a Matplotlib Figure or SubFigure, not {type(figure).__name__}"
        )
    if figure.axes:
        raise ValueError(
            "the figure has axes already. Give an empty one, or a part of it: figure.subfigures(1, 2)[0]"
        )
    _lay_out(whole(figure))
    return figure


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw into: the caller's, or those of a new figure of a size in inches.

    A figure of the caller that has no layout engine gets the constrained one, if its axes are in a grid.

    Raises
    ------
    TypeError
        When `ax` is not one Matplotlib Axes.

    Examples
    --------
    >>> axes_for(None, 4, 3).figure.get_size_inches().tolist()
    [4.0, 3.0]
    """
    from matplotlib.axes import Axes

    from bayesnmf.figures import new_figure

    if ax is None:
        return new_figure(width, height).subplots()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be one Matplotlib Axes, not {type(ax).__name__}")
    grid = ax.get_gridspec()
    if grid is not None and getattr(grid, "figure", None) is not None:
        _lay_out(whole(ax))
    return ax


def _lay_out(figure: Figure) -> None:
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")


def whole(place: AnyFigure | Axes) -> Figure:
    """Return the figure that axes, or a part of a figure, belong to.

    Examples
    --------
    >>> figure = figure_for(None, 4, 3)
    >>> whole(figure.subfigures(1, 2)[0].subplots()) is figure
    True
    """
    inner: Any = place
    while inner.figure is not inner:
        inner = inner.figure
    return inner


def size_of(place: AnyFigure | Axes) -> tuple[float, float]:
    """Return width and height of a figure, of a part of one, or of axes, in inches.

    Examples
    --------
    >>> size_of(figure_for(None, 4, 3))
    (4.0, 3.0)
    """
    dpi = place.figure.dpi if hasattr(place, "xaxis") else place.dpi
    return float(place.bbox.width / dpi), float(place.bbox.height / dpi)
