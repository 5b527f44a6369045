"""Plots of a fit. Each function returns a Matplotlib figure and shows nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesnmf.model import NMF
from bayesnmf.posterior import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Column labels are all drawn up to this many, then thinned.
MAX_LABELS = 100
#: With more columns than this, a component is drawn as a line.
MAX_BARS = 150


def components(
    fit: Fit, *, kind: Literal["auto", "bar", "line"] = "auto", interval: float = 0.9
) -> Figure:
    """Draw each component's row of H with its posterior interval.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    kind : {"auto", "bar", "line"}, default "auto"
        "auto" draws bars, or lines where the columns are numbered on a numeric axis or are more
        than 150.
    interval : float, default 0.9
        Probability of the equal-tailed intervals, drawn when there are two draws or more.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a component, in order of mass; its title gives mass and share.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> figure = components(bn.fit(V, bn.NMF(2), "map", progress=False))
    >>> len(figure.axes)
    2
    """
    import matplotlib.pyplot as plt

    if kind not in ("auto", "bar", "line"):
        raise ValueError(f"unknown kind {kind!r}; valid: auto, bar, line")
    if not 0 < interval < 1:
        raise ValueError(f"interval must lie between 0 and 1, not {interval}")
    H = fit.tree["posterior/H"]
    mean = fit.H
    low, high = H.quantile((0.5 - interval / 2, 0.5 + interval / 2), ("chain", "draw")).to_numpy()
    summary = fit.summary(interval)
    n_columns = mean.sizes["column"]
    names = mean["column"].to_numpy()
    numeric = names.dtype.kind in "iuf"
    as_line = kind == "line" or (
        kind == "auto" and (n_columns > MAX_BARS or names.dtype.kind == "f")
    )
    x = names if numeric else np.arange(n_columns)
    width = float(np.clip(0.12 * n_columns, 6, 14))
    figure, panels = plt.subplots(
        fit.n_components, 1, figsize=(width, 1.6 * fit.n_components + 0.8), sharex=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for k, axes in enumerate(panels[:, 0]):
        colour = f"C{k % 10}"
        has_draws = H.sizes["chain"] * H.sizes["draw"] > 1
        if as_line:
            axes.plot(x, mean[k], color=colour, linewidth=1)
            if has_draws:
                axes.fill_between(x, low[k], high[k], color=colour, alpha=0.3, linewidth=0)
        else:
            axes.bar(x, mean[k], color=colour, alpha=0.75)
            if has_draws:
                axes.vlines(x, low[k], high[k], color="black", linewidth=0.9)
        row = summary.iloc[k]
        axes.set_title(
            f"component {summary.index[k]}: mass {row['mass']:,.4g}, {100 * row['share']:.0f} %",
            loc="left", fontsize=9,
        )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
    last = panels[-1, 0]
    last.set_xlabel("column")
    if not numeric:
        _label_columns(last, names)
    figure.supylabel(f"H (bars or lines: mean; {100 * interval:g} % interval)", fontsize=9)
    return figure


def reconstruction(fit: Fit) -> Figure:
    """Draw the data, their posterior expectation and the standardised residuals.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.

    Returns
    -------
    matplotlib.figure.Figure
        Three images on the rows and columns of V: V, its expectation, and (V - expectation) in
        standard deviations of the likelihood. Missing cells are grey in V and in the residuals.
    """
    import matplotlib.pyplot as plt

    V = fit.V.to_numpy()
    expected, deviation = _expectation(fit)
    residual = (V - expected) / deviation
    shown = np.isfinite(V)
    limits = {"vmin": min(0.0, float(V[shown].min())), "vmax": float(np.quantile(V[shown], 0.99))}
    limit = float(np.quantile(np.abs(residual[shown]), 0.99)) or 1.0
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
    images = (
        ("V", V, {"cmap": "viridis", **limits}),
        ("expectation of V", expected, {"cmap": "viridis", **limits}),
        ("residual / sd", residual, {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
    )
    for axes, (title, values, options) in zip(panels, images, strict=True):
        image = axes.imshow(values, aspect="auto", interpolation="nearest", **options)
        axes.set_facecolor("0.8")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("column")
        figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    panels[0].set_ylabel("row")
    return figure


def _expectation(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the likelihood's mean and standard deviation at the posterior mean of WH."""
    mean = fit.mean.to_numpy()
    if not isinstance(fit.model, NMF):
        # A program keeps its noise to itself; scale residuals by their overall spread.
        return mean, np.full_like(mean, np.nanstd(fit.V.to_numpy() - mean))
    likelihood = fit.model.likelihood
    parameters: dict[str, Any] = {
        name: float(fit.tree["posterior"][name].mean()) for name in likelihood.priors
    }
    cells = likelihood.distribution(mean, **likelihood.known, **parameters)
    return np.asarray(cells.mean), np.sqrt(np.asarray(cells.variance))


def _label_columns(axes: Axes, names: np.ndarray) -> None:
    step = -(-len(names) // MAX_LABELS)
    positions = np.arange(0, len(names), step)
    size = float(np.clip(900 / len(positions) / 1.2, 4, 9))
    axes.set_xticks(positions, [str(name) for name in names[positions]], rotation=90, fontsize=size)
