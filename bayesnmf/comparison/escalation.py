"""What is done about cells and rows that importance sampling cannot leave out.

Each remedy costs more than the one before, and gets only what the ones before left unreliable:
integrating w_i or h_j out, drawing from the mixture of leave-one-out posteriors, refitting. The
mixture is no :class:`bayesnmf.NMF`, so NUTS draws from it. Where the structured sampler refits an
NMF, five refits cost a small part of that: then there is no mixture. There is no moment matching:
it shifts and scales all W, H of a posterior by the moments of few effective draws, which the scale
and permutation symmetries of WH make meaningless.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from bayesnmf.comparison.estimates import Estimates
from bayesnmf.comparison.folds import split_cells
from bayesnmf.comparison.integrals import CELL_POINTS, Integral
from bayesnmf.comparison.mixture import mixture_loo
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.comparison.psis import good_k, psis_loo
from bayesnmf.comparison.refits import Fold, run_folds, served
from bayesnmf.methods import MCMC, Method
from bayesnmf.posterior.method_record import method_of
from bayesnmf.progress import Part, Progress, Silent

type Factor = Literal["W", "H"]


#: Draws of one factor for which the other is integrated out; thinned evenly to this many.
MAX_DRAWS = 1000


#: Densities (cells x draws x points x length of the line) evaluated at most to integrate bad cells;
#: where there are more, refits cost less.
INTEGRAL_BUDGET = 1e9


#: Refits at most, and the share of all cells that each may leave out. There are no more of them than it
#: takes to leave out one cell of any row or column at once.
MAX_REFITS, MAX_HELD = 5, 0.01


@dataclass(frozen=True)
class Escalation:
    """Replaces unreliable estimates with better ones, until none is left or nothing helps.

    Parameters
    ----------
    pointwise : Pointwise
        The fit and the measure.
    reff : float
        Relative efficiency of the draws.
    executor : concurrent.futures.Executor, optional
        Where refits run.
    seed : int, default 0
    progress : Progress, optional
        What shows how far it has come.
    """

    pointwise: Pointwise
    reff: float
    executor: Executor | None = None
    seed: int = 0
    progress: Progress = field(default_factory=Silent)

    def improved(self, estimates: Estimates) -> Estimates:
        """Return the estimates with those of the bad units replaced; a refit's k is 0."""
        # Without an NMF no line can be integrated out; where chains of the posterior disagree,
        # those of a wider mixture will.
        if estimates.task == "cell" and self._is_nmf:
            for factor in self._factors:
                estimates = self._integrated(estimates, factor)
        if estimates.task == "cell" and self.pointwise.fit.converged and self._refits_by_nuts:
            estimates = self._mixed(estimates)
        return self._refitted(estimates)

    @property
    def _threshold(self) -> float:
        return good_k(self.pointwise.n_draws)

    @property
    def _is_nmf(self) -> bool:
        return self.pointwise.model.nmf is not None

    @property
    def _method(self) -> Method:
        return method_of(self.pointwise.fit)

    @property
    def _refits_by_nuts(self) -> bool:
        """Whether a refit would be as expensive as a run on the mixture."""
        method = self._method
        return isinstance(method, MCMC) and (not self._is_nmf or method.kernel == "nuts")

    @property
    def _factors(self) -> tuple[Factor, Factor]:
        """The factor whose lines have less data first: a single cell moves these more."""
        n_rows, n_columns = self.pointwise.cells.shape
        return ("W", "H") if n_columns <= n_rows else ("H", "W")

    def _bad(self, estimates: Estimates) -> np.ndarray:
        return np.flatnonzero(estimates.k > self._threshold)

    def _integrated(self, estimates: Estimates, factor: Factor) -> Estimates:
        """Integrate the row of W or the column of H of each bad cell out."""
        bad, draws = self._bad(estimates), _thinned_draws(self.pointwise.n_draws)
        if not bad.size:
            return estimates
        integral = Integral(self.pointwise, factor, draws, self.seed)
        if len(bad) * len(draws) * CELL_POINTS * integral.other.shape[2] > INTEGRAL_BUDGET:
            return estimates
        assert estimates.columns is not None  # the units are cells
        elpd, k = np.empty(len(bad)), np.empty(len(bad))
        for at, unit in enumerate(self.progress.over(bad, f"{factor} integrated")):
            cell = int(estimates.rows[unit]), int(estimates.columns[unit])
            values, fitted = integral.cell(*(cell if factor == "W" else cell[::-1]))
            elpd[at], k[at] = _left_out(values, fitted, self.reff)
        # Fewer draws, stricter threshold.
        good = k <= min(self._threshold, good_k(len(draws)))
        return estimates.with_units(bad[good], elpd[good], k[good], f"{factor} integrated")

    def _mixed(self, estimates: Estimates) -> Estimates:
        """Draw from the mixture of the posteriors without each bad cell."""
        bad, shape = self._bad(estimates), self.pointwise.cells.shape
        nmf = self.pointwise.model.nmf
        if not bad.size or (nmf is not None and nmf.n_known):  # a program knows no components
            return estimates
        cells = estimates.mask(bad, shape)
        mixed = mixture_loo(self.pointwise, cells, self._method, self.seed, Part(self.progress))
        if mixed is None:
            return estimates
        elpd, k = mixed
        good = k <= self._threshold
        return estimates.with_units(bad[good], elpd[good], k[good], "mixture")

    def _refitted(self, estimates: Estimates) -> Estimates:
        """Refit without groups of the bad units."""
        bad = self._bad(estimates)
        if not bad.size:
            return estimates
        pointwise, whole_rows = self.pointwise, estimates.task == "row"
        groups = self._groups(estimates, bad)
        matrix = served(pointwise.matrix, pointwise.model, self._method)
        made = partial(
            Fold,
            matrix,
            model=pointwise.model,
            method=self._method,
            seed=self.seed,
            measure=pointwise.measure,
            whole_rows=whole_rows,
        )
        results = run_folds([made(group) for group in groups], self.executor, self.progress)
        for group, (elpd, _, converged) in zip(groups, results, strict=True):
            held = group.any(axis=1) if whole_rows else group[pointwise.cells.observed]
            estimates = replace(
                estimates.with_units(np.flatnonzero(held), elpd, 0.0, "refit"),
                n_refits=estimates.n_refits + 1,
                converged_refits=estimates.converged_refits + converged,
            )
        return estimates

    def _groups(self, estimates: Estimates, bad: np.ndarray) -> list[np.ndarray]:
        """Return which cells each refit leaves out."""
        observed, rng = self.pointwise.cells.observed, np.random.default_rng(self.seed)
        if estimates.task == "cell":
            cells = estimates.mask(bad, self.pointwise.cells.shape)
            return split_cells(observed, cells, _n_refits(observed, cells), rng)
        parts = np.array_split(rng.permutation(bad), min(MAX_REFITS, len(bad)))
        rows = np.arange(len(observed))
        groups = [observed & np.isin(rows, part)[:, None] for part in parts]
        # Every column needs a cell outside the group.
        return [group for group in groups if (observed & ~group).any(axis=0).all()]


def rows_integrated(pointwise: Pointwise, reff: float, seed: int, progress: Progress) -> Estimates:
    """Return the density of each row given all others, with its w integrated out."""
    integral = Integral(pointwise, "W", _thinned_draws(pointwise.n_draws), seed)
    estimates = Estimates.empty("row", pointwise.cells.observed, "W integrated")
    elpd, k, lppd = (np.empty(len(estimates.rows)) for _ in range(3))
    for row in progress.over(estimates.rows, "W integrated"):
        values, fitted = integral.line(int(row))
        elpd[row], k[row] = _left_out(values, fitted, reff)
        lppd[row] = np.logaddexp.reduce(values) - np.log(len(values))
    return replace(estimates, elpd=elpd, k=k, lppd=lppd)


def _n_refits(observed: np.ndarray, cells: np.ndarray) -> int:
    in_line = max(int(cells.sum(axis=axis).max()) for axis in (0, 1))
    return min(max(in_line, math.ceil(cells.sum() / (MAX_HELD * observed.sum()))), MAX_REFITS)


def _left_out(values: np.ndarray, fitted: np.ndarray, reff: float) -> tuple[float, float]:
    predicted = None if values is fitted else values[None]
    elpd, k = psis_loo(fitted[None], reff, predicted)
    return float(elpd[0]), float(k[0])


def _thinned_draws(n_draws: int) -> np.ndarray:
    return np.unique(np.linspace(0, n_draws - 1, min(n_draws, MAX_DRAWS)).round().astype(int))
