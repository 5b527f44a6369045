"""Plots of predictive checks: each statistic's replicates, and the spectrum of the residual."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.plots.canvas import axes_for, figure_for, size_of, whole
from bayesnmf.plots.colours import component_colour
from bayesnmf.plots.text_sizes import fitting
from bayesnmf.plots.titles import SIZE
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.summary import tails_of
from bayesnmf.predictive.checks import PredictiveChecks
from bayesnmf.predictive.checks import ppc as check_by_replicates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure


#: Panels side by side at most, inches that each needs, and letters of a note on an inch.
N_ABREAST, PANEL, LETTERS = 3, 2.0, 14


#: Width of a figure of its own, height of a row of panels, and of a line of a note.
WIDTH, ROW, NOTE = 7.5, 1.5, 0.2


#: Replicates of a statistic that differ by a smaller share of it differ by rounding only.
SAME = 1e-9


def ppc(
    checks: PredictiveChecks | Fit, *, figure: AnyFigure | None = None, **options: Any
) -> Figure:
    """Draw each statistic of replicated data with that of the data.

    Parameters
    ----------
    checks : PredictiveChecks or Fit
        Result of :func:`bayesnmf.ppc`, or a fit, which is checked first.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.
    **options
        Of :func:`bayesnmf.ppc`, for a fit.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a statistic: a histogram over replicates and, as a dot, the value of the data
        (its posterior mean, where it depends on the draw); the title gives the p-value. A statistic that is the same in all replicates,
        such as "zeros" of data that cannot be 0, has no distribution: a line below the panels gives its
        value. So does one that is not finite in some replicate.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> ppc(fit, num_samples=20).axes[0].get_title()[:16]
    'singular value 1'
    """
    checks = _checked(checks, options)
    drawn = [name for name in checks.table.index if _varies(checks.replicated[name])]
    n_lines = len(_without_panel(checks, drawn, WIDTH).splitlines())
    height = ROW * -(-len(drawn) // N_ABREAST) if drawn else 1.2
    figure = figure_for(figure, WIDTH, height + NOTE * n_lines)
    if drawn:
        _histograms(figure, checks, drawn)
    else:
        figure.text(0.5, 0.7, "No statistic differs between replicates.", ha="center", fontsize=10)
    if n_lines:
        note = _without_panel(checks, drawn, size_of(figure)[0])
        figure.supxlabel(note, fontsize=8, parse_math=False)
    return whole(figure)


def _varies(values: np.ndarray) -> bool:
    """Whether replicates differ, by more than rounding, and all are finite."""
    if not np.isfinite(values).all():
        return False
    largest, width = np.abs(values).max(), np.ptp(values)
    return bool(SAME * largest < width < np.inf and width > np.finfo(float).tiny)


def _histograms(figure: AnyFigure, checks: PredictiveChecks, names: list[str]) -> None:
    from bayesnmf.plots.ticks import number_ticks

    width, _ = size_of(figure)
    abreast = int(np.clip(width // PANEL, 1, N_ABREAST))
    n_down = -(-len(names) // abreast)
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(n_down, abreast, number)
        axes.hist(checks.replicated[name], density=True, color=component_colour(0), alpha=0.75)
        axes.plot(checks.observed[name].mean(), 0, "o", color="black", clip_on=False, zorder=3)
        p_value = f"p = {checks.table['p'][name]:.3g}"
        titles = (f"{name}, {p_value}", f"{name}\n{p_value}")
        axes.set_title(fitting(titles, 0.95 * width / abreast, SIZE), fontsize=SIZE)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        number_ticks(axes.xaxis, most=4)


def _without_panel(checks: PredictiveChecks, drawn: list[str], inches: float) -> str:
    """Say which statistics have no panel, and why."""
    same, unbounded = [], []
    for name in checks.table.index.difference(drawn, sort=False):
        values = checks.replicated[name]
        if np.isfinite(values).all():
            same.append(f"{name} = {values[0]:.4g}")
        else:
            unbounded.append(name)
    said = []
    if same:
        said.append(f"The same in all replicates: {', '.join(same)}.")
    if unbounded:
        said.append(f"Not finite in some replicates: {', '.join(unbounded)}.")
    return "\n".join(textwrap.fill(text, max(int(LETTERS * inches), 20)) for text in said)


def residual_spectrum(
    checks: PredictiveChecks | Fit,
    *,
    ci_prob: float = 0.9,
    ax: Axes | None = None,
    **options: Any,
) -> Figure:
    """Draw the leading singular values of the Pearson residual against those of replicates.

    Values above the band at the left end are structure that the components miss, or noise that
    the likelihood does not have.

    Parameters
    ----------
    checks : PredictiveChecks or Fit
        Result of :func:`bayesnmf.ppc`, or a fit, which is checked first.
    ci_prob : float, default 0.9
        Probability of the equal-tailed band of the replicates.
    ax : matplotlib Axes, optional
        Axes to draw into. None: those of a new figure.
    **options
        Of :func:`bayesnmf.ppc`, for a fit.

    Returns
    -------
    matplotlib.figure.Figure
        The data's values (posterior means) as dots; of the replicates the mean and a band.
    """
    from bayesnmf.plots.ticks import number_ticks

    tails = tails_of(ci_prob)
    checks = _checked(checks, options)
    replicated, observed = checks.replicated_spectrum, checks.observed_spectrum.mean(axis=0)
    order, colour = np.arange(1, len(observed) + 1), component_colour(0)
    axes = axes_for(ax, 6, 3.2)
    band, line = f"replicates, {100 * ci_prob:g} %", "replicates, mean"
    bounds = np.quantile(replicated, tails, axis=0)
    axes.fill_between(order, *bounds, color=colour, alpha=0.3, linewidth=0, label=band)
    axes.plot(order, replicated.mean(axis=0), color=colour, linewidth=1, label=line)
    axes.plot(order, observed, "o-", color="black", linewidth=0.8, markersize=4, label="data")
    labels = ("singular value of the Pearson residual, in order", "singular value, in order")
    axes.set_xlabel(fitting(labels, size_of(axes)[0], 10))
    axes.set_ylabel("singular value")
    axes.set_ylim(bottom=0)
    number_ticks(axes.xaxis, integer=True, most=9)
    number_ticks(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return whole(axes)


def _checked(checks: PredictiveChecks | Fit, options: dict[str, Any]) -> PredictiveChecks:
    if isinstance(checks, Fit):
        return check_by_replicates(checks, **options)
    if not isinstance(checks, PredictiveChecks):
        raise TypeError(f"give a Fit, or the result of bn.ppc, not {type(checks).__name__}")
    if options:
        raise TypeError(f"{', '.join(options)}: only for a Fit; these checks have been made")
    return checks
