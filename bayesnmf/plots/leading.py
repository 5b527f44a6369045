"""Leading columns: those with the largest weights of each component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnmf.plots.canvas import figure_for, size_of, whole
from bayesnmf.plots.colours import component_colour
from bayesnmf.plots.intervals import bounds_of, described, draw_intervals
from bayesnmf.plots.names import shown
from bayesnmf.plots.profiles import Profiles
from bayesnmf.plots.text_sizes import MONOSPACE, escaped, fitting, width_of
from bayesnmf.plots.titles import SIZE, component_titles
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure

#: Panels side by side at most, and the size of one in inches: its width, height of a column and the rest.
N_ABREAST, PANEL, COLUMN, REST = 3, 3.0, 0.19, 0.65


#: A panel narrower than this, in inches, has no room for names and bars.
NARROWEST = 2.2


#: Inches beside the title of a panel.
GAP = 0.35


def top_columns(
    fit: Fit, *, top: int = 10, ci_prob: float = 0.9, figure: AnyFigure | None = None
) -> Figure:
    """Draw the columns with the largest weights of each component.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    top : int, default 10
        Columns of each component.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals, drawn when there are two draws or more.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a component: its columns in order of the posterior mean of H, the largest on top.

    Raises
    ------
    ValueError
        When `top` is not 1 or more, when `ci_prob` is no probability, for a figure that is not empty, and when
        the chains are in several modes.

    Notes
    -----
    Columns are chosen by their means. An interval does not say how sure the order is.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> [len(axes.patches) for axes in top_columns(fit, top=4).axes]
    [4, 4]
    """
    if top != int(top) or top < 1:
        raise ValueError(f"top must be a whole number of columns, 1 or more, not {top}")
    parts = _leading(fit, int(top), ci_prob)
    n_components, top = len(parts), len(parts[0].names)
    abreast = 2 if n_components == 4 else min(N_ABREAST, n_components)
    n_down = -(-n_components // abreast)
    figure = figure_for(figure, PANEL * abreast + 0.5, n_down * (COLUMN * top + REST) + 0.3)
    width, height = size_of(figure)
    abreast = int(np.clip(width // NARROWEST, 1, abreast))
    n_down = -(-n_components // abreast)
    panel = width / abreast
    names = min(max(_longest(part.names) for part in parts), panel / 2)
    titles = component_titles(fit, ci_prob, panel - names - GAP)
    for k, (part, title) in enumerate(zip(parts, titles, strict=True)):
        axes = figure.add_subplot(n_down, abreast, k + 1)
        _draw_panel(axes, part, component_colour(k), (panel, height / n_down))
        axes.set_title(title, loc="left", fontsize=SIZE, parse_math=False)
    choices = (f"weight in H ({described(parts[0].bounds, ci_prob)})", "weight in H")
    figure.supxlabel(fitting(choices, 0.95 * width, SIZE), fontsize=SIZE)
    return whole(figure)


def _leading(fit: Fit, top: int, ci_prob: float) -> list[Profiles]:
    """Return the leading columns of each component; intervals of the others are not computed."""
    mean, draws, parts = fit.H, fit.tree["posterior"].dataset["H"], []
    for k, row in enumerate(mean.to_numpy()):
        order = np.argsort(-row, kind="stable")[:top]
        bounds = bounds_of(draws.isel(component=k, column=order), ci_prob)
        parts.append(Profiles(row[order], bounds, mean["column"].to_numpy()[order]))
    return parts


def _longest(names: np.ndarray) -> float:
    """Return the width in inches of the longest name."""
    longest = max((escaped(shown(name)) for name in names), key=len)
    return width_of(longest, SIZE, MONOSPACE) / 72


def _draw_panel(axes: Axes, part: Profiles, colour: str, room: tuple[float, float]) -> None:
    from bayesnmf.plots.ticks import name_ticks, number_ticks

    places = np.arange(len(part.names))
    axes.barh(places, part.mean, color=colour)
    if part.bounds is not None:
        draw_intervals(axes, places, part.bounds, lying=True)
    axes.set_xlim(left=0)
    axes.set_ylim(len(places) - 0.4, -0.6)
    number_ticks(axes.xaxis, most=5)
    name_ticks(axes.yaxis, part.names, max(room[1] - REST, 0.1), depth=0.5 * room[0])
    axes.spines[["top", "right"]].set_visible(False)
