"""K-fold cross-validation: the model is refitted without the cells that it has to predict."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from bayesnmf.comparison.estimates import Estimates, Task
from bayesnmf.comparison.folds import Scheme, make_folds
from bayesnmf.comparison.pointwise import Pointwise, jacobian, mean_density
from bayesnmf.comparison.refits import Fold, run_folds, served
from bayesnmf.data import AnyMatrix, MatrixLike
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.data.labels import labels_of
from bayesnmf.data.storage import matrix_of
from bayesnmf.methods import Method, MethodLike, as_method
from bayesnmf.model import Measure, Model, ModelLike, as_model
from bayesnmf.posterior.method_record import method_of
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import showing
from bayesnmf.workers import require_executor

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOOKFold


def kfold(
    V: MatrixLike,
    model: ModelLike,
    method: MethodLike = "mcmc",
    n_folds: int = 5,
    *,
    mask: ArrayLike | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    scheme: Scheme = "cells",
    measure: Measure | None = None,
    log_jacobian: ArrayLike = 0.0,
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ELPDDataLOOKFold:
    r"""Estimate predictive density by refitting without the cells that are predicted.

    Use it where importance sampling fails, and to choose a rank: no cell is used to predict itself.
    Each held-out cell gets :math:`\log \frac1S \sum_s p(v \mid \theta_s)` over the draws of the
    fit that did not see it.

    Parameters
    ----------
    V : array, table, SciPy sparse or AnnData of shape (n_rows, n_columns)
        Data, as for :func:`bayesnmf.fit`; NaN means missing.
    model : NMF, Program or callable
        As for :func:`bayesnmf.fit`. Defaults that are taken from the data are taken from each
        fold's own training data.
    method : {"mcmc", "svi"} or record, default "mcmc"
        As for :func:`bayesnmf.fit`; a MAP estimate has no predictive density.
    n_folds : int, default 5
        Number of folds; with ``scheme="blocks"``, of groups of rows and groups of columns.
    mask : array of bool of shape (n_rows, n_columns), optional
        True where a cell is observed.
    rows, columns, layer : optional
        As for :func:`bayesnmf.fit`: names for data that have none, and the layer of an AnnData.
    scheme : {"cells", "rows", "blocks"}, default "cells"
        "cells": speckled cells, balanced over rows and columns. "rows": whole rows, with their w
        integrated out given H. "blocks": a group of rows crossed with a group of columns
        (bi-cross-validation), ``n_folds**2`` fits; the hardest of the three tasks about cells.
    measure : {"counting", "lebesgue"}, optional
        As for :func:`bayesnmf.loo`.
    log_jacobian : float or array of shape (n_rows, n_columns), default 0.0
        As for :func:`bayesnmf.loo`.
    executor : concurrent.futures.Executor, optional
        Where folds run; None: here, one after another. Processes run folds at the same time; they
        need a model that can be pickled, and the start method "spawn" or "forkserver", because JAX
        does not survive a fork. Threads take turns, because NumPyro is not thread-safe.
    seed : int, default 0
        Seed of the folds and of every fit. The same seed gives the same folds for every model.
    progress : bool, default True
        Whether to show a progress bar over folds.

    Returns
    -------
    arviz_stats.ELPDDataLOOKFold
        ``elpd``, ``se`` (standard error over cells, or rows), ``elpd_i`` (pointwise, of dim
        "cell" with coordinates row and column, or "row"), ``n_folds``. ``p`` is NaN, since it
        needs a fit to all data. ``elpd_i.attrs`` has the task, the measure, the time and the
        number of folds that converged.

    Raises
    ------
    ValueError
        For an executor that forks, method="map", a bad `n_folds` or scheme, a row or column that a
        fold would leave without an observed cell, and everything that :func:`bayesnmf.fit` raises.

    Notes
    -----
    Folds share most of their data, so the standard error, which takes cells as independent, is
    a little too small. Cost: `n_folds` fits.

    References
    ----------
    Owen, A. B. and Perry, P. O. (2009). Bi-cross-validation of the SVD and the nonnegative
    matrix factorization. Annals of Applied Statistics 3, 564-594. doi:10.1214/08-AOAS227

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(16, 12, 1, "poisson", seed=1)
    >>> svi = bn.SVI(num_steps=1000, num_samples=1000)
    >>> result = kfold(V, bn.NMF(1), svi, n_folds=2, progress=False)
    >>> result.n_folds, result.n_data_points, result.elpd_i.dims
    (2, 192, ('cell',))
    """
    require_executor(executor)
    asked, record = as_model(model), as_method(method)
    # Folds leave cells out, so that a method has to keep sparse data without some of them.
    names: dict[str, Any] = {"rows": rows, "columns": columns, "layer": layer}
    matrix = matrix_of(V, lambda masked: record.keeps_sparse(asked, True), mask, **names)
    design = CrossValidation(n_folds, scheme, measure, executor, seed, progress)
    # Folds are arrays without names: what has names is matched here.
    return design.run(matrix, asked.matched(matrix), record, log_jacobian)


def kfold_of_fit(
    fit: Fit,
    n_folds: int = 5,
    *,
    scheme: Scheme = "cells",
    measure: Measure | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ELPDDataLOOKFold:
    """Cross-validate the model and method of a fit on its data; `p` is then known for cells."""
    pointwise, method = Pointwise(fit, measure), method_of(fit)
    design = CrossValidation(n_folds, scheme, measure, executor, seed, progress)
    matrix = served(pointwise.matrix, pointwise.model, method)
    with showing(progress) as shown:
        result = design.run(matrix, pointwise.model, method)
        tiles = pointwise.tiles(progress=shown) if scheme != "rows" else ()
        lppd = np.full(pointwise.cells.shape, np.nan)
        for tile in tiles:
            lppd[tile.rows, tile.columns] = mean_density(tile.values)
    if scheme != "rows":
        p_i = lppd[pointwise.cells.observed] - result.elpd_i.to_numpy()
        result.p_kfold_i = result.elpd_i.copy(data=p_i).rename("p_kfold_i")
        result.p = float(p_i.sum())
    return result


@dataclass(frozen=True)
class CrossValidation:
    """How a matrix is cross-validated, and where; see :func:`kfold`."""

    n_folds: int
    scheme: Scheme
    measure: Measure | None
    executor: Executor | None
    seed: int
    progress: bool

    def run(
        self, matrix: AnyMatrix, model: Model, method: Method, log_jacobian: ArrayLike = 0.0
    ) -> ELPDDataLOOKFold:
        """Refit the model without each fold, and return the record of all predictions."""
        from bayesnmf.comparison.records import kfold_record, result_attributes

        begin = perf_counter()
        _require_draws(matrix, model, method)
        offset, cells = jacobian(log_jacobian, matrix), CellBlocks(matrix)
        folds = make_folds(
            cells.observed, self.n_folds, self.scheme, np.random.default_rng(self.seed)
        )
        with showing(self.progress) as shown:
            results = run_folds(self._refits(folds, matrix, model, method), self.executor, shown)
        estimates = self._estimates(folds, cells.observed, [x for x, *_ in results], offset)
        attrs = result_attributes(
            None,
            cells,
            task=estimates.task,
            measure=self.measure or model.base_measure(matrix),
            rescaled=bool(np.any(offset)),
            seconds=perf_counter() - begin,
            likelihood=model.name,
        )
        converged = sum(converged for *_, converged in results)
        attrs |= {"scheme": self.scheme, "n_folds": len(results), "converged_folds": converged}
        names = {"row": labels_of(matrix.row_names), "column": labels_of(matrix.column_names)}
        return kfold_record(estimates, names, results[0][1], len(results), attrs)

    def _refits(
        self, folds: np.ndarray, matrix: AnyMatrix, model: Model, method: Method
    ) -> Iterator[Fold]:
        for number in range(int(folds.max()) + 1):
            yield Fold(
                matrix,
                folds == number,
                model,
                method,
                self.seed,
                self.measure,
                self.scheme == "rows",
            )

    def _estimates(
        self,
        folds: np.ndarray,
        observed: np.ndarray,
        densities: Sequence[np.ndarray],
        offset: np.ndarray,
    ) -> Estimates:
        """Return the estimates of all units from the log densities of each fold's."""
        task: Task = "row" if self.scheme == "rows" else "cell"
        estimates = Estimates.empty(task, observed, "kfold")
        elpd = estimates.elpd.copy()
        for number, fold in enumerate(densities):
            held = folds == number
            if task == "row":
                rows = np.flatnonzero(held.any(axis=1))
                elpd[rows] = fold + np.where(held, offset, 0.0).sum(axis=1)[rows]
            else:
                elpd[held[observed]] = fold + offset[held]
        return replace(estimates, elpd=elpd)


def _require_draws(matrix: AnyMatrix, model: Model, method: Method) -> None:
    """Raise unless the method draws from the posterior, and the data suit the model."""
    if method.name == "map":
        raise ValueError(
            "a MAP estimate has no draws to estimate a predictive density from: use method='mcmc' "
            "or method='svi'"
        )
    with jax.enable_x64(matrix.dtype == np.float64):
        model.check(matrix, draws=True)
