"""The command that fits a factorisation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesnmf.cli import data as cli_data
from bayesnmf.cli.data import listed
from bayesnmf.cli.signals import INTERRUPTED, NOT_CONVERGED
from bayesnmf.cli.text import summary_of
from bayesnmf.data import AnyMatrix, files
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.likelihoods import as_likelihood
from bayesnmf.methods import MAP, MCMC, METHODS, SVI, as_method
from bayesnmf.model import NMF
from bayesnmf.posterior import endings, fitting
from bayesnmf.posterior.output_files import RESULTS, require_target, save_or_rescue
from bayesnmf.posterior.result import Fit
from bayesnmf.priors import REGISTRY as PRIORS
from bayesnmf.priors import as_prior

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf fit counts.csv --rank 5 --out fit.nc\n"
    "  bayesnmf fit counts.csv --rank 5 --method map --starts 10 --out map.nc\n"
    "  bayesnmf fit spectra.npy --rank 3 --likelihood gaussian --method svi --out fit.nc"
)


def run_fit(
    data: cli_data.Data,
    out: Annotated[Path, typer.Option(help="Result to write: .nc or .zarr.")],
    rank: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of components, known ones included.", show_default="all known"
        ),
    ] = None,
    reference: cli_data.Reference = None,
    likelihood: Annotated[str, typer.Option(help=f"{listed(LIKELIHOODS)}.")] = "poisson",
    method: Annotated[str, typer.Option(help=f"{listed(METHODS)}.")] = "mcmc",
    prior_w: Annotated[str, typer.Option(help=f"{listed(PRIORS)}.")] = "gamma",
    prior_h: Annotated[str, typer.Option(help="As --prior-w.")] = "gamma",
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
    warmup: Annotated[
        int | None, typer.Option(min=0, help="mcmc: steps of each chain that are dropped.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="mcmc: draws of each chain; svi: draws in all.")
    ] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="mcmc: independent chains.")] = None,
    min_ess: Annotated[
        float | None, typer.Option(help="mcmc: effective draws that are enough; stop there.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(help=f"mcmc: {listed(MCMC._kernels)}.")] = None,
    algorithm: Annotated[str | None, typer.Option(help=f"svi: {listed(SVI._algorithms)}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="svi: gradient steps at most.")] = None,
    solver: Annotated[
        str | None, typer.Option(help=f"map: {listed(MAP._options['solver'])}.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="map: random or nndsvd.")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="map: random starts.")] = None,
    max_iter: Annotated[int | None, typer.Option(min=1, help="map: iterations at most.")] = None,
    tol: Annotated[float | None, typer.Option(min=0, help="map, svi: when to stop.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Fit a factorisation to a data file, and save its posterior.

    Options whose help begins with the name of a method belong to that method.

    Exit status 0 when the fit has converged, 1 when it has not, 2 after an error, and 130 when it
    was interrupted. With 1 the result is saved. With 130 the draws so far are saved, if any.
    """
    require_target(out, RESULTS)
    cli_data.require_rank(rank, reference, "fit")
    options = {
        "--warmup": ("num_warmup", warmup),
        "--samples": ("num_samples", samples),
        "--chains": ("num_chains", chains),
        "--min-ess": ("min_ess", min_ess),
        "--kernel": ("kernel", kernel),
        "--algorithm": ("algorithm", algorithm),
        "--steps": ("num_steps", steps),
        "--solver": ("solver", solver),
        "--init": ("init", init),
        "--starts": ("n_init", starts),
        "--max-iter": ("max_iter", max_iter),
        "--tol": ("tol", tol),
    }
    record = _method(method, options)
    priors = as_prior(prior_w, "--prior-w"), as_prior(prior_h, "--prior-h")
    as_likelihood(likelihood)  # refuses an unknown name before files are read
    layout = cli_data.Layout(
        names, header, columns, separator, decimal, layer, transpose, read_budget
    )
    known = layout.read_known(sigma, exposure)
    noise = cli_data.likelihoods_of(likelihood, known)[likelihood]
    model = NMF(rank, noise, *priors, H=layout.read_reference(reference))
    say = _silent if quiet else typer.echo
    V = _read(layout, data, model, record, say)
    progress = sys.stderr.isatty() and not quiet
    result = fitting.fit_silently(V, model, record, seed=seed, progress=progress)
    endings.warn_of_empty(result)
    save_or_rescue(result, out)
    say(f"{summary_of(result)}\n\n{result.message}\nSaved to {out}")
    _exit_with_status(result)


def _silent(text: str) -> None:
    """Print nothing."""


def _read(
    layout: cli_data.Layout, path: Path, model: NMF, method: Any, say: Callable[[str], None]
) -> AnyMatrix:
    """Read the data in the storage that the method wants, and say what they are."""
    table = layout.read(path)
    V = fitting.matrix_for(table, model, method)
    missing = V.n_rows * V.n_columns - V.n_observed
    say(f"{path}: {V.n_rows} rows x {V.n_columns} columns, missing cells: {missing}")
    say(f"{files.describe(table)}\n")
    return V


def _exit_with_status(result: Fit) -> None:
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not result.converged:
        raise typer.Exit(NOT_CONVERGED)


def _method(name: str, options: dict[str, tuple[str, Any]]) -> Any:
    """Return the method with the options that were given, or refuse those of another method."""
    as_method(name)  # refuses an unknown name
    given = {flag: pair for flag, pair in options.items() if pair[1] is not None}
    names = {other: {field.name for field in fields(cls)} for other, cls in METHODS.items()}
    for flag, (field, _) in given.items():
        if field not in names[name]:
            owners = " or ".join(other for other in names if field in names[other])
            raise ValueError(f"{flag} belongs to --method {owners}, not to --method {name}")
    return METHODS[name](**dict(given.values()))
