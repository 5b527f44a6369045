"""The command that chooses a rank."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bayesnmf.cli import data as cli_data
from bayesnmf.cli.data import listed
from bayesnmf.data import files
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.likelihoods import as_likelihood
from bayesnmf.methods import METHODS
from bayesnmf.posterior.output_files import (
    IMAGES,
    RESULTS,
    require_target,
    save_or_rescue,
    write_figure,
)
from bayesnmf.priors import REGISTRY as PRIORS
from bayesnmf.rank.result import RankSelection
from bayesnmf.rank.select import select_rank

EXAMPLES = (
    "\b\nExamples:\n"
    "  bayesnmf rank counts.csv --ranks 1:10\n"
    "  bayesnmf rank counts.csv --ranks auto\n"
    "  bayesnmf rank counts.csv --ranks 2,4,8 --likelihood negative_binomial --plot ranks.png\n"
    "  bayesnmf rank counts.csv --ranks 1:20 --out sweep.nc --resume sweep.nc"
)


def run_rank(
    data: cli_data.Data,
    ranks: Annotated[
        str | None,
        typer.Option(
            help="FIRST:LAST, both tried; numbers separated by commas; or auto: ARD finds the last.",
            show_default="1:10",
        ),
    ] = None,
    likelihood: Annotated[str, typer.Option(help=f"{listed(LIKELIHOODS)}.")] = "poisson",
    method: Annotated[str, typer.Option(help=f"{listed(METHODS)}.")] = "map",
    prior_w: Annotated[
        str, typer.Option(help=f"{listed(PRIORS)}; not flat, nor ard by map.")
    ] = "gamma",
    prior_h: Annotated[str, typer.Option(help="As --prior-w.")] = "gamma",
    criterion: Annotated[
        str, typer.Option(help="kfold or loo; auto: kfold for map, loo for svi and mcmc.")
    ] = "auto",
    reference: cli_data.Reference = None,
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
    folds: Annotated[int, typer.Option(min=2, help="Folds of kfold.")] = 5,
    replicates: Annotated[int, typer.Option(min=19, help="Replicates of the residual check.")] = 99,
    seed: cli_data.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Sweep to write: .nc or .zarr.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Earlier sweep whose ranks are not fitted again.")
    ] = None,
) -> None:
    """Choose the number of components by predictive checks.

    The smallest rank is chosen that leaves no structure in the residuals and predicts cells left
    out as well as the best rank does. Ctrl-C keeps the ranks that are finished; with --out, each
    rank is saved as soon as it is finished. With --reference a rank is the number of free
    components beside the known ones.
    """
    _require_targets(out, plot)
    asked = None if ranks is None else parse_ranks(ranks)
    as_likelihood(likelihood)  # refuses an unknown name before files are read
    layout = cli_data.Layout(
        names, header, columns, separator, decimal, layer, transpose, read_budget
    )
    known = layout.read_known(sigma, exposure)
    noise = cli_data.likelihoods_of(likelihood, known)[likelihood]
    V = layout.read(data)
    typer.echo(f"{data}: {files.describe(V)}\n")
    selection = select_rank(
        V,
        asked,
        noise,
        method,  # type: ignore[arg-type]  # select_rank refuses what is unknown
        prior_W=prior_w,
        prior_H=prior_h,
        H=layout.read_reference(reference),
        criterion=criterion,  # type: ignore[arg-type]
        n_folds=folds,
        n_replicates=replicates,
        resume_from=resume,
        save_to=out,
        seed=seed,
        progress=sys.stderr.isatty(),
    )
    typer.echo(selection)
    _write(selection, out, plot)


def _require_targets(out: Path | None, plot: Path | None) -> None:
    for target, endings in ((out, RESULTS), (plot, IMAGES)):
        if target is not None:
            require_target(target, endings)


def _write(selection: RankSelection, out: Path | None, plot: Path | None) -> None:
    if out is not None:
        # Again at the end: while it runs, a sweep that cannot save only warns.
        save_or_rescue(selection, out)
        typer.echo(f"Saved to {out}")
    if plot is not None:
        write_figure(selection.plot(), plot)
        typer.echo(f"Figure: {plot}")


def parse_ranks(text: str) -> list[int] | Literal["auto"]:
    """Read ranks as they are written on the command line.

    Raises
    ------
    ValueError
        When the text is neither a rising range nor a list of integers.

    Examples
    --------
    >>> parse_ranks("2:5"), parse_ranks("1,4"), parse_ranks("auto")
    ([2, 3, 4, 5], [1, 4], 'auto')
    """
    if text == "auto":
        return "auto"
    try:
        if ":" not in text:
            return [int(part) for part in text.split(",")]
        first, last = (int(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(
            f"--ranks {text}: write FIRST:LAST, as 1:10, or numbers separated by commas, as 2,4,8"
        ) from None
    if last < first:
        raise ValueError(f"--ranks {text} is empty: the last rank is below the first")
    return list(range(first, last + 1))
