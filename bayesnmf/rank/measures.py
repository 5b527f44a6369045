"""What is measured at one rank, whichever method fits it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from bayesnmf.comparison import kfold as crossvalidation
from bayesnmf.comparison import loo as criteria
from bayesnmf.comparison.folds import make_folds
from bayesnmf.comparison.waic import waic
from bayesnmf.methods.matching import similarity
from bayesnmf.posterior import fitting
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.checks import ppc
from bayesnmf.progress import Progress
from bayesnmf.rank.settings import Settings
from bayesnmf.workers import run_all

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData


#: Columns of the table that are measured rank by rank; what a method lacks stays NaN.
MEASURED = (
    "elpd",
    "se",
    "waic",
    "bad_k",
    "residual_p",
    "dispersion",
    "dispersion_p",
    "elbo",
    "stability",
    "ard",
    "converged",
    "seconds",
)


@dataclass(frozen=True)
class Measures:
    """Everything that is known of one rank.

    Parameters
    ----------
    fit : Fit
    elpd_i : ndarray of shape (n_cells,)
        Log predictive density of each observed cell, in row order; NaN where there is none.
    values : dict of str to float
        By the names of :data:`MEASURED`.
    note : str
        What could not be measured, and why.
    """

    fit: Fit
    elpd_i: np.ndarray
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""


class Task[T](Protocol):
    """Something that runs here or, through an executor, elsewhere."""

    def run(self) -> T:
        """Return the result."""


def run_tasks[T](tasks: Sequence[Task[T]], executor: Executor | None) -> list[T]:
    """Run tasks, here or through an executor, and return the results in order."""
    return run_all(_run, tasks, executor)


def _run[T](task: Task[T]) -> T:
    return task.run()


def folds_of(settings: Settings) -> tuple[np.ndarray | None, str]:
    """Return the folds that every rank is judged on, or why there are none."""
    rng = np.random.default_rng(settings.seed)
    try:
        return make_folds(settings.matrix.observed, settings.n_folds, "cells", rng), ""
    except ValueError as error:
        return None, f"No elpd, for cells cannot be predicted from the others: {error}"


def summed(elpd_i: np.ndarray) -> dict[str, float]:
    """Return the sum of a pointwise density and its standard error."""
    n = elpd_i.size
    error = float(np.sqrt(n * np.var(elpd_i, ddof=1))) if n > 1 else 0.0
    return {"elpd": float(elpd_i.sum()), "se": error}


def measure_draws(settings: Settings, rank: int, progress: Progress) -> Measures:
    """Fit one rank by draws, and measure it."""
    model = settings.at(rank)
    fit = fitting.fit_silently(
        settings.matrix, model, settings.method, seed=settings.seed, progress=progress
    )
    progress.stage("predictive densities", 1)
    values: dict[str, float] = {
        "converged": float(fit.converged),
        "elbo": float(fit.tree.attrs.get("elbo", np.nan)),
        "stability": _agreement(fit),
    }
    with warnings.catch_warnings():
        # The table holds the share of bad k; a line for each rank would say no more.
        warnings.simplefilter("ignore", UserWarning)
        values["waic"] = float(waic(fit, progress=False).elpd)
        held, note = _held_out(settings, fit, rank)
    elpd_i = np.full(settings.matrix.n_observed, np.nan)
    if held is not None:
        elpd_i = np.ravel(held.elpd_i.to_numpy())
        values["bad_k"] = float(held.elpd_i.attrs["bad_k"])
    progress.stage("predictive checks", 1)
    checks = ppc(fit, num_samples=settings.n_replicates, seed=settings.seed, progress=False)
    values |= {
        "residual_p": float(checks.table["p"]["singular value 1"]),
        "dispersion": float(checks.table["observed"]["dispersion"]),
        "dispersion_p": float(checks.table["p"]["dispersion"]),
    }
    return Measures(fit, elpd_i, summed(elpd_i) | values, note)


def _held_out(settings: Settings, fit: Fit, rank: int) -> tuple[ELPDData | None, str]:
    if settings.criterion == "loo":
        return criteria.loo(fit, seed=settings.seed, progress=False), ""
    folds, note = folds_of(settings)
    if folds is None:
        return None, note
    return crossvalidation.kfold(
        settings.matrix.frame(),
        settings.unresolved_at(rank),
        settings.method,
        settings.n_folds,
        seed=settings.seed,
        executor=settings.executor,
        progress=False,
    ), ""


def _agreement(fit: Fit) -> float:
    """Return how alike chains find the components: the mean cosine of their average H to all.

    NaN for one chain.
    """
    H = fit.tree["posterior/H"].mean("draw").to_numpy()
    if len(H) == 1:
        return np.nan
    return similarity(H, H.mean(axis=0))


def precision(settings: Settings) -> Any:
    """Return the context in which data of this precision are computed with."""
    return jax.enable_x64(settings.matrix.dtype == np.float64)
