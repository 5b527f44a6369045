"""report: everything that is known about a fit, or of a sweep over ranks, on one page."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bayesnmf.comparison.modes import Modes, modes
from bayesnmf.posterior.output_files import PAGES, replacing, require_target
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.checks import PredictiveChecks, ppc
from bayesnmf.rank.result import RankSelection
from bayesnmf.reporting import factors, sections
from bayesnmf.reporting.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable


def report(
    result: Fit | RankSelection,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    checks: PredictiveChecks | None = None,
    comparison: pd.DataFrame | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write one HTML page about a fit, or about a sweep over ranks and its best fit.

    The page needs no network and no script: figures and styles are inside. It holds the model,
    a summary of the data, convergence, components and loadings with 90 % intervals, and
    predictive checks; of chains in several modes, each mode; of a sweep, the choice of the rank
    first. Of a MAP estimate it says what is absent.

    Parameters
    ----------
    result : Fit or RankSelection
    path : path
        File to write; its name ends in .html.
    title : str, optional
        Heading. None: one that names the model and the size of the data.
    checks : PredictiveChecks, optional
        Result of :func:`bayesnmf.ppc`. None: they are made here, with 200 replicates.
    comparison : DataFrame, optional
        Result of :func:`bayesnmf.compare`, to be shown.
    seed : int, default 0
        For the predictive checks.
    progress : bool, default True
        Whether the predictive checks show a progress bar, when they take more than a second.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        When the name does not end in .html.
    FileNotFoundError
        When there is no such folder.
    TypeError
        For a result that is neither a fit nor a sweep.

    Examples
    --------
    >>> import bayesnmf as bn, tempfile
    >>> V, _, _ = bn.datasets.make_nmf(6, 5, 1, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1), "map", progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(fit, folder + "/report.html", checks=bn.ppc(fit, num_samples=20)).name
    'report.html'
    """
    path = Path(path)
    require_target(path, PAGES, "cannot write")
    if not isinstance(result, (Fit, RankSelection)):
        raise TypeError(
            f"a report is made of a Fit or a RankSelection, not of {type(result).__name__}"
        )
    fit = result.best_fit if isinstance(result, RankSelection) else result
    page = Page(_title(fit) if title is None else title)
    page.footer = f"Written by bayesnmf {fit.tree.attrs.get('bayesnmf_version', '')}".strip() + "."
    if isinstance(result, RankSelection):
        _add_rank(page, result)
    _add_fit(page, fit, checks, seed, progress)
    if comparison is not None:
        sections.add_comparison(page, comparison)
    with replacing(path) as private:
        private.write_text(page.html(), encoding="utf-8")
    return path


def _title(fit: Fit) -> str:
    sizes, model = fit.tree["posterior"].sizes, fit.model
    name = getattr(getattr(model, "likelihood", None), "name", getattr(model, "name", ""))
    what = f"{name.replace('_', ' ')} factorisation".strip().capitalize()
    return (
        f"{what} of {sizes['row']} x {sizes['column']} cells into {sizes['component']} "
        f"component{'s' if sizes['component'] > 1 else ''}"
    )


def _add_rank(page: Page, selection: RankSelection) -> None:
    page.section("Choice of the rank")
    page.say(selection.message, "verdict")
    table = selection.table.dropna(axis=1, how="all")
    if "converged" in table:
        table = table.assign(converged=table["converged"].map(lambda x: "yes" if x else "no"))
    marks = ["chosen" if rank == selection.best else "" for rank in table.index]
    page.table("Criteria of each rank", table.assign(verdict=marks), ["verdict"])
    verdicts = pd.DataFrame(
        {"rank": [str(rank or "none") for rank in selection.verdicts.values()]},
        pd.Index(list(selection.verdicts), name="criterion"),
    )
    page.table("The rank that each criterion alone would choose", verdicts)
    page.figure(
        selection.plot(),
        "Predictive density, residual check and stability against the number of components.",
    )
    page.say(f"What follows is the fit of rank {selection.best}.")


def _add_fit(
    page: Page, fit: Fit, checks: PredictiveChecks | None, seed: int, progress: bool
) -> None:
    sections.add_model(page, fit)
    sections.add_data(page, fit)
    sections.add_convergence(page, fit)
    found = modes(fit)
    if len(found) > 1:
        _add_modes(page, found)
    else:
        factors.add_components(page, fit)
        factors.add_loadings(page, fit)
    made = _attempt(lambda: ppc(fit, seed=seed, progress=progress)) if checks is None else checks
    sections.add_checks(page, made)


def _add_modes(page: Page, found: Modes) -> None:
    page.section("Modes")
    page.say(
        f"The chains are in {found.message}. They are different factorisations, so nothing is "
        "averaged over them: each follows on its own.",
        "verdict",
    )
    weights = _attempt(lambda: found.table)
    if isinstance(weights, str):
        page.say(f"Their weights could not be estimated: {weights}.")
    else:
        page.table("Modes, with their predictive (stacking) weights", weights)
    for number, fit in enumerate(found):
        factors.add_mode(page, fit, number)


def _attempt[T](make: Callable[[], T]) -> T | str:
    """Return what is made, or why it cannot be."""
    with warnings.catch_warnings():
        # The page itself says what these warn of: modes, and bad Pareto k.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return make()
        except (ValueError, MemoryError) as error:
            return str(error).rstrip(".")
