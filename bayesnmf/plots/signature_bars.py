"""Mutational signatures: components over the 96 channels of single-base substitutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.plots.canvas import figure_for, size_of, whole
from bayesnmf.plots.channels import CHANNELS, N_CONTEXTS, channel_places, trinucleotide
from bayesnmf.plots.colours import CLASSES
from bayesnmf.plots.intervals import draw_intervals
from bayesnmf.plots.profiles import WIDE, Profiles, label_weights, set_up_panel
from bayesnmf.plots.text_sizes import width_of
from bayesnmf.plots.titles import SIZE, component_titles
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

    from bayesnmf.plots.canvas import AnyFigure

#: Width of a figure of its own in inches, and heights of a panel and of what is around all of them.
WIDTH, PANEL, AROUND = 11.0, 1.5, 0.9


#: Height of the strip of classes, the gap below and above it, and size of the names, in points.
STRIP, GAP, NAMES = 6.0, 2.0, 8.0


#: Which channels are named where there is no room for all: those with the same base before or after.
STEPS = (1, 2, 4, 8, 16, 32, 96)


def signatures(fit: Fit, *, ci_prob: float = 0.9, figure: AnyFigure | None = None) -> Figure:
    """Draw components as mutational signatures: bars over the 96 channels, by class.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`, of data whose columns are channels of single-base substitutions
        with names such as ``A[C>T]G``. They may be in any order. Channels that V does not have stay empty.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals, drawn when there are two draws or more.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a component, with a strip above it that names the six classes: C>A, C>G, C>T, T>A, T>C and
        T>G. In each class the channels are in the order of their bases, first the one before. The colours
        have the hues that COSMIC uses, in shades that colour-blind readers can tell apart.

    Raises
    ------
    ValueError
        For columns that are no channels or have the same name, when `ci_prob` is no probability, for a
        figure that is not empty, and when the chains are in several modes.

    References
    ----------
    Alexandrov, L. B. et al. (2020). The repertoire of mutational signatures in human cancer. Nature 578,
    94-101. doi:10.1038/s41586-020-1943-3

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = bn.datasets.breast21().head(5)
    >>> fit = bn.fit(V, bn.NMF(2), bn.MAP(n_init=1), progress=False)
    >>> figure = signatures(fit)
    >>> len(figure.axes), len(figure.axes[0].patches[:96])
    (2, 96)
    """
    rows = Profiles.of(fit, ci_prob)
    places = channel_places(rows.names)
    figure = figure_for(figure, WIDTH, PANEL * len(rows.mean) + AROUND)
    width, _ = size_of(figure)
    panels = figure.subplots(len(rows.mean), 1, sharex=True, squeeze=False)[:, 0]
    titles = component_titles(fit, ci_prob, WIDE * width)
    for k, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        _draw_bars(axes, rows, places, k)
        named = _draw_strip(axes, WIDE * width)
        set_up_panel(axes, title)
        axes.set_title(title, loc="left", fontsize=SIZE, parse_math=False, pad=24 if named else 12)
    _label_channels(panels[-1], width, len(CHANNELS) - len(places))
    label_weights(figure, rows.bounds, ci_prob)
    return whole(figure)


def _draw_bars(axes: Axes, rows: Profiles, places: np.ndarray, k: int) -> None:
    shades = list(CLASSES.values())
    colours = [shades[place // N_CONTEXTS] for place in places]
    axes.bar(places, rows.mean[k], width=0.7, color=colours)
    if rows.bounds is not None:
        draw_intervals(axes, places, rows.bounds[:, k])
    axes.set_xlim(-0.7, len(CHANNELS) - 0.3)
    for edge in range(N_CONTEXTS, len(CHANNELS), N_CONTEXTS):
        axes.axvline(edge - 0.5, color="0.85", linewidth=0.6, zorder=0)


def _draw_strip(axes: Axes, inches: float) -> bool:
    """Draw the classes above a panel; return whether there is room for their names."""
    from matplotlib.patches import Rectangle

    named = width_of("C>A", SIZE) < 0.8 * 72 * inches / len(CLASSES)
    place = _points_above(axes)
    for number, (name, colour) in enumerate(CLASSES.items()):
        left = number * N_CONTEXTS - 0.4
        strip = Rectangle((left, GAP), N_CONTEXTS - 0.2, STRIP, facecolor=colour)
        strip.set(transform=place, clip_on=False)
        axes.add_artist(strip)
        if named:
            middle = (number + 0.5) * N_CONTEXTS - 0.5
            where: dict[str, Any] = {
                "ha": "center",
                "va": "bottom",
                "fontsize": NAMES,
                "transform": place,
            }
            axes.text(middle, 2 * GAP + STRIP, name, **where)
    return named


def _points_above(axes: Axes) -> Transform:
    """Return the transform of the places of channels and of points above the axes."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    points = Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans
    above = points + ScaledTranslation(0, 1, axes.transAxes)  # type: ignore[arg-type]
    return blended_transform_factory(axes.transData, above)


def _label_channels(axes: Axes, width: float, n_missing: int) -> None:
    """Name channels by their bases before the change; the strip tells what these become."""
    from bayesnmf.plots.ticks import name_ticks

    names = [trinucleotide(name) for name in CHANNELS]
    name_ticks(axes.xaxis, names, WIDE * width, steps=STEPS)
    missing = f" ({n_missing} of 96 are not in V)" if n_missing else ""
    axes.set_xlabel(f"context{missing}")
