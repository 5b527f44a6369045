"""What a report says of a fit: model, data, convergence, components, loadings, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesnmf import plots
from bayesnmf.model import Description
from bayesnmf.plots.names import IN_TABLE, shown
from bayesnmf.posterior import checks
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.checks import PredictiveChecks
from bayesnmf.reporting.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Leading columns listed of each component, rows listed of W, and names listed of each side.
N_LEADING, MAX_LISTED, MAX_NAMES = 8, 60, 5


def model(page: Page, fit: Fit) -> None:
    """Say the model in a formula and in words."""
    page.section("Model")
    sizes = fit.tree["posterior"].sizes
    if fit.model is None:
        page.say(
            "The model is not known here: it was a function of a session that has ended, or a Python "
            "file that was not to be trusted."
        )
    else:
        _describe(page, fit.model.describe())
    page.say(
        f"V has {sizes['row']} rows (samples) and {sizes['column']} columns (features). W says how "
        f"much of each of the {sizes['component']} components is in a row, H what a component "
        "looks like. Each row of H sums to 1, so that W carries the mass; components are "
        "numbered by decreasing mass."
    )
    inferred = _parameters(fit)
    if not inferred.empty:
        page.table("Further parameters that were inferred", inferred)


def _describe(page: Page, said: Description) -> None:
    if said.formula:
        page.say(said.formula, "formula")
    page.say(said.words)
    if said.parts:
        parts = pd.Index(list(said.parts), name="part")
        choices = pd.DataFrame({"choice": list(said.parts.values())}, parts)
        page.table("Parts of the model", choices, ["choice"])


def _parameters(fit: Fit) -> pd.DataFrame:
    """Return mean and interval of the likelihood's parameters, which are single numbers."""
    rows = {}
    for name, values in fit.tree["posterior"].data_vars.items():
        if values.dims == ("chain", "draw"):
            rows[name] = _interval(values.to_numpy().ravel())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def _interval(draws: np.ndarray) -> dict[str, float]:
    """Return the mean and, of several draws, the 90 % interval."""
    result = {"mean" if len(draws) > 1 else "mode": float(draws.mean())}
    if len(draws) > 1:
        result["5%"], result["95%"] = (float(x) for x in np.quantile(draws, (0.05, 0.95)))
    return result


def data(page: Page, fit: Fit) -> None:
    """Summarise the data."""
    page.section("Data")
    matrix = fit.matrix
    n_cells = matrix.shape[0] * matrix.shape[1]
    n_zeros = matrix.n_zeros()
    missing = n_cells - matrix.n_observed
    rows = {
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "missing cells": f"{missing:,} ({missing / n_cells:.1%})",
        "zeros": f"{n_zeros:,} ({n_zeros / matrix.n_observed:.1%} of the observed)",
        "smallest, mean, largest": ", ".join(
            plots.format_number(float(x))
            for x in (matrix.smallest(), matrix.mean(), matrix.largest())
        ),
        "row names": _names(fit, "row"),
        "column names": _names(fit, "column"),
    }
    table = pd.DataFrame({"value": [str(x) for x in rows.values()]}, pd.Index(rows, name=""))
    page.table("The matrix V", table, ["value"])
    if not matrix.is_sparse and not fit.chain_modes.any():
        page.figure(
            plots.reconstruction(fit),
            "The data, their posterior expectation, and the difference in standard deviations.",
            wide=True,
        )


def _names(fit: Fit, side: str) -> str:
    names = fit.tree["posterior"][side].to_numpy()
    more = f", … ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    return ", ".join(shown(name, IN_TABLE) for name in names[:MAX_NAMES]) + more


def convergence(page: Page, fit: Fit) -> None:
    """Say how the fit was made, and whether it may be trusted."""
    page.section("Method and convergence")
    sizes, seconds = fit.tree["posterior"].sizes, fit.tree.attrs.get("seconds")
    took = "" if seconds is None else f", in {float(seconds):.1f} s"
    draws = f"{sizes['chain']} chain(s) of {sizes['draw']:,} draw(s)"
    seed = f", seed {fit.tree.attrs['seed']}" if "seed" in fit.tree.attrs else ""
    page.say(f"Method: {fit.method}, {draws}{seed}{took}.")
    found = checks.check(fit)
    page.say(found.message, "verdict")
    if fit.method == "map":
        page.say(
            "A mode is one factorisation. Intervals, R-hat, effective sample sizes and the "
            "predictive density (elpd) need draws, so this page has none: fit with method='mcmc' "
            "for them."
        )
    if not found.table.empty:
        page.table("Convergence of identifiable quantities", found.table.rename_axis("quantity"))
    if found.components is not None:
        page.table("What makes a component uncertain", found.components)


def components(page: Page, fit: Fit) -> None:
    """Show each component's mass and leading columns."""
    page.section("Components")
    _components(page, fit)


def mode(page: Page, fit: Fit, number: int) -> None:
    """Show the components and loadings of one of several modes."""
    page.section(f"Mode {number}")
    page.say(fit.message)
    _components(page, fit)
    _loadings(page, fit)


def _components(page: Page, fit: Fit) -> None:
    summary = fit.summary().drop(columns="leading columns").dropna(axis=1, how="all")
    page.table(
        "Mass of each component: its part of WH, summed over cells",
        summary.assign(share=summary["share"].map(_percent)),
    )
    page.figure(
        plots.components(fit),
        "Each component's row of H" + (", with 90 % intervals." if _has_draws(fit) else "."),
        wide=True,
    )
    H = fit.tree["posterior/H"].to_numpy()
    H, names = H.reshape(-1, *H.shape[2:]), fit.tree["posterior/column"].to_numpy()
    for k in range(fit.n_components):
        page.subsection(f"Component {k}")
        order = np.argsort(-H[:, k].mean(axis=0), kind="stable")[:N_LEADING]
        rows = [_interval(H[:, k, j]) for j in order]
        index = pd.Index([shown(names[j], IN_TABLE) for j in order], name="column")
        page.table(f"Leading columns of component {k}: weight in H", pd.DataFrame(rows, index))


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"  # where no component has any mass


def _has_draws(fit: Fit) -> bool:
    sizes = fit.tree["posterior"].sizes
    return sizes["chain"] * sizes["draw"] > 1


def loadings(page: Page, fit: Fit) -> None:
    """Show how much of each component is in each row."""
    page.section("Loadings of the rows")
    _loadings(page, fit)


def _loadings(page: Page, fit: Fit) -> None:
    W = fit.W
    page.figure(
        _heat_map(W.to_numpy(), W["row"].to_numpy()),
        "Share of each component in each row of V: W, divided by the sum of its row.",
    )
    if W.sizes["row"] > MAX_LISTED:
        page.say(f"With more than {MAX_LISTED} rows, the numbers themselves are in fit.W.")
        return
    draws = fit.tree["posterior/W"].to_numpy()
    draws = draws.reshape(-1, *draws.shape[2:])
    low, high = np.quantile(draws, (0.05, 0.95), axis=0)
    columns = {}
    for k in range(fit.n_components):
        columns[f"component {k}"] = draws[:, :, k].mean(axis=0)
        if _has_draws(fit):
            columns[f"5% of {k}"], columns[f"95% of {k}"] = low[:, k], high[:, k]
    names = pd.Index([shown(name, IN_TABLE) for name in W["row"].to_numpy()], name="row")
    page.table("W: mass of each component in each row", pd.DataFrame(columns, names))


def _heat_map(W: np.ndarray, names: np.ndarray) -> Figure:
    import matplotlib.pyplot as plt

    total = W.sum(axis=1, keepdims=True)
    share = np.divide(W, total, out=np.zeros_like(W), where=total > 0)
    n_rows, n_components = W.shape
    listed = n_rows <= MAX_LISTED
    size = (min(2.6 + 0.5 * n_components, 9.0), 1.1 + (0.2 * n_rows if listed else 4.0))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    image = axes.imshow(
        share, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1
    )
    axes.set_xlabel("component")
    axes.set_ylabel("row")
    axes.locator_params(axis="x", integer=True)
    if listed:
        axes.set_yticks(
            range(n_rows), [shown(name) for name in names], fontsize=8, parse_math=False
        )
    figure.colorbar(image, ax=axes, shrink=min(1.0, 3.0 / size[1]), label="share")
    return figure


def predictive(page: Page, found: PredictiveChecks | str) -> None:
    """Show the predictive checks, or say why there are none."""
    page.section("Predictive checks")
    if isinstance(found, str):
        page.say(f"They could not be made: {found}.")
        return
    page.say(found.message, "verdict")
    page.table(
        "Statistics of the data and of replicates: p is the share of replicates at least as large",
        found.table,
    )
    page.figure(
        plots.residual_spectrum(found),
        "Leading singular values of the Pearson residual: the data against replicates. Values "
        "above the band are structure, or noise, that the model lacks.",
    )
    page.figure(
        plots.ppc(found),
        "Each statistic's distribution over replicates; the dot is the data. A statistic that is "
        "the same in all replicates has no distribution, and is named below the others.",
    )


def comparison(page: Page, table: pd.DataFrame) -> None:
    """Show how models compare."""
    page.section("Comparison of models")
    table = table.set_axis([shown(name, IN_TABLE) for name in table.index])
    best = table.index[0]
    page.say(
        f"{best} gives cells left out the highest density (elpd). elpd_diff is the difference to "
        "it, and dse the standard error of that difference.",
        "verdict",
    )
    names = ["elpd", "elpd_diff", "dse", "p", "weight", "bad_k", "note"]
    page.table("Models, best first", table[[name for name in names if name in table]], ["note"])
    page.figure(plots.compare(table), "Difference to the best model, with one standard error.")
