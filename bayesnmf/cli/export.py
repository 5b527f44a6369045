"""The command that writes a fit as text files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesnmf.cli.data import Result
from bayesnmf.cli.modes import Mode, of_mode
from bayesnmf.posterior.loading import load_fit
from bayesnmf.posterior.table_files import require_new_folder

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf export fit.nc --out tables\n"
    "  bayesnmf export fit.nc --out tables --ci-prob 0.95"
)


def run_export(
    file: Result,
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    ci_prob: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    mode: Mode = None,
) -> None:
    """Write W, H and the masses of the components as csv files.

    W.csv, H.csv and mass.csv have one line an entry: its labels, then mean, standard deviation and
    the ends of the interval, which are empty for a MAP estimate.
    """
    require_new_folder(out, "--out")
    of_mode(load_fit(file), mode).to_csv(out, ci_prob)
    typer.echo(out)
