"""What a report says of a fit: model, data, convergence, components, loadings, checks."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesnmf import checks, plots
from bayesnmf.model import NMF, Program
from bayesnmf.posterior import Fit, matrix_of
from bayesnmf.predictive_checks import PredictiveChecks
from bayesnmf.report_page import Page
from bayesnmf.shown import IN_TABLE, shown
from bayesnmf.sparse import SparseMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Leading columns listed of each component, rows listed of W, and names listed of each side.
N_LEADING, MAX_LISTED, MAX_NAMES = 8, 60, 5
#: What each likelihood says of a cell, in words.
IN_WORDS = {
    "poisson": "Counts of independent events: the variance of a cell equals its mean.",
    "negative_binomial": "Counts that scatter more than Poisson counts: the variance is "
    "mean + mean² / concentration.",
    "gaussian": "Noise of the same size sigma in every cell, unless sigma is given cell by cell.",
    "gamma": "Positive values with noise in proportion to their mean.",
    "beta": "Proportions between 0 and 1, with a link from WH to the mean of a cell.",
}


def model(page: Page, fit: Fit) -> None:
    """Say the model in a formula and in words."""
    page.section("Model")
    sizes = fit.tree["posterior"].sizes
    if isinstance(fit.model, NMF):
        likelihood = fit.model.likelihood
        page.say(f"V ~ {type(likelihood).__name__}(W H)", "formula")
        page.say(IN_WORDS[likelihood.name])
        page.table(
            "Parts of the model",
            pd.DataFrame(
                {
                    "choice": [
                        _described(x)
                        for x in (likelihood, fit.model.prior_W, fit.model.prior_H)
                    ]
                },
                pd.Index(["likelihood", "prior of W", "prior of H"], name="part"),
            ),
            ["choice"],
        )  # fmt: skip
    elif isinstance(fit.model, Program):
        options = ", ".join(f"{name} = {value}" for name, value in fit.model.options.items())
        page.say(f"The program {fit.model.name}{f' with {options}' if options else ''}.")
    else:
        page.say(
            "The model is not known here: it was a function of a session that has ended, or a Python "
            "file that was not to be trusted."
        )
    page.say(
        f"V has {sizes['row']} rows (samples) and {sizes['column']} columns (features). W says how "
        f"much of each of the {sizes['component']} components is in a row, H what a component "
        "looks like. Each row of H sums to 1, so that W carries the mass; components are "
        "numbered by decreasing mass."
    )
    inferred = _parameters(fit)
    if not inferred.empty:
        page.table("Further parameters that were inferred", inferred)


def _described(part: Any) -> str:
    """Write a likelihood or a prior with its fields."""
    values = []
    for entry in fields(part):
        value = getattr(part, entry.name)
        if np.ndim(value):
            text = "given cell by cell"
        elif hasattr(value, "__dataclass_fields__"):
            text = _described(value)
        else:
            text = (
                "inferred"
                if value is None
                else plots.format_number(value)
                if isinstance(value, float)
                else str(value)
            )
        # An exposure that is not given is none.
        if not (value is None and entry.name == "exposure"):
            values.append(f"{entry.name} = {text}")
    return f"{type(part).__name__}({', '.join(values)})"


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
    matrix = matrix_of(fit)
    n_cells = matrix.shape[0] * matrix.shape[1]
    sparse = isinstance(matrix, SparseMatrix)
    seen = matrix.stored.data if isinstance(matrix, SparseMatrix) else matrix.cells
    n_zeros = matrix.n_observed - len(seen) if sparse else int((seen == 0).sum())
    low = min(0.0, float(seen.min(initial=0.0))) if sparse else float(seen.min())
    missing = n_cells - matrix.n_observed
    rows = {
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "missing cells": f"{missing:,} ({missing / n_cells:.1%})",
        "zeros": f"{n_zeros:,} ({n_zeros / matrix.n_observed:.1%} of the observed)",
        "smallest, mean, largest": ", ".join(
            plots.format_number(float(x)) for x in (low, matrix.mean(), seen.max(initial=low))
        ),
        "row names": _names(fit, "row"),
        "column names": _names(fit, "column"),
    }
    table = pd.DataFrame({"value": [str(x) for x in rows.values()]}, pd.Index(rows, name=""))
    page.table("The matrix V", table, ["value"])
    if not sparse and isinstance(fit.model, NMF) and not fit.chain_modes.any():
        _reconstruction(page, fit)


def _reconstruction(page: Page, fit: Fit) -> None:
    """Draw the data beside what the fit expects of them, where memory has room for both."""
    try:
        figure = plots.reconstruction(fit)
    except MemoryError as error:
        page.say(f"There is no picture of the data: {error}")
        return
    caption = "The data, their posterior expectation, and the difference in standard deviations."
    page.figure(figure, caption, wide=True)


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
