"""LOO: leave-one-out predictive density by importance sampling."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bayesnmf.comparison.bad_k import warn_of_bad_k
from bayesnmf.comparison.estimates import Estimates, Task
from bayesnmf.comparison.pointwise import Pointwise, jacobian, mean_density, warn_of_draws
from bayesnmf.comparison.psis import good_k, psis_loo
from bayesnmf.convergence import ess_mean
from bayesnmf.model import Measure
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import DELAY, Progress, showing
from bayesnmf.workers import require_executor

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO


#: Entries of the posterior whose effective sample size is averaged; a random subset of more.
MAX_ENTRIES = 2000


def loo(
    fit: Fit,
    *,
    task: Task = "cell",
    measure: Measure | None = None,
    log_jacobian: ArrayLike = 0.0,
    escalate: bool = False,
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ELPDDataLOO:
    r"""Estimate leave-one-out predictive density by Pareto-smoothed importance sampling.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` by MCMC or SVI. Draws of SVI are taken as they are, as
        draws of the posterior.
    task : {"cell", "row"}, default "cell"
        What is left out and predicted. "cell": one cell, given the rest of its row; the task of
        imputation. "row": a whole row, with its w integrated out given H; the task of describing a
        new sample. They answer different questions, and their numbers cannot be compared.
    measure : {"counting", "lebesgue"}, optional
        What densities refer to. None: the likelihood's own measure. "counting": a Gaussian or gamma
        likelihood of counts is scored by the probability of the unit interval around each count,
        which makes it comparable with Poisson and negative binomial ones.
    log_jacobian : float or array of shape (n_rows, n_columns), default 0.0
        Added to each log density. Where data were transformed before fitting, the log of the
        derivative of the fitted data in the original ones puts the result back on the original
        scale: ``log(c)`` for data that were multiplied by c.
    escalate : bool, default False
        Whether unreliable estimates are replaced with more expensive ones: the cell's row of W or
        column of H integrated out, draws from the mixture of leave-one-out posteriors (a run of
        MCMC), and finally up to five refits without the bad cells. Off by default, because an
        estimate of seconds then becomes one of minutes; a warning says where it is needed.
    executor : concurrent.futures.Executor, optional
        Where refits run.
    seed : int, default 0
        Seed of all that is drawn.
    progress : bool, default True
        Whether to show progress bars, of work that takes more than a second.

    Returns
    -------
    arviz_stats.ELPDDataLOO
        ``elpd``, ``se``, ``p`` (effective number of parameters), ``elpd_i``, ``p_loo_i``,
        ``pareto_k`` (each of dim "cell" with coordinates row and column, or "row"; missing cells
        are absent), ``good_k``, ``warning``, ``n_samples``, ``n_data_points``. The coordinate
        ``estimator`` says where each number came from: "psis", "W integrated", "H integrated",
        "mixture" or "refit"; the last has k 0. ``elpd_i.attrs`` has the task, the measure, the
        share of bad k and the time in seconds.

    Raises
    ------
    ValueError
        For a MAP estimate, which has no draws; under 30 draws; measure="counting" of data that are
        not counts, or of a model that gives counts no mass; a log density that is not finite (the message names the cell); a `log_jacobian`
        of the wrong shape; task="row" of a program.

    Warns
    -----
    UserWarning
        With the share and the place of bad k, under 100 draws, and for chains in several modes,
        which all count alike.

    Notes
    -----
    Time is that of evaluating every cell at every draw; memory is that of a few tiles, whatever
    the number of draws and cells. Task "row" evaluates 256 times as many cells, at 1,000 draws.

    LOO leans towards too many components, for bad k hides cells that a component fits alone:
    before a choice of rank, compare with :func:`bayesnmf.kfold`.

    References
    ----------
    Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
    leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
    doi:10.1007/s11222-016-9696-4

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> result = loo(fit)
    >>> result.kind, result.elpd_i.dims, bool((result.pareto_k < result.good_k).all())
    ('loo', ('cell',), True)
    """
    from bayesnmf.comparison.escalation import MAX_DRAWS, Escalation, rows_integrated
    from bayesnmf.comparison.records import attributes_of_fit, loo_record, row_and_column_names

    if task not in ("cell", "row"):
        raise ValueError(f"unknown task {task!r}; valid: cell, row")
    require_executor(executor)
    begin = perf_counter()
    pointwise = Pointwise(fit, measure)
    warn_of_draws(pointwise)
    offset = jacobian(log_jacobian, pointwise.matrix)
    observed, reff = pointwise.cells.observed, relative_efficiency(fit)
    n_draws = pointwise.n_draws
    with showing(progress, delay=DELAY) as shown:
        if task == "cell":
            estimates = _cells_left_out(pointwise, reff, shown)
        else:
            estimates = rows_integrated(pointwise, reff, seed, shown)
            n_draws = min(n_draws, MAX_DRAWS)
        if escalate:
            estimates = Escalation(pointwise, reff, executor, seed, shown).improved(estimates)
    moved = offset[observed] if task == "cell" else np.where(observed, offset, 0.0).sum(axis=1)
    estimates = replace(estimates, elpd=estimates.elpd + moved, lppd=estimates.lppd + moved)
    attrs = attributes_of_fit(pointwise, task, offset, begin)
    names = row_and_column_names(fit)
    result = loo_record(estimates, names, n_draws, good_k(n_draws), attrs)
    warn_of_bad_k(result, escalate, stacklevel=2)
    return result


def _cells_left_out(pointwise: Pointwise, reff: float, progress: Progress) -> Estimates:
    """Return the density of each cell given all others, by smoothed importance sampling."""
    elpd, lppd, k = (np.full(pointwise.cells.shape, np.nan) for _ in range(3))
    for tile in pointwise.tiles(progress=progress):
        predicted = None if tile.fitted is tile.values else tile.values
        cells = tile.rows, tile.columns
        elpd[cells], k[cells] = psis_loo(tile.fitted, reff, predicted)
        lppd[cells] = mean_density(tile.values)
    observed = pointwise.cells.observed
    estimates = Estimates.empty("cell", observed, "psis")
    return replace(estimates, elpd=elpd[observed], lppd=lppd[observed], k=k[observed])


def relative_efficiency(fit: Fit) -> float:
    """Return effective draws a draw, averaged over the posterior's entries: ArviZ's rule.

    1 for a single chain. Of a large posterior a fixed random subset is averaged.
    """
    posterior = fit.tree["posterior"].dataset
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if n_chains == 1 or n_draws < 4:
        return 1.0
    flat = [x.to_numpy().reshape(n_chains, n_draws, -1) for x in posterior.data_vars.values()]
    ends = np.cumsum([x.shape[-1] for x in flat])
    chosen = np.arange(ends[-1])
    if len(chosen) > MAX_ENTRIES:
        chosen = np.random.default_rng(0).choice(chosen, MAX_ENTRIES, replace=False)
    parts = zip(flat, ends, strict=True)
    entries = np.concatenate(
        [x[..., chosen[(chosen >= end - x.shape[-1]) & (chosen < end)] - end] for x, end in parts],
        axis=-1,
    )
    return float(np.nanmean(ess_mean(entries))) / (n_chains * n_draws)
