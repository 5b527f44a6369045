"""The command that judges whether a fit has converged."""

from __future__ import annotations

import typer

from bayesnmf.cli.data import Result
from bayesnmf.cli.signals import NOT_CONVERGED
from bayesnmf.posterior import checks
from bayesnmf.posterior.loading import load_fit

EXAMPLES = "\b\nExample:\n  bayesnmf check fit.nc && bayesnmf plot fit.nc"


def run_check(file: Result) -> None:
    """Judge whether a fit has converged.

    Exit status 0 when it has, 1 when it has not or that cannot be judged, and 2 after an error.
    """
    verdict = checks.check(load_fit(file))
    typer.echo(verdict.message if verdict.table.empty else str(verdict))
    if not verdict.converged:
        raise typer.Exit(NOT_CONVERGED)
