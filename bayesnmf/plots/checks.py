"""Plots of predictive checks: each statistic's replicates, and the spectrum of the residual."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.checks import PredictiveChecks
from bayesnmf.predictive.checks import ppc as check_by_replicates

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Panels side by side, and letters on a line below them.
N_ABREAST, LINE = 3, 105


#: Replicates of a statistic that differ by a smaller share of it differ by rounding only.
SAME = 1e-9


def ppc(checks: PredictiveChecks | Fit, **options: Any) -> Figure:
    """Draw each statistic of replicated data with that of the data.

    Parameters
    ----------
    checks : PredictiveChecks or Fit
        Result of :func:`bayesnmf.ppc`, or a fit, which is checked first.
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
    figure = _histograms(checks, drawn) if drawn else _empty()
    if len(drawn) < len(checks.table):
        note = _without_panel(checks, drawn)
        figure.set_figheight(figure.get_figheight() + 0.2 * len(note.splitlines()))
        figure.supxlabel(note, fontsize=8)
    return figure


def _varies(values: np.ndarray) -> bool:
    """Whether replicates differ, by more than rounding, and all are finite."""
    if not np.isfinite(values).all():
        return False
    largest, width = np.abs(values).max(), np.ptp(values)
    return bool(SAME * largest < width < np.inf and width > np.finfo(float).tiny)


def _histograms(checks: PredictiveChecks, names: list[str]) -> Figure:
    from bayesnmf.figures import new_figure

    n_down = -(-len(names) // N_ABREAST)
    figure = new_figure(7.5, 1.5 * n_down)
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(n_down, N_ABREAST, number)
        axes.hist(checks.replicated[name], density=True, color="C0", alpha=0.75)
        axes.plot(checks.observed[name].mean(), 0, "o", color="black", clip_on=False, zorder=3)
        axes.set_title(f"{name}, p = {checks.table['p'][name]:.3g}", fontsize=9)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="x", labelsize=7)
        axes.locator_params(axis="x", nbins=4)
    return figure


def _empty() -> Figure:
    from bayesnmf.figures import new_figure

    figure = new_figure(7.5, 1.2)
    figure.text(0.5, 0.7, "No statistic differs between replicates.", ha="center", fontsize=10)
    return figure


def _without_panel(checks: PredictiveChecks, drawn: list[str]) -> str:
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
    return "\n".join(textwrap.fill(text, LINE) for text in said)


def residual_spectrum(
    checks: PredictiveChecks | Fit, *, ci_prob: float = 0.9, **options: Any
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
    **options
        Of :func:`bayesnmf.ppc`, for a fit.

    Returns
    -------
    matplotlib.figure.Figure
        The data's values (posterior means) as dots; of the replicates the mean and a band.
    """
    from bayesnmf.figures import new_figure

    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1, not {ci_prob}")
    checks = _checked(checks, options)
    replicated, observed = checks.replicated_spectrum, checks.observed_spectrum.mean(axis=0)
    order = np.arange(1, len(observed) + 1)
    low, high = np.quantile(replicated, (0.5 - ci_prob / 2, 0.5 + ci_prob / 2), axis=0)
    figure = new_figure(6, 3.2)
    axes = figure.subplots()
    band = f"replicates, {100 * ci_prob:g} %"
    axes.fill_between(order, low, high, color="C0", alpha=0.3, linewidth=0, label=band)
    axes.plot(order, replicated.mean(axis=0), color="C0", linewidth=1, label="replicates, mean")
    axes.plot(order, observed, "o-", color="black", linewidth=0.8, markersize=4, label="data")
    axes.set_xlabel("singular value of the Pearson residual, in order")
    axes.set_ylabel("singular value")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _checked(checks: PredictiveChecks | Fit, options: dict[str, Any]) -> PredictiveChecks:
    if isinstance(checks, Fit):
        return check_by_replicates(checks, **options)
    if not isinstance(checks, PredictiveChecks):
        raise TypeError(f"give a Fit, or the result of bn.ppc, not {type(checks).__name__}")
    if options:
        raise TypeError(f"{', '.join(options)}: only for a Fit; these checks have been made")
    return checks
