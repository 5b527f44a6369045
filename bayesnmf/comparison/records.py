"""Estimates of predictive density, cell by cell or row by row, and ArviZ's records of them.

Imported where it is used, since it imports ``arviz_stats``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData, ELPDDataLOO, ELPDDataLOOKFold

from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.posterior.result import Fit

type Task = Literal["cell", "row"]


#: Number of cells, or rows, that a warning names.
MAX_NAMED = 3


@dataclass(kw_only=True, repr=False)
class ELPDDataWAIC(ELPDData):
    """Widely applicable information criterion, as a record that ArviZ's functions take.

    Attributes
    ----------
    kind : str
        "waic".
    p_waic_i : DataArray
        Effective number of parameters by cell: the variance of its log density.

    Every other attribute is that of :class:`arviz_stats.ELPDData`.
    """

    _kind: ClassVar[str] = "waic"

    p_waic_i: Any = None


@dataclass
class Estimates:
    """Predictive densities of the units that a task leaves out, one at a time.

    Parameters
    ----------
    task : {"cell", "row"}
        What is left out.
    rows : ndarray of int of shape (n,)
        Position of each unit's row.
    columns : ndarray of int of shape (n,), or None
        Position of each cell's column; None where whole rows are left out.
    elpd, lppd : ndarray of shape (n,)
        Log density of each unit given the others, and given all data; NaN where it is not known.
    k : ndarray of shape (n,)
        Pareto shape of the estimate; 0 where it needs none.
    estimator : ndarray of str of shape (n,)
        Where each number came from.
    n_refits, converged_refits : int
        Refits that numbers came from, and how many of them converged.
    """

    task: Task
    rows: np.ndarray
    columns: np.ndarray | None
    elpd: np.ndarray
    lppd: np.ndarray
    k: np.ndarray
    estimator: np.ndarray
    n_refits: int = 0
    converged_refits: int = 0

    @classmethod
    def empty(cls, task: Task, observed: np.ndarray, estimator: str) -> Estimates:
        """Return estimates, all unknown, for the observed cells or for every row."""
        if task == "cell":
            rows, columns = np.nonzero(observed)
        else:
            rows, columns = np.arange(len(observed)), None
        unknown = np.full(len(rows), np.nan)
        return cls(
            task,
            rows,
            columns,
            unknown,
            unknown.copy(),
            np.zeros(len(rows)),
            np.full(len(rows), estimator, dtype=object),
        )

    def arrays(
        self, fit_names: Mapping[str, Any], **values: np.ndarray
    ) -> tuple[xr.DataArray, ...]:
        """Label values of the units: dimension "cell", or "row".

        Coordinates are held once for all, and text by reference: there may be 10**7 cells.
        """
        names = {dim: np.asarray(fit_names[dim]) for dim in ("row", "column")}
        for dim, labels in names.items():
            names[dim] = labels.astype(object) if labels.dtype.kind == "U" else labels
        dim = "row" if self.columns is None else "cell"
        # One value repeated takes no memory.
        source = np.broadcast_to(np.asarray(str(self.estimator[0])), self.estimator.shape)
        if (self.estimator != self.estimator[0]).any():
            source = self.estimator.astype(str)
        coords: dict[str, Any] = {"estimator": (dim, source)}
        if self.columns is None:
            coords["row"] = names["row"]
        else:
            coords["row"] = ("cell", names["row"][self.rows])
            coords["column"] = ("cell", names["column"][self.columns])
        together = xr.Dataset({name: (dim, x) for name, x in values.items()}, coords)
        return tuple(together[name] for name in values)


def describe(
    fit: Fit | None,
    cells: CellBlocks,
    *,
    task: Task,
    measure: str,
    rescaled: bool,
    seconds: float,
    likelihood: str,
) -> dict[str, Any]:
    """Return what decides whether two results can be compared, as attributes of ``elpd_i``."""
    mask, values = cells.digests()
    posterior = None if fit is None else fit.tree["posterior"].sizes
    return {
        "task": task,
        "measure": measure,
        "likelihood": likelihood,
        "shape": list(cells.shape),
        "mask": mask,
        "values": values,
        "rescaled": int(rescaled),
        "method": "" if fit is None else fit.method,
        "n_modes": 1 if fit is None else int(fit.chain_modes.max()) + 1,
        "n_chains": 0 if posterior is None else posterior["chain"],
        "fit_seconds": np.nan if fit is None else float(fit.tree.attrs.get("seconds", np.nan)),
        "seconds": seconds,
    }


def waic_record(
    estimates: Estimates,
    p_i: np.ndarray,
    names: Mapping[str, Any],
    n_draws: int,
    attrs: dict[str, Any],
    unreliable: bool,
) -> ELPDDataWAIC:
    """Return the record of WAIC, with the standard error of classic ArviZ (divisor n)."""
    elpd_i, p_waic_i = estimates.arrays(names, elpd_i=estimates.elpd, p_waic_i=p_i)
    elpd_i.attrs.update(attrs)
    n = elpd_i.size
    return ELPDDataWAIC(
        elpd=float(elpd_i.sum()),
        se=float(np.sqrt(n * np.var(estimates.elpd))),
        p=float(p_i.sum()),
        n_samples=n_draws,
        n_data_points=n,
        scale="log",
        warning=unreliable,
        good_k=None,
        elpd_i=elpd_i,
        p_waic_i=p_waic_i,
    )


def loo_record(
    estimates: Estimates,
    names: Mapping[str, Any],
    n_draws: int,
    threshold: float,
    attrs: dict[str, Any],
) -> ELPDDataLOO:
    """Return the record of leave-one-out, with the standard error of ArviZ 1 (divisor n - 1)."""
    p_i = estimates.lppd - estimates.elpd
    elpd_i, p_loo_i, pareto_k = estimates.arrays(
        names, elpd_i=estimates.elpd, p_loo_i=p_i, pareto_k=estimates.k
    )
    n = elpd_i.size
    bad = estimates.k > threshold
    refits = {"n_refits": estimates.n_refits, "converged_refits": estimates.converged_refits}
    elpd_i.attrs.update(attrs, bad_k=float(bad.mean()), **refits)
    return ELPDDataLOO(
        elpd=float(estimates.elpd.sum()),
        se=float(np.sqrt(n * np.var(estimates.elpd, ddof=1))) if n > 1 else 0.0,
        p=float(p_i.sum()),
        n_samples=n_draws,
        n_data_points=n,
        scale="log",
        warning=bool(bad.any()),
        good_k=threshold,
        elpd_i=elpd_i,
        pareto_k=pareto_k,
        p_loo_i=p_loo_i,
    )


def kfold_record(
    estimates: Estimates,
    names: Mapping[str, Any],
    n_draws: int,
    n_folds: int,
    attrs: dict[str, Any],
) -> ELPDDataLOOKFold:
    """Return the record of K-fold cross-validation; `p` is NaN where no fit to all data is known."""
    p_i = estimates.lppd - estimates.elpd
    elpd_i, p_kfold_i = estimates.arrays(names, elpd_i=estimates.elpd, p_kfold_i=p_i)
    elpd_i.attrs.update(attrs, bad_k=0.0)
    n = elpd_i.size
    return ELPDDataLOOKFold(
        elpd=float(estimates.elpd.sum()),
        se=float(np.sqrt(n * np.var(estimates.elpd, ddof=1))) if n > 1 else 0.0,
        p=float(p_i.sum()),
        n_samples=n_draws,
        n_data_points=n,
        scale="log",
        warning=False,
        good_k=None,
        n_folds=n_folds,
        elpd_i=elpd_i,
        p_kfold_i=p_kfold_i,
    )


def bad_cells(result: ELPDData) -> pd.DataFrame:
    """List the cells, or rows, whose estimate is not to be trusted.

    Parameters
    ----------
    result : ELPDData
        What :func:`bayesnmf.loo` returned.

    Returns
    -------
    DataFrame
        Columns ``row``, ``column`` (for cells), ``k``, ``elpd`` and ``estimator``; worst first,
        empty where every k is good.

    Raises
    ------
    ValueError
        For a result without Pareto k.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> from bayesnmf.comparison.loo import loo
    >>> bad_cells(loo(fit)).columns.tolist()
    ['row', 'column', 'k', 'elpd', 'estimator']
    """
    if result.pareto_k is None:
        raise ValueError(f"a result of kind {result.kind!r} has no Pareto k: use bn.loo")
    k = result.pareto_k.to_numpy()
    bad = np.flatnonzero(k > result.good_k)
    bad = bad[np.argsort(-k[bad], kind="stable")]
    coords = ["row", "column"] if "column" in result.elpd_i.coords else ["row"]
    columns = {name: result.elpd_i[name].to_numpy()[bad] for name in coords}
    columns |= {"k": k[bad], "elpd": result.elpd_i.to_numpy()[bad]}
    return pd.DataFrame(
        {**columns, "estimator": result.elpd_i["estimator"].to_numpy()[bad]},
        columns=[*coords, "k", "elpd", "estimator"],
    )


def warn_of_bad_k(result: ELPDData, escalated: bool, stacklevel: int) -> None:
    """Warn with the share and the place of bad k."""
    bad = bad_cells(result)
    if bad.empty:
        return
    unit = "cells" if "column" in bad else "rows"
    worst = "; ".join(
        ", ".join(f"{dim} {entry[dim]}" for dim in ("row", "column") if dim in entry)
        + f" (k {entry['k']:.2f})"
        for entry in bad.head(MAX_NAMED).to_dict("records")
    )
    hint = (
        "Their numbers are not to be trusted; bn.kfold leaves cells out by refitting"
        if escalated
        else "Use escalate=True, or bn.kfold; bayesnmf.comparison.records.bad_cells lists them"
    )
    warnings.warn(
        f"Pareto k is above {result.good_k:.2f} in {len(bad)} of {result.n_data_points} {unit} "
        f"({len(bad) / result.n_data_points:.1%}), worst in {worst}. {hint}",
        stacklevel=stacklevel + 1,
    )


def names_of(fit: Fit) -> Mapping[str, Any]:
    """Return the names of rows and columns."""
    posterior = fit.tree["posterior"]
    return {dim: posterior[dim].to_numpy() for dim in ("row", "column")}


def attributes_of(
    pointwise: Pointwise, task: Task, offset: np.ndarray, begin: float
) -> dict[str, Any]:
    """Return what decides whether two results of a fit can be compared."""
    pass

    return describe(
        pointwise.fit,
        pointwise.cells,
        task=task,
        measure=pointwise.measure or pointwise.own_measure,
        rescaled=bool(np.any(offset)),
        seconds=perf_counter() - begin,
        likelihood=pointwise.model.name,
    )
