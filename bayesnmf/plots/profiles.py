"""Components: the rows of H, each in a panel, over the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from bayesnmf.plots.canvas import figure_for, size_of, whole
from bayesnmf.plots.colours import component_colour
from bayesnmf.plots.intervals import bounds_of, described, draw_intervals
from bayesnmf.plots.names import shown
from bayesnmf.plots.text_sizes import fitting
from bayesnmf.plots.titles import SIZE, component_titles
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure

type ProfileKind = Literal["auto", "bar", "line"]


#: With more columns than this, a component is drawn as a line.
MAX_BARS = 150


#: Letters of a column's name for which every figure has room, and inches for each further one.
FREE_LETTERS, LETTER = 8, 0.08


#: Share of a figure's width that its axes take, and of its height that names of columns may take.
WIDE, DEEP = 0.88, 0.35


def components(
    fit: Fit,
    *,
    kind: ProfileKind = "auto",
    ci_prob: float = 0.9,
    figure: AnyFigure | None = None,
) -> Figure:
    """Draw each component's row of H with its posterior interval.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    kind : {"auto", "bar", "line"}, default "auto"
        "auto" draws bars, or lines where the columns are numbered on a numeric axis or are more
        than 150.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals, drawn when there are two draws or more.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a component, in order of mass; its title gives mass and share.

    Raises
    ------
    ValueError
        For an unknown `kind`, when `ci_prob` is no probability, for a figure that is not empty, and when
        the chains are in several modes.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> figure = components(bn.fit(V, bn.NMF(2), "map", progress=False))
    >>> len(figure.axes)
    2
    """
    from bayesnmf.plots.ticks import name_ticks, number_ticks

    if kind not in get_args(ProfileKind.__value__):
        raise ValueError(f"unknown kind {kind!r}; valid: auto, bar, line")
    rows = Profiles.of(fit, ci_prob)
    figure = figure_for(figure, *_size(rows))
    width, height = size_of(figure)
    panels = figure.subplots(len(rows.mean), 1, sharex=True, squeeze=False)[:, 0]
    draw = draw_line if rows.as_line(kind) else draw_bars
    titles = component_titles(fit, ci_prob, WIDE * width)
    for k, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        bounds = None if rows.bounds is None else rows.bounds[:, k]
        draw(axes, rows.positions, rows.mean[k], bounds, component_colour(k))
        set_up_panel(axes, title)
        axes.margins(x=0.01)
    panels[-1].set_xlabel("column")
    if rows.numeric:
        number_ticks(panels[-1].xaxis, integer=rows.names.dtype.kind != "f", most=9)
    else:
        name_ticks(panels[-1].xaxis, rows.names, WIDE * width, depth=DEEP * height)
    label_weights(figure, rows.bounds, ci_prob)
    return whole(figure)


@dataclass(frozen=True)
class Profiles:
    """Rows of H as they are drawn, or one row, without the dimension of components.

    Parameters
    ----------
    mean : ndarray of shape (component, column)
    bounds : ndarray of shape (2, component, column), or None
        Ends of the intervals, where there are draws.
    names : ndarray of shape (column,)
    """

    mean: np.ndarray
    bounds: np.ndarray | None
    names: np.ndarray

    @classmethod
    def of(cls, fit: Fit, ci_prob: float) -> Profiles:
        """Return the rows of H of a fit; refused for chains in several modes."""
        mean = fit.H
        bounds = bounds_of(fit.tree["posterior"].dataset["H"], ci_prob)
        return cls(mean.to_numpy(), bounds, mean["column"].to_numpy())

    @property
    def numeric(self) -> bool:
        """Whether columns have their places on an axis of numbers."""
        return self.names.dtype.kind in "iuf"

    @property
    def positions(self) -> np.ndarray:
        """Where columns are drawn."""
        return self.names if self.numeric else np.arange(len(self.names))

    def as_line(self, kind: ProfileKind) -> bool:
        """Return whether rows are drawn as lines."""
        many = len(self.names) > MAX_BARS or self.names.dtype.kind == "f"
        return kind == "line" or (kind == "auto" and many)


def _size(rows: Profiles) -> tuple[float, float]:
    """Return the size of a figure in inches; it is higher by the names of columns."""
    n_components, n_columns = rows.mean.shape
    height = 1.6 * n_components + 0.8
    if not rows.numeric:
        longest = max(len(shown(name)) for name in rows.names)
        height += LETTER * max(0, longest - FREE_LETTERS)
    return float(np.clip(0.14 * n_columns, 6, 14)), height


def set_up_panel(axes: Axes, title: str) -> None:
    """Give a panel of weights its title and its axis from 0."""
    from bayesnmf.plots.ticks import number_ticks

    axes.set_title(title, loc="left", fontsize=SIZE, parse_math=False)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
    number_ticks(axes.yaxis, most=5)
    axes.spines[["top", "right"]].set_visible(False)


def label_weights(figure: AnyFigure, bounds: np.ndarray | None, ci_prob: float) -> None:
    """Say along the left side what the weights are, as far as there is room."""
    drawn, (_, height) = described(bounds, ci_prob), size_of(figure)
    choices = [f"weight in H ({drawn})", "weight in H"]
    figure.supylabel(fitting(choices, 0.95 * height, SIZE), fontsize=SIZE)


def draw_bars(
    axes: Axes, x: np.ndarray, mean: np.ndarray, bounds: np.ndarray | None, colour: str
) -> None:
    """Draw means as bars, and the intervals that there are as lines."""
    axes.bar(x, mean, color=colour)
    if bounds is not None:
        draw_intervals(axes, x, bounds)


def draw_line(
    axes: Axes,
    x: np.ndarray,
    mean: np.ndarray,
    bounds: np.ndarray | None,
    colour: str,
    **options: Any,
) -> None:
    """Draw means as a line, and the intervals that there are as a band."""
    axes.plot(x, mean, color=colour, **{"linewidth": 1, **options})
    if bounds is not None:
        axes.fill_between(x, *bounds, color=colour, alpha=0.25, linewidth=0)
