"""What a report says about a fit: model, data, convergence, checks, comparison."""

from __future__ import annotations

import pandas as pd

from bayesnmf import plots
from bayesnmf.model import Description
from bayesnmf.plots.names import IN_TABLE, shown
from bayesnmf.posterior import checks
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.checks import PredictiveChecks
from bayesnmf.reporting.factors import mean_and_interval
from bayesnmf.reporting.page import Page

#: Names listed of each side.
MAX_NAMES = 5


def add_model(page: Page, fit: Fit) -> None:
    """Say the model in a formula and in words."""
    page.section("Model")
    sizes = fit.tree["posterior"].sizes
    if fit.model is None:
        page.say(
            "The model is not known here: it was a function of a session that has ended, or a Python "
            "file that was not to be trusted."
        )
    else:
        _add_description(page, fit.model.describe())
    page.say(
        f"V has {sizes['row']} rows (samples) and {sizes['column']} columns (features). W says how "
        f"much of each of the {sizes['component']} components is in a row, H what a component "
        "looks like. Each row of H sums to 1, so that W carries the mass; components are "
        "numbered by decreasing mass."
    )
    inferred = _parameters(fit)
    if not inferred.empty:
        page.table("Further parameters that were inferred", inferred)


def _add_description(page: Page, said: Description) -> None:
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
            rows[name] = mean_and_interval(values.to_numpy().ravel())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def add_data(page: Page, fit: Fit) -> None:
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
        "row names": _first_names(fit, "row"),
        "column names": _first_names(fit, "column"),
    }
    table = pd.DataFrame({"value": [str(x) for x in rows.values()]}, pd.Index(rows, name=""))
    page.table("The matrix V", table, ["value"])
    if not matrix.is_sparse and not fit.chain_modes.any():
        _reconstruction(page, fit)


def _reconstruction(page: Page, fit: Fit) -> None:
    """Draw the data beside what the fit expects of them, if memory has room for both."""
    try:
        figure = plots.reconstruction(fit)
    except MemoryError as error:
        page.say(f"There is no picture of the data: {error}")
        return
    caption = "The data, their posterior expectation, and the difference in standard deviations."
    page.figure(figure, caption, wide=True)


def _first_names(fit: Fit, side: str) -> str:
    names = fit.tree["posterior"][side].to_numpy()
    more = f", … ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    return ", ".join(shown(name, IN_TABLE) for name in names[:MAX_NAMES]) + more


def add_convergence(page: Page, fit: Fit) -> None:
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
            "A MAP estimate is one factorisation. Intervals, R-hat, effective sample sizes and the "
            "predictive density (elpd) need draws, so this page has none: fit with method='mcmc' "
            "for them."
        )
    if not found.table.empty:
        page.table("Convergence of identifiable quantities", found.table.rename_axis("quantity"))
    if found.components is not None:
        named = found.components.rename(index=lambda name: shown(name, IN_TABLE))
        page.table("What makes a component uncertain", named)


def add_checks(page: Page, found: PredictiveChecks | str) -> None:
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


def add_comparison(page: Page, table: pd.DataFrame) -> None:
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
