"""What a report says about W and H: components, and how much of each is in every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesnmf import plots
from bayesnmf.plots.names import IN_TABLE, shown
from bayesnmf.posterior.result import Fit
from bayesnmf.reporting.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Leading columns listed of each component, and rows listed of W.
N_LEADING, MAX_LISTED = 8, 60


#: Probabilities below the two ends of every interval of a page.
BOUNDS = (0.05, 0.95)


def add_components(page: Page, fit: Fit) -> None:
    """Show each component's mass and leading columns."""
    page.section("Components")
    _add_factor_H(page, fit)


def add_mode(page: Page, fit: Fit, number: int) -> None:
    """Show the components and loadings of one of several modes."""
    page.section(f"Mode {number}")
    page.say(fit.message)
    _add_factor_H(page, fit)
    _add_factor_W(page, fit)


def _add_factor_H(page: Page, fit: Fit) -> None:
    summary = fit.summary().drop(columns="leading columns").dropna(axis=1, how="all")
    page.table(
        "Mass of each component: its part of WH, summed over cells",
        summary.assign(share=summary["share"].map(_percent)).rename(index=_as_shown),
    )
    page.figure(
        plots.components(fit),
        "Each component's row of H" + (", with 90 % intervals." if _has_draws(fit) else "."),
        wide=True,
    )
    H = fit.tree["posterior/H"].to_numpy()
    H, names = H.reshape(-1, *H.shape[2:]), fit.tree["posterior/column"].to_numpy()
    for k, name in enumerate(_component_names(fit)):
        page.subsection(f"Component {name}")
        order = np.argsort(-H[:, k].mean(axis=0), kind="stable")[:N_LEADING]
        rows = [mean_and_interval(H[:, k, j]) for j in order]
        index = pd.Index([shown(names[j], IN_TABLE) for j in order], name="column")
        page.table(f"Leading columns of component {name}: weight in H", pd.DataFrame(rows, index))


def _as_shown(name: Any) -> str:
    return shown(name, IN_TABLE)


def _component_names(fit: Fit) -> list[str]:
    """Return the names of components as a table can show them."""
    return [_as_shown(name) for name in fit.tree["posterior/component"].to_numpy()]


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"  # where no component has any mass


def _has_draws(fit: Fit) -> bool:
    sizes = fit.tree["posterior"].sizes
    return sizes["chain"] * sizes["draw"] > 1


def add_loadings(page: Page, fit: Fit) -> None:
    """Show how much of each component is in each row."""
    page.section("Loadings of the rows")
    _add_factor_W(page, fit)


def _add_factor_W(page: Page, fit: Fit) -> None:
    W = fit.W
    page.figure(
        share_image(W.to_numpy(), W["row"].to_numpy(), W["component"].to_numpy()),
        "Share of each component in each row of V: W, divided by the sum of its row.",
    )
    if W.sizes["row"] > MAX_LISTED:
        page.say(f"With more than {MAX_LISTED} rows, the numbers themselves are in fit.W.")
        return
    draws = fit.tree["posterior/W"].to_numpy()
    draws = draws.reshape(-1, *draws.shape[2:])
    low, high = np.quantile(draws, BOUNDS, axis=0)
    columns, values = [], []
    for k, name in enumerate(_component_names(fit)):
        columns.append(f"component {name}")
        values.append(draws[:, :, k].mean(axis=0))
        if _has_draws(fit):
            columns += [f"5% of {name}", f"95% of {name}"]
            values += [low[:, k], high[:, k]]
    names = pd.Index([shown(name, IN_TABLE) for name in W["row"].to_numpy()], name="row")
    page.table(
        "W: mass of each component in each row", pd.DataFrame(np.array(values).T, names, columns)
    )


def share_image(W: np.ndarray, names: np.ndarray, components: np.ndarray) -> Figure:
    """Draw the share of each component in each row of W, with the names of rows and components."""
    from bayesnmf.figures import new_figure

    total = W.sum(axis=1, keepdims=True)
    share = np.divide(W, total, out=np.zeros_like(W), where=total > 0)
    n_rows, n_components = W.shape
    listed = n_rows <= MAX_LISTED
    size = (min(2.6 + 0.5 * n_components, 9.0), 1.1 + (0.2 * n_rows if listed else 4.0))
    figure = new_figure(*size)
    axes = figure.subplots()
    image = axes.imshow(
        share, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1
    )
    axes.set_xlabel("component")
    axes.set_ylabel("row")
    if np.array_equal(components, np.arange(n_components)):
        axes.locator_params(axis="x", integer=True)
    else:
        labels = [shown(name) for name in components]
        axes.set_xticks(range(n_components), labels, rotation=90, fontsize=8, parse_math=False)
    if listed:
        axes.set_yticks(
            range(n_rows), [shown(name) for name in names], fontsize=8, parse_math=False
        )
    figure.colorbar(image, ax=axes, shrink=min(1.0, 3.0 / size[1]), label="share")
    return figure


def mean_and_interval(draws: np.ndarray) -> dict[str, float]:
    """Return the mean and, of several draws, the 90 % interval."""
    result = {"mean" if len(draws) > 1 else "MAP estimate": float(draws.mean())}
    if len(draws) > 1:
        result["5%"], result["95%"] = (float(x) for x in np.quantile(draws, BOUNDS))
    return result
