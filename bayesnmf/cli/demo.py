"""The command that shows what the package does: real counts in, components with intervals out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import pandas as pd
import typer
import xarray as xr

from bayesnmf import datasets, plots
from bayesnmf.comparison import compare as comparison
from bayesnmf.methods import MCMC
from bayesnmf.model import NMF
from bayesnmf.posterior.checks import check
from bayesnmf.posterior.fitting import fit_silently
from bayesnmf.posterior.output_files import IMAGES, require_target, write_figure
from bayesnmf.posterior.result import Fit
from bayesnmf.rank.result import RankSelection
from bayesnmf.rank.select import select_rank
from bayesnmf.reporting.report import report

EXAMPLES = "\b\nExample:\n  bayesnmf demo --out signatures.png"


N_COMPONENTS = 4


METHOD = MCMC()


#: Shorter, for the second likelihood: the difference is many standard errors.
SHORTER = MCMC(num_warmup=500, num_samples=500)


#: Ranks that are tried, and replicates of the residual check.
RANKS, N_REPLICATES = range(1, 6), 39


#: Leading channels that are named of each component, and the probability of every interval.
N_LEADING, CI_PROB = 5, 0.9


INTRODUCTION = """\
Mutational signatures of breast cancer

Data    {n_rows} tumours x {n_columns} channels, {total:,.0f} mutations (Nik-Zainal et al. 2012). A channel is a
        mutation with its two neighbours: T[C>G]A is a C between T and A that became G.
Model   V ~ Poisson(W H) with gamma priors. Each of the {n_components} components is a process that mutates
        DNA. Its row of H is its signature: shares of the channels, which sum to 1. Its column
        of W is the number of mutations that it caused in each tumour; their sum is its mass.
Method  MCMC: {num_chains} chains of {num_samples:,} draws, after {num_warmup:,} steps of warm-up each."""


READING = """\
An interval holds {percent} of the posterior: factorisations that explain the counts about equally
well are all in it. Known signatures to look for: C>T before a G is the decay of methylated
cytosine, which continues throughout life; C>T and C>G after a T are the work of APOBEC enzymes.

Have the chains found the same posterior? R-hat near 1 says that they agree. ESS is the number of
independent draws that carry the same information.
{verdict}"""


def run_demo(
    out: Annotated[Path, typer.Option(help="Image to write.")] = Path("bayesnmf-demo.png"),
) -> None:
    """Find mutational signatures in 21 breast cancers.

    Takes a minute or two: a fit, a comparison of likelihoods and the choice of a rank, on real
    data that the package contains. Writes an image of the components and, beside it, a report.
    """
    require_target(out, IMAGES)
    begin, progress = perf_counter(), sys.stderr.isatty()

    def step(number: int, text: str) -> None:
        at = f"[{perf_counter() - begin:.0f} s] " if number > 1 else ""
        typer.echo(f"\n{at}Step {number} of 3: {text}\n")
        sys.stdout.flush()  # shows a newcomer that the program works

    typer.echo(introduction())
    step(1, f"draw from the posterior of {N_COMPONENTS} components.")
    result = fit_signatures(progress=progress)
    typer.echo(components_text(result))
    step(2, "is Poisson noise right? Ask which likelihood predicts cells that are left out.")
    table = compare_noise(result, progress=progress)
    typer.echo(verdict(table))
    step(3, f"how many components? Try {RANKS[0]} to {RANKS[-1]} with MAP estimates, quickly.")
    typer.echo(choose_rank(progress=progress))
    write_figure(plots.components(result), out)
    page = report(result, out.with_suffix(".html"), comparison=table, progress=progress)
    typer.echo(
        f"\nPlot of the components: {out}\nReport, for a browser: {page}\n"
        f"Time in all: {perf_counter() - begin:.0f} s"
    )


def introduction() -> str:
    """Say what the data, the model and the method are."""
    V = datasets.breast21()
    return INTRODUCTION.format(
        n_rows=V.shape[0],
        n_columns=V.shape[1],
        total=V.to_numpy().sum(),
        n_components=N_COMPONENTS,
        **vars(METHOD),
    )


def fit_signatures(*, progress: bool = False) -> Fit:
    """Fit the embedded breast-cancer counts by MCMC, with a fixed seed.

    Parameters
    ----------
    progress : bool, default False
        Whether to show progress bars.

    Returns
    -------
    Fit
        Its rows are tumours and its columns are channels.
    """
    return fit_silently(datasets.breast21(), NMF(N_COMPONENTS), METHOD, progress=progress)


def compare_noise(result: Fit, *, progress: bool = False) -> pd.DataFrame:
    """Compare the demonstration's fit with one under negative binomial noise.

    Parameters
    ----------
    result : Fit
        What :func:`fit_signatures` returned.
    progress : bool, default False

    Returns
    -------
    DataFrame
        Of :func:`bayesnmf.compare`. Bad Pareto k are reported, not refitted: that would take
        longer than everything else.
    """
    other = fit_silently(
        datasets.breast21(), NMF(N_COMPONENTS, "negative_binomial"), SHORTER, progress=progress
    )
    fits = {"poisson": result, "negative binomial": other}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of bad Pareto k, which the verdict states
        return comparison.compare(fits, escalate=False, progress=progress)


def verdict(table: pd.DataFrame) -> str:
    """Write a comparison as a table and a sentence."""
    best, other = table.index[:2]
    row = table.loc[other]
    shown = table[["elpd", "elpd_diff", "dse", "bad_k"]].to_string(float_format="{:.4g}".format)
    return (
        f"{shown}\n\nThe {best} likelihood predicts better: the log density of cells left out "
        f"(elpd) is\nhigher by {-row['elpd_diff']:,.0f}, with a standard error of "
        f"{row['dse']:,.0f}. Up to {table['bad_k'].max():.1%} of the cells have a bad Pareto\nk, "
        "which makes their estimates unreliable: by default bn.compare replaces those, in minutes."
    )


def choose_rank(*, progress: bool = False) -> RankSelection:
    """Choose the number of components, under the likelihood that the comparison prefers."""
    V = datasets.breast21()
    with ThreadPoolExecutor() as threads:
        return select_rank(
            V,
            RANKS,
            "negative_binomial",
            n_replicates=N_REPLICATES,
            executor=threads,
            progress=progress,
        )


def components_text(result: Fit) -> str:
    """Write each component's mass and leading channels with intervals, and the convergence.

    Parameters
    ----------
    result : Fit
        What :func:`fit_signatures` returned.

    Returns
    -------
    str
        One block of lines a component, how to read them, and the verdict of :func:`check`.
    """
    draws = result.tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    percent = f"{100 * CI_PROB:g} %"
    lines = [f"{'':28}{'mean':>7}   {percent} interval"]
    for component, share in result.summary()["share"].items():
        W, H = (draws[name].sel(component=component) for name in ("W", "H"))
        lines += [
            f"component {component}: {100 * share:.0f} % of all mutations",
            _line("mutations", W.sum("row"), plots.format_number),
            *(_line(f"of them in {name}", x, plots.format_number) for name, x in _leading(W, 1)),
            *(_line(f"share of {name}", x, "{:.3f}".format) for name, x in _leading(H, N_LEADING)),
        ]
    return "\n".join([*lines, "", READING.format(percent=percent, verdict=check(result))])


def _leading(factor: xr.DataArray, number: int) -> list[tuple[str, xr.DataArray]]:
    """Return names and draws of the entries with the largest posterior means."""
    names = factor[factor.dims[0]].to_numpy()
    order = np.argsort(-factor.mean("sample").to_numpy(), kind="stable")
    return [(str(names[i]), factor[i]) for i in order[:number]]


def _line(what: str, draws: xr.DataArray, write: Callable[[float], str]) -> str:
    low, high = np.quantile(draws, (0.5 - CI_PROB / 2, 0.5 + CI_PROB / 2))
    return f"    {what:<24}{write(float(draws.mean())):>7}   {write(low)} to {write(high)}"
