"""The command that draws a fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesnmf import plots
from bayesnmf.cli.data import Result, listed
from bayesnmf.cli.modes import Mode, of_mode
from bayesnmf.posterior.loading import load_fit
from bayesnmf.posterior.output_files import IMAGES, require_target, write_figure
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf plot fit.nc\n"
    "  bayesnmf plot fit.nc --kind reconstruction --out residuals.pdf\n"
    "  bayesnmf plot fit.nc --kind signatures"
)


PLOTS: dict[str, Callable[[Fit], Figure]] = {
    "components": plots.components,
    "top_columns": plots.top_columns,
    "signatures": plots.signatures,
    "loadings": plots.loadings,
    "reconstruction": plots.reconstruction,
}


def run_plot(
    file: Result,
    kind: Annotated[str, typer.Option(help=f"{listed(PLOTS)}.")] = "components",
    out: Annotated[
        Path | None,
        typer.Option(help="Image to write: .png, .pdf or .svg.", show_default="FILE-KIND.png"),
    ] = None,
    mode: Mode = None,
) -> None:
    """Draw the components of a fit, its rows, or its residuals.

    Components are drawn over all columns or over the leading ones, or, as signatures, over the 96 channels of
    substitutions. Loadings show how much of each component is in every row, along the time where
    rows have dates. All have 90 % intervals where there are draws. A reconstruction shows the data, what the fit
    expects of them, and the difference in standard deviations.
    """
    if kind not in PLOTS:
        raise ValueError(f"unknown --kind {kind!r}; valid: {', '.join(PLOTS)}")
    result = of_mode(load_fit(file), mode)
    out = file.with_name(f"{file.stem}-{kind}.png") if out is None else out
    require_target(out, IMAGES)
    write_figure(PLOTS[kind](result), out)
    typer.echo(out)
