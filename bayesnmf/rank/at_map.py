"""One rank measured at the mode: search, residual check, cross-validation."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from importlib.metadata import version
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.methods import MAP, Draws
from bayesnmf.methods.optimise.initial import Start, grown_start, nndsvd_start, random_start
from bayesnmf.methods.optimise.search import Search, Solution, find_modes
from bayesnmf.model import NMF
from bayesnmf.observed.cells import Cells
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.result import Fit
from bayesnmf.rank.folds import ModeFold
from bayesnmf.rank.measures import Measures, folds_of, precision, run_tasks, similarity, summed
from bayesnmf.rank.residuals import MAX_ITER, TOL, Replicates, p_value, residuals
from bayesnmf.rank.settings import Settings

#: Replicates in one task for an executor.
BATCH = 10


def measure_mode(settings: Settings, rank: int, previous: Fit | None, progress: bool) -> Measures:
    """Fit one rank by its mode in log space, and measure it.

    Parameters
    ----------
    settings : Settings
    rank : int
    previous : Fit or None
        The fit of a smaller rank, from which one of the searches starts.
    progress : bool
    """
    begin, model = perf_counter(), settings.at(rank)
    with precision(settings):
        search = search_of(settings, model)
        solutions = modes(settings, model, search, previous, progress)
        best = solutions[0]
        fit = _assembled(settings, model, solutions, perf_counter() - begin)
        values = {"converged": float(best.converged), "stability": _stability(solutions)}
        values |= _residual_check(settings, model, search, best)
        elpd_i, note = _cross_validated(settings, model, search, best)
    return Measures(fit, elpd_i, summed(elpd_i) | values, note)


def search_of(settings: Settings, model: NMF) -> Search:
    """Return how to search for a mode in log space with the options of the method."""
    assert isinstance(settings.method, MAP)
    # In log space the mode is strictly positive, near the posterior mean, and a coefficient of
    # which the data say nothing sits at the mean of its prior instead of at 0.
    return replace(settings.method._search(model), log_space=True)


def modes(
    settings: Settings, model: NMF, search: Search, previous: Fit | None, progress: bool
) -> list[Solution]:
    """Return the optima from all starts, best first, random starts and a grown one."""
    method, matrix = settings.method, settings.matrix
    assert isinstance(method, MAP)
    key = jax.random.fold_in(jax.random.key(settings.seed), model.n_components)
    if method.init == "nndsvd":
        starts: list[Start] = [nndsvd_start(model, matrix)]
    else:
        starts = [random_start(model, matrix, k) for k in jax.random.split(key, method.n_init)]
    if previous is not None:
        W, H = previous.W.to_numpy(), previous.H.to_numpy()
        starts.append(grown_start(model, matrix, (W, H)))
    data = Cells(jnp.asarray(_filled(settings)), jnp.asarray(matrix.observed))
    return find_modes(search, model, matrix, starts, progress, data)


def _filled(settings: Settings) -> np.ndarray:
    return settings.matrix.filled(settings.model.likelihood.placeholder)


def _assembled(settings: Settings, model: NMF, solutions: list[Solution], seconds: float) -> Fit:
    best = solutions[0]
    ended = "converged" if best.converged else "not converged"
    message = (
        f"Mode in log space, {ended} after {best.n_iter} steps, the best of {len(solutions)} "
        f"starts, objective {best.objective:.6g}"
    )
    info = {
        "n_iter": best.n_iter,
        "objective": best.objective,
        "residual": best.residual,
        "objectives": [solution.objective for solution in solutions],
    }
    stacked = {name: np.asarray(value)[None, None] for name, value in best.sites.items()}
    options = {
        field.name: getattr(settings.method, field.name) for field in fields(settings.method)
    }
    attrs = {
        "bayesnmf_version": version("bayesnmf"),
        "method": "map",
        "method_options": json.dumps(options),
        "seed": settings.seed,
        "seconds": seconds,
    }
    draws = Draws(stacked, {}, best.converged, message, info)
    return assemble(draws, model, settings.matrix, attrs)


def _stability(solutions: list[Solution]) -> float:
    """Return how alike the best and the other starts find the components; NaN for one start."""
    best, *others = (solution.sites["H"] for solution in solutions)
    return similarity(np.stack(others), best) if others else np.nan


def _residual_check(
    settings: Settings, model: NMF, search: Search, best: Solution
) -> dict[str, float]:
    values, observed = _filled(settings), settings.matrix.observed
    quick = replace(search, max_iter=MAX_ITER, tol=TOL)
    ours = residuals(model.likelihood, best.sites, values, observed)
    numbers = range(settings.n_replicates)
    tasks = [
        Replicates(
            model,
            values,
            observed,
            best.sites,
            quick,
            settings.seed,
            tuple(numbers[i : i + BATCH]),
        )
        for i in numbers[::BATCH]
    ]
    parts = run_tasks(tasks, settings.executor)
    singular, dispersion = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        "residual_p": p_value(float(ours.singular_value), singular),
        "dispersion": float(ours.dispersion),
        "dispersion_p": p_value(float(ours.dispersion), dispersion),
    }


def _cross_validated(
    settings: Settings, model: NMF, search: Search, best: Solution
) -> tuple[np.ndarray, str]:
    """Return the predictive density of every observed cell, or NaN and the reason."""
    values, observed = _filled(settings), settings.matrix.observed
    elpd = np.full(observed.shape, np.nan)
    folds, note = folds_of(settings)
    if folds is not None:
        tasks = [
            ModeFold(
                model,
                values,
                observed,
                folds == number,
                best.sites,
                search,
                settings.seed + number,
            )
            for number in range(settings.k)
        ]
        for number, density in enumerate(run_tasks(tasks, settings.executor)):
            elpd[folds == number] = density
    return elpd[observed], note
