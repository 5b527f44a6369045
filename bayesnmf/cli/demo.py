"""The command that shows what the package does."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from bayesnmf import plots
from bayesnmf.cli import story as demo
from bayesnmf.posterior.targets import IMAGES, require_target, write_figure
from bayesnmf.reporting.report import report

EXAMPLES = "\b\nExample:\n  bayesnmf demo --out signatures.png"


def run_demo(
    out: Annotated[Path, typer.Option(help="Image to write.")] = Path("bayesnmf-demo.png"),
) -> None:
    """Find mutational signatures in 21 breast cancers.

    Takes a minute or two: a fit, a comparison of likelihoods and the choice of a rank, on real
    data that the package holds. Writes an image of the components and, beside it, a report.
    """
    require_target(out, IMAGES)
    import matplotlib

    matplotlib.use("Agg")  # a window is neither wanted nor, on a server, to be had
    begin, progress = perf_counter(), sys.stderr.isatty()

    def step(number: int, text: str) -> None:
        at = f"[{perf_counter() - begin:.0f} s] " if number > 1 else ""
        typer.echo(f"\n{at}Step {number} of 3: {text}\n")
        sys.stdout.flush()  # a newcomer sees that it is alive

    typer.echo(demo.introduction())
    step(1, f"draw from the posterior of {demo.N_COMPONENTS} components.")
    result = demo.run(progress=progress)
    typer.echo(demo.report(result))
    step(2, "is Poisson noise right? Ask which likelihood predicts cells that are left out.")
    table = demo.compare(result, progress=progress)
    typer.echo(demo.verdict(table))
    step(3, f"how many components? Try {demo.RANKS[0]} to {demo.RANKS[-1]} at the mode, quickly.")
    selection = demo.select(progress=progress)
    typer.echo(selection)
    write_figure(plots.components(result), out)
    page = report(result, out.with_suffix(".html"), comparison=table, progress=progress)
    typer.echo(
        f"\nPlot of the components: {out}\nReport, for a browser: {page}\n"
        f"Time in all: {perf_counter() - begin:.0f} s"
    )
