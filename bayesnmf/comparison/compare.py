"""compare: which model predicts these data best, by how much, and how surely."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesnmf.comparison import loo as criteria
from bayesnmf.comparison.folds import Scheme
from bayesnmf.comparison.kfold import kfold_of_fit
from bayesnmf.comparison.pointwise import Measure, Pointwise
from bayesnmf.comparison.waic import waic
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.posterior.result import Fit
from bayesnmf.workers import require_executor

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData

    from bayesnmf.comparison.records import Task


type Criterion = Literal["loo", "waic", "kfold"]


#: What two results must share, and how to say it where they do not.
SHARED = {
    "task": "leave out different things ({}): use one task for all",
    "measure": "refer to different measures ({}): give bn.loo measure='counting' for all, if the "
    "data are counts",
    "shape": "are of data of different shapes ({})",
    "mask": "are of data with different missing cells: fit all models to the same cells",
    "values": "are of different data: fit all models to the same values, or give bn.loo the "
    "log_jacobian of what was rescaled",
    "scheme": "have different schemes of folds ({}): use one for all",
}


def compare(
    models: Mapping[str, Fit | ELPDData],
    ic: Criterion = "loo",
    *,
    task: Task = "cell",
    escalate: bool = True,
    reference: str | None = None,
    k: int = 5,
    scheme: Scheme = "cells",
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Compare models by the density that they give to data they have not seen.

    All numbers refer to one base measure: as soon as one model describes counts, continuous
    ones are scored by the probability of the unit interval around each count.

    Parameters
    ----------
    models : mapping of str to Fit or ELPDData
        Two or more, by name: fits by MCMC or SVI of the same data, or what :func:`bayesnmf.loo`,
        :func:`bayesnmf.waic` or :func:`bayesnmf.kfold` returned.
    ic : {"loo", "waic", "kfold"}, default "loo"
        How fits are scored. "kfold" refits each of them `k` times.
    task : {"cell", "row"}, default "cell"
        What "loo" leaves out; see :func:`bayesnmf.loo`. "kfold" takes it from `scheme`.
    escalate : bool, default True
        Whether "loo" replaces bad estimates by dearer ones, up to five refits a model.
    reference : str, optional
        Model that the others are measured against; None: the best one.
    k, scheme :
        As for :func:`bayesnmf.kfold`.
    executor : concurrent.futures.Executor, optional
        Where refits run.
    seed : int, default 0
        Seed of all that is drawn; the folds of "kfold" are the same for every model.
    progress : bool, default False
        Whether "kfold" shows progress bars.

    Returns
    -------
    DataFrame
        One row a model, best first, with ArviZ's columns: ``rank``, ``elpd_diff`` and its
        standard error ``dse``, ``p_worse``, ``diag_diff``, ``diag_elpd``, ``p`` (effective number
        of parameters), ``elpd``, ``se``, ``weight`` (stacking). Then ``bad_k`` (share of cells
        whose Pareto k is bad after escalation; for WAIC, whose variance is), ``estimator`` (where
        the numbers came from), ``fit_seconds``, ``seconds`` (of the scoring) and ``note``.
        ``attrs`` has the ic, the task and the measure.

    Raises
    ------
    ValueError
        For fewer than two models; a mode; fits of different data, masks or shapes; data that a
        likelihood gives no density, as Poisson gives none to fractions; a likelihood that gives
        counts no mass beside one that describes counts; results of different tasks, measures or
        criteria. The message begins with the model's name.

    Warns
    -----
    UserWarning
        As :func:`bayesnmf.loo` and :func:`bayesnmf.waic`.

    Notes
    -----
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
    >>> table = compare(fits, escalate=False)
    >>> float(table["elpd_diff"].iloc[0]), table.attrs["measure"]
    (0.0, 'counting')
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise ValueError('compare takes two models or more, as {"name": fit, ...}')
    if ic not in ("loo", "waic", "kfold"):
        raise ValueError(f"unknown ic {ic!r}; valid: loo, waic, kfold")
    require_executor(executor)
    if reference is not None and reference not in models:
        raise ValueError(f"reference {reference!r} is none of the models: {', '.join(models)}")
    fits = {name: model for name, model in models.items() if isinstance(model, Fit)}
    measure = _common_measure(fits)
    _require_same_data(fits)
    results = {}
    for name, model in models.items():
        if not isinstance(model, Fit):
            results[name] = _require_pointwise(name, model)
            continue
        try:
            if ic == "loo":
                results[name] = criteria.loo(
                    model,
                    task=task,
                    measure=measure,
                    escalate=escalate,
                    executor=executor,
                    seed=seed,
                )
            elif ic == "waic":
                results[name] = waic(model, measure=measure)
            else:
                results[name] = kfold_of_fit(
                    model,
                    k,
                    scheme=scheme,
                    measure=measure,
                    executor=executor,
                    seed=seed,
                    progress=progress,
                )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    _require_comparable(results)
    return _table(results, reference)


def _require_same_data(fits: Mapping[str, Fit]) -> None:
    """Raise unless all fits saw the same values in the same cells."""
    first: tuple[str, tuple[Any, ...]] | None = None
    for name, fit in fits.items():
        cells = CellBlocks(fit.matrix)
        ours = cells.shape, *cells.digests()
        if first is None:
            first = name, ours
            continue
        other, theirs = first
        for key, a, b in zip(("shape", "mask", "values"), theirs, ours, strict=True):
            if a != b:
                sentence = SHARED[key].format(f"{a}, {b}")
                raise ValueError(f"{other} and {name} cannot be compared: they {sentence}")


def _common_measure(fits: Mapping[str, Fit]) -> Measure | None:
    """Return the measure for all: counts as soon as one model describes counts."""
    measures = set()
    for name, fit in fits.items():
        try:
            measures.add(Pointwise(fit).own_measure)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return "counting" if measures == {"counting", "lebesgue"} else None


def _require_pointwise(name: str, result: Any) -> ELPDData:
    from arviz_stats.utils import ELPDData

    if not isinstance(result, ELPDData):
        raise TypeError(f"{name} is neither a bn.Fit nor an ELPDData, but {type(result).__name__}")
    if result.elpd_i is None:
        raise ValueError(f"{name} has no pointwise values: compute it with pointwise=True")
    return result


def _require_comparable(results: Mapping[str, ELPDData]) -> None:
    """Raise unless all results are of one criterion, task, measure and data set."""
    (first, ours), *others = results.items()
    for name, theirs in others:
        both = f"{first} and {name} cannot be compared: they"
        if ours.kind != theirs.kind:
            raise ValueError(
                f"{both} are estimates of different kinds ({ours.kind}, {theirs.kind}): score all "
                "by one"
            )
        a, b = ours.elpd_i.attrs, theirs.elpd_i.attrs
        for key, sentence in SHARED.items():
            # Rescaled data differ in value, and have said by how much.
            skip = key == "values" and (a.get("rescaled") or b.get("rescaled"))
            if key in a and key in b and a[key] != b[key] and not skip:
                raise ValueError(f"{both} {sentence.format(f'{a[key]}, {b[key]}')}")
        if ours.n_data_points != theirs.n_data_points:
            raise ValueError(f"{both} have {ours.n_data_points} and {theirs.n_data_points} values")


def _table(results: Mapping[str, ELPDData], reference: str | None) -> pd.DataFrame:
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
    table["note"] = [_note(attrs[name]) for name in names]
    first = results[names[0]]
    table.attrs = {
        "ic": first.kind,
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


def _note(attrs: Mapping[str, Any]) -> str:
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
