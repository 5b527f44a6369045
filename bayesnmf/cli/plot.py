"""The command that draws a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesnmf import plots
from bayesnmf.cli.data import Result, listed
from bayesnmf.comparison import modes as multimodality
from bayesnmf.posterior.loading import load_fit
from bayesnmf.posterior.output_files import IMAGES, require_target, write_figure
from bayesnmf.posterior.result import Fit

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf plot fit.nc\n"
    "  bayesnmf plot fit.nc --kind reconstruction --out residuals.pdf"
)


PLOTS = {"components": plots.components, "reconstruction": plots.reconstruction}


def run_plot(
    file: Result,
    kind: Annotated[str, typer.Option(help=f"{listed(PLOTS)}.")] = "components",
    out: Annotated[
        Path | None,
        typer.Option(help="Image to write: .png, .pdf or .svg.", show_default="FILE-KIND.png"),
    ] = None,
    mode: Annotated[
        int | None, typer.Option(min=0, help="Which mode, if the chains are in several.")
    ] = None,
) -> None:
    """Draw the components of a fit, or its residuals.

    Components are drawn with their 90 % intervals; a reconstruction shows the data, what the fit
    expects of them, and the difference in standard deviations.
    """
    if kind not in PLOTS:
        raise ValueError(f"unknown --kind {kind!r}; valid: {', '.join(PLOTS)}")
    result = _of_mode(load_fit(file), mode)
    out = file.with_name(f"{file.stem}-{kind}.png") if out is None else out
    require_target(out, IMAGES)
    write_figure(PLOTS[kind](result), out)
    typer.echo(out)


def _of_mode(result: Fit, mode: int | None) -> Fit:
    """Return the chains of one mode, which must be named if there are several."""
    modes = multimodality.modes(result)
    if mode is None and len(modes) > 1:
        raise ValueError(f"the chains are in {modes.message}: choose one with --mode")
    if mode is not None and mode >= len(modes):
        raise ValueError(f"--mode {mode}: the chains are in {modes.message}")
    return modes[mode or 0]
