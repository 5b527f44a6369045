"""The figure of a sweep over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesnmf.rank.rule import LEVEL, near_best

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(table: pd.DataFrame, best: int) -> Figure:
    """Draw what the rule looks at, and stability, against rank.

    Parameters
    ----------
    table : DataFrame
        Of a :class:`bayesnmf.RankSelection`.
    best : int
        The rank chosen, marked by a band.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels: elpd relative to the best with bars of one standard error of the difference,
        the p-value of the residual check with its level, and stability.
    """
    from bayesnmf.figures import new_figure

    figure = new_figure(5, 6)
    panels = figure.subplots(3, 1, sharex=True)
    for axes in panels:
        axes.axvspan(best - 0.4, best + 0.4, color="0.9", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    _elpd(panels[0], table)
    _residual(panels[1], table)
    _stability(panels[2], table)
    panels[0].set_title(f"rank {best} chosen", loc="left", fontsize=10)
    panels[2].set_xlabel("rank (number of components)")
    panels[2].xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels(panels)
    return figure


def _elpd(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the loss of elpd, which spans decades from rank 1 to the best, on a scale for both."""
    axes.set_ylabel("elpd, difference\nto the best")
    if table["elpd_diff"].isna().all():
        _absent(axes)
        return
    near = near_best(table)
    _say(axes, "filled: within one standard error")
    for chosen, face in ((near, "C0"), (~near, "white")):
        part = table[chosen]
        axes.errorbar(
            part.index,
            part["elpd_diff"],
            part["dse"],
            fmt="o",
            color="C0",
            markerfacecolor=face,
            capsize=2,
        )
    axes.plot(table.index, table["elpd_diff"], color="C0", linewidth=0.8, zorder=1)
    axes.axhline(0, color="0.6", linewidth=0.8)
    error = table["dse"][table["dse"] > 0]
    linear = float(max(error.min(), 1.0)) if len(error) else 1.0
    axes.set_yscale("symlog", linthresh=linear)
    axes.set_ylim(top=2 * linear)
    axes.set_yticks(_powers(linear, -float((table["elpd_diff"] - table["dse"]).min())))


def _powers(linear: float, largest: float) -> list[float]:
    """Return 0 and a few negative powers of ten, none of them close to 0 on the scale."""
    exponents = np.arange(
        np.ceil(np.log10(1.5 * linear)), np.floor(np.log10(max(largest, 1.0))) + 1
    )
    step = len(exponents) // 4 + 1
    return [0.0, *(-(10.0 ** exponents[::step]))]


def _residual(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_ylabel("p of the\nresidual check")
    passes = table["residual_p"] > LEVEL
    axes.plot(table.index, table["residual_p"], color="C1", linewidth=0.8, zorder=1)
    axes.scatter(
        table.index,
        table["residual_p"],
        color="C1",
        zorder=2,
        facecolor=["C1" if passed else "white" for passed in passes],
    )
    axes.axhline(LEVEL, color="0.4", linewidth=0.8, linestyle="--")
    _say(axes, f"filled: passes at level {LEVEL:g} (dashed)")
    axes.set_ylim(-0.03, 1.03)


def _stability(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_ylabel("stability\n(matched cosine)")
    if table["stability"].isna().all():
        _absent(axes)
        return
    axes.plot(table.index, table["stability"], "o-", color="C2", linewidth=0.8)
    axes.set_ylim(min(0.5, float(table["stability"].min()) - 0.05), 1.03)


def _say(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="right", fontsize=7, color="0.4", pad=2)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not available", transform=axes.transAxes, ha="center", color="0.5")
    axes.set_yticks([])
