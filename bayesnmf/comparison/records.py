"""ArviZ's records of predictive densities, and what decides whether two can be compared.

Imported where it is used, since it imports ``arviz_stats``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from arviz_stats.utils import ELPDData, ELPDDataLOO, ELPDDataLOOKFold

from bayesnmf.comparison.estimates import Estimates, Task
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.posterior.result import Fit


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


def result_attributes(
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
    elpd_i, p_waic_i = estimates.labelled(names, elpd_i=estimates.elpd, p_waic_i=p_i)
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
    elpd_i, p_loo_i, pareto_k = estimates.labelled(
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
    elpd_i, p_kfold_i = estimates.labelled(names, elpd_i=estimates.elpd, p_kfold_i=p_i)
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


def row_and_column_names(fit: Fit) -> Mapping[str, Any]:
    """Return the names of rows and columns."""
    posterior = fit.tree["posterior"]
    return {dim: posterior[dim].to_numpy() for dim in ("row", "column")}


def attributes_of_fit(
    pointwise: Pointwise, task: Task, offset: np.ndarray, begin: float
) -> dict[str, Any]:
    """Return what decides whether two results of a fit can be compared."""
    return result_attributes(
        pointwise.fit,
        pointwise.cells,
        task=task,
        measure=pointwise.measure or pointwise.own_measure,
        rescaled=bool(np.any(offset)),
        seconds=perf_counter() - begin,
        likelihood=pointwise.model.name,
    )
