"""What is done about cells and rows that importance sampling cannot leave out.

Each remedy costs more than the one before, and sees only what the ones before could not mend:
integrating w_i or h_j out, drawing from the mixture of leave-one-out posteriors, refitting. The
mixture is no :class:`bayesnmf.NMF`, so NUTS draws from it, and where the model is one and the
structured sampler refits it, five refits cost a small part of that: then there is no mixture. There is no
moment matching: it shifts and scales all W, H of a posterior by the moments of few effective
draws, which the scale and permutation symmetries of WH make meaningless.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor

import numpy as np

from bayesnmf.comparison.folds import split_cells
from bayesnmf.comparison.integrals import CELL_POINTS, Integral
from bayesnmf.comparison.mixture import mixture_loo
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.comparison.psis import good_k, psis_loo
from bayesnmf.comparison.records import Estimates
from bayesnmf.comparison.refits import Fold, run_folds, served
from bayesnmf.methods import MCMC, Method
from bayesnmf.posterior.method_record import method_of

#: Draws of one factor for which the other is integrated out; thinned evenly to this many.
MAX_DRAWS = 1000


#: Densities (cells x draws x points x length of the line) evaluated at most to integrate bad cells;
#: where there are more, refits cost less.
INTEGRAL_BUDGET = 1e9


#: Refits at most; each leaves out its share of the bad cells. There are no more than it takes to leave
#: out one cell of any row or column at once, and this share of all cells.
MAX_REFITS, MAX_HELD = 5, 0.01


def escalate(
    estimates: Estimates,
    pointwise: Pointwise,
    reff: float,
    *,
    executor: Executor | None = None,
    seed: int = 0,
) -> None:
    """Replace bad estimates by better ones, in place, until none is left or nothing helps.

    Parameters
    ----------
    estimates : Estimates
        ``elpd``, ``k`` and ``estimator`` of the bad units are overwritten; ``k`` is 0 for a refit,
        which needs no importance sampling.
    pointwise : Pointwise
        The fit and the measure.
    reff : float
        Relative efficiency of the draws.
    executor : concurrent.futures.Executor, optional
        Where refits run.
    seed : int, default 0
    """
    threshold = good_k(pointwise.n_draws)
    nmf = pointwise.model.nmf is not None
    if estimates.task == "cell" and nmf and (estimates.k > threshold).any():
        _integrate(estimates, pointwise, reff, threshold, seed)
    method = method_of(pointwise.fit)
    # Where chains of the posterior disagree, those of a wider mixture will.
    if estimates.task == "cell" and pointwise.fit.converged and _by_nuts(nmf, method):
        _mix(estimates, pointwise, threshold, method, seed)
    bad = estimates.k > threshold
    if bad.any():
        _refit(estimates, pointwise, bad, executor, seed)


def integrate_rows(estimates: Estimates, pointwise: Pointwise, reff: float, seed: int = 0) -> None:
    """Estimate the density of each row given all others, in place, with its w integrated out."""
    integral = Integral(pointwise, "W", _thinned(pointwise.n_draws), seed)
    for row in estimates.rows:
        values, fitted = integral.line(int(row))
        estimates.elpd[row], estimates.k[row] = _loo(values, fitted, reff)
        estimates.lppd[row] = np.logaddexp.reduce(values) - np.log(len(values))


def _integrate(
    estimates: Estimates, pointwise: Pointwise, reff: float, threshold: float, seed: int
) -> None:
    """Integrate the row or the column of each bad cell out, whichever does.

    First the one with less data, which a single cell moves more.
    """
    n_rows, n_columns = pointwise.cells.shape
    draws = _thinned(pointwise.n_draws)
    # Fewer draws, stricter threshold.
    strict = min(threshold, good_k(len(draws)))
    assert estimates.columns is not None
    for factor in ("W", "H") if n_columns <= n_rows else ("H", "W"):
        integral = Integral(pointwise, factor, draws, seed)
        bad = np.flatnonzero(estimates.k > threshold)
        if len(bad) * len(draws) * CELL_POINTS * integral.other.shape[2] > INTEGRAL_BUDGET:
            continue
        for unit in bad:
            cell = int(estimates.rows[unit]), int(estimates.columns[unit])
            values, fitted = integral.cell(*(cell if factor == "W" else cell[::-1]))
            elpd, k = _loo(values, fitted, reff)
            if k <= strict:
                estimates.elpd[unit], estimates.k[unit] = elpd, k
                estimates.estimator[unit] = f"{factor} integrated"


def _by_nuts(nmf: bool, method: Method) -> bool:
    """Return whether a refit would be as dear as a run on the mixture."""
    return isinstance(method, MCMC) and (not nmf or method.kernel == "nuts")


def _mix(
    estimates: Estimates, pointwise: Pointwise, threshold: float, method: Method, seed: int
) -> None:
    bad = np.flatnonzero(estimates.k > threshold)
    if not bad.size:
        return
    mixed = mixture_loo(pointwise, _mask(estimates, pointwise, bad), method, seed)
    if mixed is None:
        return
    elpd, k = mixed
    good = k <= threshold
    estimates.elpd[bad[good]], estimates.k[bad[good]] = elpd[good], k[good]
    estimates.estimator[bad[good]] = "mixture"


def _refit(
    estimates: Estimates,
    pointwise: Pointwise,
    bad: np.ndarray,
    executor: Executor | None,
    seed: int,
) -> None:
    observed = pointwise.cells.observed
    rng = np.random.default_rng(seed)
    whole_rows = estimates.task == "row"
    if whole_rows:
        chosen = rng.permutation(np.flatnonzero(bad))
        groups = [
            observed & np.isin(np.arange(len(observed)), part)[:, None]
            for part in np.array_split(chosen, min(MAX_REFITS, len(chosen)))
        ]
        # Every column needs a cell outside the group.
        groups = [group for group in groups if (observed & ~group).any(axis=0).all()]
    else:
        cells = _mask(estimates, pointwise, np.flatnonzero(bad))
        groups = split_cells(observed, cells, _n_refits(observed, cells), rng)
    method = method_of(pointwise.fit)
    matrix = served(pointwise.matrix, pointwise.model, method)
    folds = [
        Fold(matrix, group, pointwise.model, method, seed, pointwise.measure, whole_rows)
        for group in groups
    ]
    for fold, (elpd, _, converged) in zip(folds, run_folds(folds, executor), strict=True):
        if whole_rows:
            units = np.flatnonzero(fold.held.any(axis=1))
        else:
            units = np.flatnonzero(fold.held[observed])
        estimates.elpd[units] = elpd
        estimates.k[units] = 0.0
        estimates.estimator[units] = "refit"
        estimates.n_refits += 1
        estimates.converged_refits += converged


def _n_refits(observed: np.ndarray, cells: np.ndarray) -> int:
    in_line = max(int(cells.sum(axis=axis).max()) for axis in (0, 1))
    return min(max(in_line, math.ceil(cells.sum() / (MAX_HELD * observed.sum()))), MAX_REFITS)


def _mask(estimates: Estimates, pointwise: Pointwise, units: np.ndarray) -> np.ndarray:
    assert estimates.columns is not None
    mask = np.zeros(pointwise.cells.shape, bool)
    mask[estimates.rows[units], estimates.columns[units]] = True
    return mask


def _loo(values: np.ndarray, fitted: np.ndarray, reff: float) -> tuple[float, float]:
    predicted = None if values is fitted else values[None]
    elpd, k = psis_loo(fitted[None], reff, predicted)
    return float(elpd[0]), float(k[0])


def _thinned(n_draws: int) -> np.ndarray:
    return np.unique(np.linspace(0, n_draws - 1, min(n_draws, MAX_DRAWS)).round().astype(int))
