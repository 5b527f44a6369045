"""Refits without some of the cells: what is left out, where it runs, how it is scored."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesnmf.comparison.integrals import Integral
from bayesnmf.comparison.pointwise import Pointwise, mean_density
from bayesnmf.data import AnyMatrix
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.methods import Method
from bayesnmf.model import Measure, Model
from bayesnmf.posterior import fitting
from bayesnmf.posterior.requirements import require_whole
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import Progress
from bayesnmf.workers import run_all

#: NumPyro keeps its stack of handlers in a global, so threads of one process take turns.
ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Fold:
    """One refit and what it has to predict; it can be sent to another process.

    Parameters
    ----------
    matrix : Matrix or SparseMatrix of shape (n_rows, n_columns)
        All data.
    held : ndarray of bool of shape (n_rows, n_columns)
        Cells that are left out of the fit and predicted.
    model : NMF or Program
    method : MCMC or SVI
    seed : int
    measure : {"counting", "lebesgue"} or None
    whole_rows : bool, default False
        Whether the rows in `held` are left out as such, and their W integrated out.
    """

    matrix: AnyMatrix
    held: np.ndarray
    model: Model
    method: Method
    seed: int
    measure: Measure | None
    whole_rows: bool = False

    def score(self) -> tuple[np.ndarray, int, bool]:
        """Fit, and return predictive densities, the number of draws and whether it converged.

        Log densities are of the held cells in row order, or of the held rows.
        """
        with ONE_AT_A_TIME:
            return self._score_rows() if self.whole_rows else self._score_cells()

    def _score_cells(self) -> tuple[np.ndarray, int, bool]:
        fit = self._fit(self.matrix.without(self.held), self.model)
        pointwise = Pointwise(fit, self.measure, CellBlocks(self.matrix, self.held))
        elpd = np.full(self.matrix.shape, np.nan)
        for tile in pointwise.tiles():
            elpd[tile.rows, tile.columns] = mean_density(tile.values)
        return elpd[self.held], pointwise.n_draws, fit.converged

    def _fit(self, V: Any, model: Model) -> Fit:
        return require_whole(
            fitting.fit_silently(V, model, self.method, seed=self.seed, progress=False)
        )

    def _score_rows(self) -> tuple[np.ndarray, int, bool]:
        rows = self.held.any(axis=1)
        model = self.model.nmf
        if model is None:
            raise ValueError(
                "scheme='rows' integrates a row of W out, which needs a bn.NMF; use scheme='cells'"
            )
        likelihood = model.likelihood.matched(self.matrix)
        known = {
            name: np.broadcast_to(np.asarray(value, float), self.matrix.shape)
            for name, value in likelihood.known.items()
        }
        W = None if model.W is None else np.asarray(model.W)
        given = np.empty((len(rows), 0)) if W is None else W
        train = replace(
            model,
            likelihood=likelihood.at_rows(~rows),
            prior_W=model.prior_W.of_entries_at(~rows),
            W=None if W is None else W[~rows],
        )
        fit = self._fit(self.matrix.at_rows(~rows), train)
        pointwise = Pointwise(fit, self.measure)
        integral = Integral(pointwise, seed=self.seed)
        elpd, new = [], CellBlocks(self.matrix, self.held)
        for row in np.flatnonzero(rows):
            v = new.row(int(row))
            cells = {name: value[row] for name, value in known.items()}
            prior = model.prior_W.of_entries_at(np.array([row]))
            density = integral.new_line(v, cells, int(row), given[row], prior)
            elpd.append(mean_density(density[None])[0])
        return np.array(elpd), pointwise.n_draws, fit.converged


def run_folds(
    folds: Iterable[Fold], executor: Executor | None, progress: Progress
) -> list[tuple[np.ndarray, int, bool]]:
    """Score folds, here or through an executor, in order."""
    folds = list(folds)
    progress.stage("refits", len(folds))
    return run_all(Fold.score, folds, executor, progress.advance)


def served(matrix: AnyMatrix, model: Model, method: Method) -> AnyMatrix:
    """Return the data as the method can refit them without some cells: expanded if need be."""
    return matrix if method.keeps_sparse(model, True) else matrix.expanded()
