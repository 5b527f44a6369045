"""Plots of predictive checks: each statistic's replicates, and the spectrum of the residual."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesnmf.posterior import Fit
from bayesnmf.predictive_checks import PredictiveChecks
from bayesnmf.predictive_checks import ppc as check_by_replicates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Panels side by side.
N_ABREAST = 3


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
        the draw); the title gives the p-value.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> ppc(fit, num_draws=20).axes[0].get_title()[:16]
    'singular value 1'
    """
    import arviz_plots

    checks = _checked(checks, options)
    names = checks.table.index.tolist()
    tree = xr.DataTree.from_dict({
        "posterior_predictive": xr.Dataset({
            name: (("chain", "draw", "cell"), checks.replicated[name][None, :, None])
            for name in names
        }),
        "observed_data": xr.Dataset({
            name: ("cell", [checks.observed[name].mean()]) for name in names
        }),
    })  # fmt: skip
    height = 1.5 * -(-len(names) // N_ABREAST)
    with warnings.catch_warnings():
        # Of statistics that happen to be 0 or 1, that binary data have a plot of their own.
        warnings.filterwarnings("ignore", message="Variables .* look binary")
        drawn = arviz_plots.plot_ppc_tstat(
            tree, t_stat="mean", kind="hist", backend="matplotlib", col_wrap=N_ABREAST,
            visuals={"title": False},
            figure_kwargs={"figsize": (7.5, height), "layout": "constrained"},
        )  # fmt: skip
    for name, p in checks.table["p"].items():
        axes = drawn.get_target(name, {})
        axes.set_title(f"{name}, p = {p:.3g}", fontsize=9)
        axes.tick_params(axis="x", labelsize=7)
        axes.xaxis.get_major_locator().set_params(nbins=4)
    figure: Figure = drawn.viz["figure"].item()
    return figure


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
