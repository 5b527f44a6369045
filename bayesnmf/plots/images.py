"""Images of the data, of what a fit expects of them, and of the residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesnmf.data.memory import require_dense
from bayesnmf.plots.canvas import figure_for, size_of, whole
from bayesnmf.plots.text_sizes import fitting
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayesnmf.plots.canvas import AnyFigure

#: Rows of an image are named up to this many.
MAX_ROW_LABELS = 40


#: Size of a title in points.
TITLE = 10.0


def reconstruction(fit: Fit, *, figure: AnyFigure | None = None) -> Figure:
    """Draw the data, their posterior expectation and the standardised residuals.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw into. None: a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Three images on the rows and columns of V: V, its expectation, and (V - expectation) in
        standard deviations of the likelihood. Missing cells are grey in V and in the residuals. The images
        are side by side, or one above the other in a figure that is higher than wide.
    """
    from bayesnmf.plots.ticks import name_ticks, number_ticks

    sizes = fit.tree["posterior"].sizes
    require_dense(
        (sizes["row"], sizes["column"]), "an image", "Draw the fit of fewer columns (features)"
    )
    images, rows = _images(fit), fit.W["row"].to_numpy()
    figure = figure_for(figure, 12, 4)
    width, height = size_of(figure)
    tall = height > width
    shape = (3, 1) if tall else (1, 3)
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (title, (values, options)) in zip(panels, images.items(), strict=True):
        image = axes.imshow(values, aspect="auto", interpolation="nearest", **options)
        axes.set_facecolor("0.8")
        axes.set_title(fitting((title,), width / shape[1] - 1, TITLE), fontsize=TITLE)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
        number_ticks(bar.ax.yaxis, most=8)
        number_ticks(axes.xaxis, integer=True)
        if len(rows) <= MAX_ROW_LABELS:
            name_ticks(axes.yaxis, rows, 0.8 * height / shape[0], depth=0.4 * width / shape[1])
        else:
            number_ticks(axes.yaxis, integer=True)
    for axes in panels[2:] if tall else panels:
        axes.set_xlabel("column")
    panels[0].set_ylabel("row")
    return whole(figure)


def _images(fit: Fit) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Return the data, their expectation and the residuals by title, with their colours."""
    V = fit.V.to_numpy()
    expected, std = _expectation(fit)
    # A MAP estimate can expect exactly 0, with std 0; the difference itself then stands there.
    residual = np.divide(V - expected, std, out=V - expected, where=std > 0)
    seen = np.isfinite(V)
    limits = {"vmin": min(0.0, float(V[seen].min())), "vmax": float(np.quantile(V[seen], 0.99))}
    limit = float(np.quantile(np.abs(residual[seen]), 0.99)) or 1.0
    return {
        "V": (V, {"cmap": "viridis", **limits}),
        "expectation of V": (expected, {"cmap": "viridis", **limits}),
        "residual / std": (residual, {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
    }


def _expectation(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the likelihood's mean and standard deviation at the posterior mean of WH."""
    mean = fit.mean.to_numpy()
    if fit.model is None or fit.model.nmf is None:
        # The noise of a program is not known; scale residuals by their overall std.
        return mean, np.full_like(mean, np.nanstd(fit.V.to_numpy() - mean))
    likelihood = fit.model.nmf.likelihood
    parameters: dict[str, Any] = {
        name: float(fit.tree["posterior"][name].mean()) for name in likelihood.priors
    }
    # In single precision, data on a very small or large scale would have a std of 0, or none.
    with jax.enable_x64(True):
        cells = likelihood.distribution(mean, **likelihood.known, **parameters)
        return np.asarray(cells.mean), np.sqrt(np.asarray(cells.variance))
