"""Plots of a fit. Each function returns a Matplotlib figure and shows nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from bayesnmf.data.memory import require_dense
from bayesnmf.plots.names import shown
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Column labels are all drawn up to this many, then thinned.
MAX_LABELS = 100


#: Rows of an image are named up to this many.
MAX_ROW_LABELS = 40


#: With more columns than this, a component is drawn as a line.
MAX_BARS = 150


#: Letters of a column's name for which every figure has room, and inches for each further one.
FREE_LETTERS, LETTER = 8, 0.08


def components(
    fit: Fit, *, kind: Literal["auto", "bar", "line"] = "auto", ci_prob: float = 0.9
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
    from bayesnmf.figures import new_figure

    if kind not in ("auto", "bar", "line"):
        raise ValueError(f"unknown kind {kind!r}; valid: auto, bar, line")
    if not 0 < ci_prob < 1:
        raise ValueError(f"ci_prob must lie between 0 and 1, not {ci_prob}")
    rows = _Rows.of(fit, ci_prob)
    n_columns = len(rows.names)
    width = float(np.clip(0.14 * n_columns, 6, 14))
    figure = new_figure(width, 1.6 * fit.n_components + 0.8)
    panels = figure.subplots(fit.n_components, 1, sharex=True, squeeze=False)[:, 0]
    draw = _draw_line if rows.as_line(kind) else _draw_bars
    for k, (axes, title) in enumerate(zip(panels, _titles(fit, ci_prob), strict=True)):
        bounds = None if rows.bounds is None else rows.bounds[:, k]
        draw(axes, rows.positions, rows.mean[k], bounds, f"C{k % 10}")
        axes.set_title(title, loc="left", fontsize=9, parse_math=False)
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        axes.tick_params(axis="x", length=0)
        axes.tick_params(axis="y", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("column")
    if not rows.numeric:
        _make_room(figure, rows.names)
        _label_columns(panels[-1], rows.names)
    drawn = f"mean and {100 * ci_prob:g} % interval"
    drawn = "MAP estimate" if rows.bounds is None else drawn
    figure.supylabel(f"weight in H ({drawn})", fontsize=9)
    return figure


@dataclass(frozen=True)
class _Rows:
    """The rows of H as they are drawn: means, ends of intervals where there are draws, columns."""

    mean: np.ndarray
    bounds: np.ndarray | None
    names: np.ndarray

    @classmethod
    def of(cls, fit: Fit, ci_prob: float) -> _Rows:
        H, bounds = fit.tree["posterior/H"], None
        if H.sizes["chain"] * H.sizes["draw"] > 1:
            ends = (0.5 - ci_prob / 2, 0.5 + ci_prob / 2)
            bounds = H.quantile(ends, ("chain", "draw")).to_numpy()
        return cls(fit.H.to_numpy(), bounds, H["column"].to_numpy())

    @property
    def numeric(self) -> bool:
        return self.names.dtype.kind in "iuf"

    @property
    def positions(self) -> np.ndarray:
        return self.names if self.numeric else np.arange(len(self.names))

    def as_line(self, kind: str) -> bool:
        many = len(self.names) > MAX_BARS or self.names.dtype.kind == "f"
        return kind == "line" or (kind == "auto" and many)


def _titles(fit: Fit, ci_prob: float) -> list[str]:
    """Say each component's mass, its interval where there is one, and its share."""
    titles = []
    for component, row in fit.summary(ci_prob).iterrows():
        low, high = row.iloc[2:4]
        bounds = "" if np.isnan(low) else f" ({format_number(low)} to {format_number(high)})"
        # Components without any mass have no shares of it.
        share = "" if np.isnan(row["share"]) else f", {100 * row['share']:.0f} % of all"
        name = shown(component)
        titles.append(f"component {name}: mass {format_number(row['mass'])}{bounds}{share}")
    return titles


def _draw_bars(
    axes: Axes, x: np.ndarray, mean: np.ndarray, bounds: np.ndarray | None, colour: str
) -> None:
    axes.bar(x, mean, color=colour, alpha=0.75)
    if bounds is not None:
        axes.vlines(x, *bounds, color="black", linewidth=0.9)


def _draw_line(
    axes: Axes, x: np.ndarray, mean: np.ndarray, bounds: np.ndarray | None, colour: str
) -> None:
    axes.plot(x, mean, color=colour, linewidth=1)
    if bounds is not None:
        axes.fill_between(x, *bounds, color=colour, alpha=0.3, linewidth=0)


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
    from bayesnmf.figures import new_figure

    sizes = fit.tree["posterior"].sizes
    require_dense(
        (sizes["row"], sizes["column"]), "an image", "Draw the fit of fewer columns (features)"
    )
    figure = new_figure(12, 4)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (title, (values, options)) in zip(panels, _images(fit).items(), strict=True):
        image = axes.imshow(values, aspect="auto", interpolation="nearest", **options)
        axes.set_facecolor("0.8")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("column")
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    panels[0].set_ylabel("row")
    rows = fit.W["row"].to_numpy()
    if len(rows) <= MAX_ROW_LABELS:
        panels[0].set_yticks(
            range(len(rows)), [shown(row) for row in rows], fontsize=7, parse_math=False
        )
    return figure


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


def compare(table: pd.DataFrame) -> Figure:
    """Draw how far each model's predictive density falls behind the best one's.

    Parameters
    ----------
    table : DataFrame
        Result of :func:`bayesnmf.compare`.

    Returns
    -------
    matplotlib.figure.Figure
        A point for each model, best on top, with a bar of one standard error of the difference.
    """
    from bayesnmf.figures import new_figure

    figure = new_figure(7, 0.5 * len(table) + 1.2)
    axes = figure.subplots()
    rows = range(len(table))
    axes.errorbar(table["elpd_diff"], rows, xerr=table["dse"], fmt="o", color="C0")
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(rows, [shown(name) for name in table.index], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("expected log predictive density, difference to the best")
    return figure


def format_number(value: float) -> str:
    """Write a number without an exponent, to four digits or to the unit.

    Examples
    --------
    >>> format_number(83848.6), format_number(1.23456)
    ('83,849', '1.235')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


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


def _make_room(figure: Figure, names: np.ndarray) -> None:
    """Make a figure higher by the names of columns, which are written upwards."""
    longest = max(len(shown(name)) for name in names)
    figure.set_figheight(figure.get_figheight() + LETTER * max(0, longest - FREE_LETTERS))


def _label_columns(axes: Axes, names: np.ndarray) -> None:
    positions = np.arange(0, len(names), -(-len(names) // MAX_LABELS))
    # Equally wide letters make near-equal names such as T[C>G]A and T[C>G]T comparable.
    axes.set_xticks(
        positions,
        [shown(name) for name in names[positions]],
        rotation=90,
        family="monospace",
        fontsize=float(np.clip(700 / len(positions), 4, 9)),
        parse_math=False,
    )
