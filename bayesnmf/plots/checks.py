"""Plots of predictive checks: each statistic's replicates, and the spectrum of the residual."""

from __future__ import annotations

import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

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
        One panel a statistic, by :func:`arviz_plots.plot_ppc_tstat`: the distribution over
        replicates and, as a dot, that of the data (its posterior mean, where it depends on
        the draw); the title gives the p-value. A statistic that is the same in all replicates,
        such as "zeros" of data that cannot be 0, has no distribution: a line below the panels gives its
        value. So does one that is not finite in some replicate.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> ppc(fit, num_draws=20).axes[0].get_title()[:16]
    'singular value 1'
    """
    checks = _checked(checks, options)
    drawn = [name for name in checks.table.index if _varies(checks.replicated[name])]
    figure = _histograms(checks, drawn) if drawn else _empty()
    if len(drawn) < len(checks.table):
        note = _note(checks, drawn)
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
    import arviz_plots

    tree = xr.DataTree.from_dict(
        {
            "posterior_predictive": xr.Dataset(
                {
                    name: (("chain", "draw", "cell"), checks.replicated[name][None, :, None])
                    for name in names
                }
            ),
            "observed_data": xr.Dataset(
                {name: ("cell", [checks.observed[name].mean()]) for name in names}
            ),
        }
    )
    height = 1.5 * -(-len(names) // N_ABREAST)
    with warnings.catch_warnings():
        # Of statistics that happen to be 0 or 1, that binary data have a plot of their own.
        warnings.filterwarnings("ignore", message="Variables .* look binary")
        drawn = arviz_plots.plot_ppc_tstat(
            tree,
            t_stat="mean",
            kind="hist",
            backend="matplotlib",
            col_wrap=N_ABREAST,
            visuals={"title": False},
            figure_kwargs={"figsize": (7.5, height), "layout": "constrained"},
        )
    for name in names:
        axes = drawn.get_target(name, {})
        axes.set_title(f"{name}, p = {checks.table['p'][name]:.3g}", fontsize=9)
        axes.tick_params(axis="x", labelsize=7)
        axes.xaxis.get_major_locator().set_params(nbins=4)
    figure: Figure = drawn.viz["figure"].item()
    return figure


def _empty() -> Figure:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(7.5, 1.2), layout="constrained")
    figure.text(0.5, 0.7, "No statistic differs between replicates.", ha="center", fontsize=10)
    return figure


def _note(checks: PredictiveChecks, drawn: list[str]) -> str:
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


def residual_spectrum(checks: PredictiveChecks | Fit, **options: Any) -> Figure:
    """Draw the leading singular values of the Pearson residual against those of replicates.

    Values above the band at the left end are structure that the components miss, or noise that
    the likelihood does not have.

    Parameters
    ----------
    checks : PredictiveChecks or Fit
        Result of :func:`bayesnmf.ppc`, or a fit, which is checked first.
    **options
        Of :func:`bayesnmf.ppc`, for a fit.

    Returns
    -------
    matplotlib.figure.Figure
        The data's values (posterior means) as dots; of the replicates the mean and the band from
        5 to 95 %.
    """
    import matplotlib.pyplot as plt

    checks = _checked(checks, options)
    theirs, ours = checks.replicated_spectrum, checks.observed_spectrum.mean(axis=0)
    order = np.arange(1, len(ours) + 1)
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    low, high = np.quantile(theirs, (0.05, 0.95), axis=0)
    axes.fill_between(
        order, low, high, color="C0", alpha=0.3, linewidth=0, label="replicates, 90 %"
    )
    axes.plot(order, theirs.mean(axis=0), color="C0", linewidth=1, label="replicates, mean")
    axes.plot(order, ours, "o-", color="black", linewidth=0.8, markersize=4, label="data")
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
