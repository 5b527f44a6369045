"""One rank measured at its MAP estimate: fit, residual check, cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayesnmf.methods import MAP
from bayesnmf.methods.optimise.initial import grown_start
from bayesnmf.methods.optimise.search import Search
from bayesnmf.model import NMF
from bayesnmf.posterior import fitting
from bayesnmf.posterior.original import original_factors
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import Progress
from bayesnmf.rank.held_out import FoldAtMAP
from bayesnmf.rank.measures import Measures, folds_of, precision, run_tasks, summed
from bayesnmf.rank.residuals import MAX_ITER, TOL, Replicates, p_value, residuals
from bayesnmf.rank.settings import Settings

#: Replicates in one task for an executor.
BATCH = 10


def measure_at_map(
    settings: Settings, rank: int, previous: Fit | None, progress: Progress
) -> Measures:
    """Fit one rank by its MAP estimate in log space, and measure it.

    Parameters
    ----------
    settings : Settings
    rank : int
    previous : Fit or None
        The fit of a smaller rank, from which one of the searches starts.
    progress : Progress
    """
    model = settings.at(rank)
    method = _method_at(settings, model, previous)
    fit = fitting.fit_silently(
        settings.matrix, model, method, seed=settings.seed, progress=progress
    )
    sites, search = sites_of(fit), method.search(model)
    values = {"converged": float(fit.converged), "stability": _stability(fit)}
    with precision(settings):
        progress.stage("residual check", 1)
        values |= _residual_check(settings, model, search, sites)
        progress.stage("cross-validation", 1)
        elpd_i, note = _cross_validated(settings, model, search, sites)
    return Measures(fit, elpd_i, summed(elpd_i) | values, note)


def sites_of(fit: Fit) -> dict[str, np.ndarray]:
    """Return a MAP estimate as its search found it: W and H before scaling, and the parameters."""
    posterior = fit.tree["posterior"].dataset
    W, H = original_factors(fit)
    others = {str(name): x.to_numpy()[0, 0] for name, x in posterior.data_vars.items()}
    return {**others, "W": W[0], "H": H[0]}


def _method_at(settings: Settings, model: NMF, previous: Fit | None) -> MAP:
    """Return the method of a sweep at one rank: in log space, with a start from a smaller rank.

    In log space the estimate is strictly positive, near the posterior mean, and an entry of which
    the data say nothing sits at the mean of its prior instead of at 0.
    """
    method = settings.method
    assert isinstance(method, MAP)
    starts = method.inits
    if previous is not None:
        factors = previous.W.to_numpy(), previous.H.to_numpy()
        starts = [*starts, grown_start(model, settings.matrix, factors)]
    return replace(method, space="log", init=starts)


def _stability(fit: Fit) -> float:
    """Return how alike the best and the other starts find the components; NaN for one start."""
    others = np.atleast_1d(fit.tree.attrs["similarities"])[1:]
    return float(others.mean()) if others.size else np.nan


def _residual_check(
    settings: Settings, model: NMF, search: Search, sites: Mapping[str, np.ndarray]
) -> dict[str, float]:
    matrix = settings.matrix
    observed = residuals(
        model.likelihood, sites, matrix.filled(model.likelihood.placeholder), matrix.observed
    )
    quick = replace(search, max_iter=MAX_ITER, tol=TOL)
    numbers = range(settings.n_replicates)
    tasks = [
        Replicates(model, matrix, sites, quick, settings.seed, tuple(numbers[i : i + BATCH]))
        for i in numbers[::BATCH]
    ]
    parts = run_tasks(tasks, settings.executor)
    singular, dispersion = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        "residual_p": p_value(float(observed.singular_value), singular),
        "dispersion": float(observed.dispersion),
        "dispersion_p": p_value(float(observed.dispersion), dispersion),
    }


def _cross_validated(
    settings: Settings, model: NMF, search: Search, sites: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, str]:
    """Return the predictive density of every observed cell, or NaN and the reason."""
    matrix = settings.matrix
    elpd = np.full(matrix.shape, np.nan)
    folds, note = folds_of(settings)
    if folds is not None:
        values = matrix.filled(model.likelihood.placeholder)
        tasks = [
            FoldAtMAP(
                model,
                values,
                matrix.observed,
                folds == number,
                sites,
                search,
                settings.seed + number,
            )
            for number in range(settings.n_folds)
        ]
        for number, density in enumerate(run_tasks(tasks, settings.executor)):
            elpd[folds == number] = density
    return elpd[matrix.observed], note
