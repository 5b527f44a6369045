"""The command that writes a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bayesnmf.posterior.output_files import PAGES, require_target
from bayesnmf.rank.result import load
from bayesnmf.reporting.report import report

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf report fit.nc --out report.html\n"
    "  bayesnmf report sweep.nc --title 'Signatures of 21 tumours'"
)


def run_report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A result of bayesnmf fit or bayesnmf rank.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write.", show_default="FILE.html")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the predictive checks.")] = 0,
) -> None:
    """Write one HTML page about a fit, or about a sweep over ranks and its best fit.

    Model, data, convergence, components and loadings with intervals, and predictive checks. The
    page needs no network: it can be sent by mail and read on a phone.
    """
    out = file.with_suffix(".html") if out is None else out
    require_target(out, PAGES)
    result = load(file)
    report(result, out, title=title, seed=seed, progress=sys.stderr.isatty())
    typer.echo(out)
