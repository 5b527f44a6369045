"""The command that compares likelihoods."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from bayesnmf import plots
from bayesnmf.cli import data as cli_data
from bayesnmf.cli.data import listed
from bayesnmf.comparison import compare as comparison
from bayesnmf.data import files
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.likelihoods import as_likelihood
from bayesnmf.methods import as_method
from bayesnmf.model import NMF
from bayesnmf.posterior import endings, fitting
from bayesnmf.posterior.output_files import IMAGES, require_target, write_figure
from bayesnmf.posterior.requirements import require_whole
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import Part, Progress, showing

EXAMPLES = (
    "\b\nExample:\n"
    "  bayesnmf compare counts.csv --rank 4 --likelihoods poisson,negative_binomial,gaussian"
)


CRITERIA = get_args(comparison.Criterion.__value__)


#: Columns of the table that are printed.
SHOWN = ["elpd", "elpd_diff", "dse", "p", "weight", "bad_k", "estimator", "note"]


def run_compare(
    data: cli_data.Data,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of components, known ones included.", show_default="all known"
        ),
    ] = None,
    reference: cli_data.Reference = None,
    likelihoods: Annotated[
        str, typer.Option(help=f"Names, separated by commas: {', '.join(LIKELIHOODS)}.")
    ] = "poisson,negative_binomial",
    method: Annotated[str, typer.Option(help="mcmc or svi.")] = "mcmc",
    criterion: Annotated[str, typer.Option(help=f"{listed(CRITERIA)}.")] = "loo",
    escalate: Annotated[
        bool,
        typer.Option(
            help="Replace unreliable estimates with more expensive ones, refitting if necessary."
        ),
    ] = True,
    sigma: cli_data.Sigma = None,
    exposure: cli_data.Exposure = None,
    names: cli_data.Names = None,
    header: cli_data.Header = None,
    columns: cli_data.Columns = None,
    separator: cli_data.Separator = None,
    decimal: cli_data.Decimal = "point",
    layer: cli_data.Layer = None,
    transpose: cli_data.Transpose = False,
    read_budget: cli_data.ReadBudget = None,
    seed: cli_data.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Plot to write: .png, .pdf or .svg.")] = None,
) -> None:
    """Compare likelihoods by the density that they give to cells left out."""
    if out is not None:
        require_target(out, IMAGES)
    if criterion not in CRITERIA:  # found now, rather than after the fits
        raise ValueError(f"unknown --criterion {criterion!r}; valid: {', '.join(CRITERIA)}")
    cli_data.require_rank(rank, reference, "compare")
    record = as_method(method)
    for name in likelihoods.split(","):
        as_likelihood(name)  # refuses an unknown name before files are read
    layout = cli_data.Layout(
        names, header, columns, separator, decimal, layer, transpose, read_budget
    )
    known = layout.read_known(sigma, exposure)
    chosen = cli_data.likelihoods_of(likelihoods, known)
    H = layout.read_reference(reference)
    models = {name: NMF(rank, likelihood, H=H) for name, likelihood in chosen.items()}
    V = layout.read(data)
    typer.echo(f"{data}: {files.describe(V)}\n")
    measured: Any = criterion
    with showing(sys.stderr.isatty()) as shown:
        fits = _fits(V, models, record, seed, shown)
        table = comparison.compare(fits, measured, escalate=escalate, seed=seed)
    typer.echo(table[SHOWN].to_string(float_format="{:.4g}".format))
    if out is not None:
        write_figure(plots.compare(table), out)


def _fits(
    V: Any, models: dict[str, NMF], method: Any, seed: int, progress: Progress
) -> dict[str, Fit]:
    """Fit every model, once the data suit all of them."""
    matrices = {name: fitting.matrix_for(V, model, method) for name, model in models.items()}
    for name, model in models.items():
        model.check(matrices[name], draws=True)  # before minutes are spent on the others
    fits = {}
    for name, model in progress.over(models.items(), "fits"):
        fit = fitting.fit_silently(
            matrices[name], model, method, seed=seed, progress=Part(progress)
        )
        fits[name] = require_whole(fit)
    for name, result in fits.items():
        if not result.converged:
            warnings.warn(f"{name}: {result.message}", endings.ConvergenceWarning, stacklevel=1)
    return fits
