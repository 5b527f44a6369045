"""compare: which model predicts these data best, by how much, and how surely."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesnmf.comparison.comparable import (
    common_measure,
    require_comparable,
    require_pointwise,
    require_same_data,
)
from bayesnmf.comparison.estimates import Task
from bayesnmf.comparison.folds import Scheme
from bayesnmf.comparison.kfold import kfold_of_fit
from bayesnmf.comparison.loo import loo
from bayesnmf.comparison.waic import waic
from bayesnmf.model import Measure
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import DELAY, showing
from bayesnmf.workers import require_executor

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData


type Criterion = Literal["loo", "waic", "kfold"]


@dataclass(frozen=True)
class Scoring:
    """How the fits of one comparison are scored; see :func:`compare`."""

    criterion: Criterion
    task: Task
    measure: Measure | None
    escalate: bool
    n_folds: int
    scheme: Scheme
    executor: Executor | None
    seed: int
    progress: bool

    def score(self, fit: Fit) -> ELPDData:
        """Return the estimate of a fit by the criterion."""
        shared: dict[str, Any] = {"measure": self.measure, "progress": self.progress}
        if self.criterion == "waic":
            return waic(fit, **shared)
        shared |= {"executor": self.executor, "seed": self.seed}
        if self.criterion == "loo":
            return loo(fit, task=self.task, escalate=self.escalate, **shared)
        return kfold_of_fit(fit, self.n_folds, scheme=self.scheme, **shared)


def compare(
    models: Mapping[str, Fit | ELPDData],
    criterion: Criterion = "loo",
    *,
    task: Task = "cell",
    escalate: bool = False,
    reference: str | None = None,
    n_folds: int = 5,
    scheme: Scheme = "cells",
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare models by the density that they give to data they have not seen.

    All numbers refer to one base measure: as soon as one model describes counts, continuous
    ones are scored by the probability of the unit interval around each count.

    Parameters
    ----------
    models : mapping of str to Fit or ELPDData
        Two or more, by name: fits by MCMC or SVI of the same data, or what :func:`bayesnmf.loo`,
        :func:`bayesnmf.waic` or :func:`bayesnmf.kfold` returned.
    criterion : {"loo", "waic", "kfold"}, default "loo"
        How fits are scored. "kfold" refits each of them `n_folds` times.
    task : {"cell", "row"}, default "cell"
        What "loo" leaves out; see :func:`bayesnmf.loo`. "kfold" takes it from `scheme`.
    escalate : bool, default False
        Whether "loo" replaces unreliable estimates with more expensive ones, up to five refits a
        model; as for :func:`bayesnmf.loo`.
    reference : str, optional
        Model that the others are measured against; None: the best one.
    n_folds, scheme :
        As for :func:`bayesnmf.kfold`.
    executor : concurrent.futures.Executor, optional
        Where refits run.
    seed : int, default 0
        Seed of all that is drawn; the folds of "kfold" are the same for every model.
    progress : bool, default True
        Whether to show progress bars, of work that takes more than a second.

    Returns
    -------
    DataFrame
        One row a model, best first, with ArviZ's columns: ``rank``, ``elpd_diff`` and its
        standard error ``dse``, ``p_worse``, ``diag_diff``, ``diag_elpd``, ``p`` (effective number
        of parameters), ``elpd``, ``se``, ``weight`` (stacking). Then ``bad_k`` (share of cells
        whose Pareto k is bad; for WAIC, whose variance is), ``estimator`` (where
        the numbers came from), ``fit_seconds``, ``seconds`` (of the scoring) and ``note``.
        ``attrs`` has the criterion, the task and the measure.

    Raises
    ------
    ValueError
        For fewer than two models; a MAP estimate; fits of different data, masks or shapes; data that a
        likelihood gives no density, as Poisson gives none to fractions; a likelihood that gives
        counts no mass beside one that describes counts; results of different tasks, measures or
        criteria. The message begins with the model's name.

    Warns
    -----
    UserWarning
        As :func:`bayesnmf.loo` and :func:`bayesnmf.waic`.

    Notes
    -----
    By default no model is fitted behind your back: unreliable estimates are counted in ``bad_k``
    and warned of, and ``escalate=True`` replaces them, at the cost of minutes.

    Ctrl-C ends all of it, also where it meets a refit that could keep the draws made so far.

    A difference of less than two standard errors, or than 4, decides nothing. LOO and WAIC lean
    towards too many components: choose a rank by "kfold".

    References
    ----------
    Yao, Y., Vehtari, A., Simpson, D. and Gelman, A. (2018). Using stacking to average Bayesian
    predictive distributions. Bayesian Analysis 13, 917-1007. doi:10.1214/17-BA1091

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> svi = bn.SVI(num_steps=2000, num_samples=1000)
    >>> fits = {name: bn.fit(V, bn.NMF(1, name), svi, progress=False)
    ...         for name in ("poisson", "gaussian")}
    >>> table = compare(fits)
    >>> float(table["elpd_diff"].iloc[0]), table.attrs["measure"]
    (0.0, 'counting')
    """
    _require_models(models, criterion, reference)
    require_executor(executor)
    fits = {name: model for name, model in models.items() if isinstance(model, Fit)}
    measure = common_measure(fits)
    require_same_data(fits)
    scoring = Scoring(criterion, task, measure, escalate, n_folds, scheme, executor, seed, progress)
    results = {}
    with showing(progress, delay=DELAY) as shown:
        for done, (name, model) in enumerate(models.items()):
            shown.stage(str(name), len(models), done)
            if not isinstance(model, Fit):
                results[name] = require_pointwise(name, model)
                continue
            try:
                results[name] = scoring.score(model)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    require_comparable(results)
    return _ranked(results, reference)


def _require_models(models: Mapping[str, object], criterion: str, reference: str | None) -> None:
    if not isinstance(models, Mapping) or len(models) < 2:
        raise ValueError('compare takes two models or more, as {"name": fit, ...}')
    if criterion not in ("loo", "waic", "kfold"):
        raise ValueError(f"unknown criterion {criterion!r}; valid: loo, waic, kfold")
    if reference is not None and reference not in models:
        raise ValueError(f"reference {reference!r} is none of the models: {', '.join(models)}")


def _ranked(results: Mapping[str, ELPDData], reference: str | None) -> pd.DataFrame:
    """Return the table of results, best first."""
    from arviz_stats import compare as arviz_compare

    # ArviZ weighs exp(elpd_i), which under- or overflows for rows and for densities far from 1;
    # weights and differences stay as they are when a constant is taken off each cell.
    pointwise = {name: np.ravel(result.elpd_i) for name, result in results.items()}
    best = np.max(list(pointwise.values()), axis=0)
    shifted = {}
    for name, result in results.items():
        shifted[name] = copy.copy(result)
        shifted[name].elpd_i = result.elpd_i.copy(
            data=(pointwise[name] - best).reshape(result.elpd_i.shape)
        )
        shifted[name].elpd = float(np.sum(pointwise[name] - best))
    table = arviz_compare(shifted, reference=reference, round_to="none")
    names = list(table.index)
    table["elpd"] = [results[name].elpd for name in names]
    attrs = {name: results[name].elpd_i.attrs for name in names}
    table["bad_k"] = [attrs[name].get("bad_k", np.nan) for name in names]
    table["estimator"] = [_estimators(results[name]) for name in names]
    for column in ("fit_seconds", "seconds"):
        table[column] = [attrs[name].get(column, np.nan) for name in names]
    table["note"] = [_reservations(attrs[name]) for name in names]
    first = results[names[0]]
    table.attrs = {
        "criterion": first.kind,
        **{key: attrs[names[0]].get(key, "") for key in ("task", "measure")},
    }
    return table


def _estimators(result: ELPDData) -> str:
    """Say where a result's numbers came from, with shares where there are several sources."""
    if "estimator" not in result.elpd_i.coords:
        return str(result.kind)
    names, counts = np.unique(result.elpd_i["estimator"].astype(str), return_counts=True)
    if len(names) == 1:
        return str(names[0])
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{names[i]} {counts[i] / counts.sum():.2%}" for i in order)


def _reservations(attrs: Mapping[str, Any]) -> str:
    """Say what makes a result less reliable than its standard error says."""
    notes = []
    if attrs.get("method") == "svi":
        notes.append("draws of a variational approximation")
    elif attrs.get("n_chains") == 1:
        notes.append("one chain, whose convergence cannot be judged")
    if attrs.get("n_modes", 1) > 1:
        notes.append(f"chains in {attrs['n_modes']} modes, each weighed alike")
    for what in ("folds", "refits"):
        converged, total = attrs.get(f"converged_{what}", 0), attrs.get(f"n_{what}", 0)
        if converged < total:
            notes.append(f"{converged} of {total} {what} converged")
    return "; ".join(notes)
