"""Local optima of the posterior of an NMF, from one start or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bayesnmf.data import Matrix
from bayesnmf.model import NMF

from . import acceleration, descent, multiplicative
from .acceleration import Factors
from .initial import Start

#: Multiplicative updates before the first Newton step, which from afar would pick a poor basin.
WARM_UP = 10
#: Multiplicative updates between two looks at the stopping rule, as in scikit-learn.
STRIDE = 10
#: Accelerated steps between two returns from compiled code, for progress and interruption.
CHUNK = 50
#: Times that the accelerated loop is restarted to satisfy the certificate, or to release entries
#: that are locked at zero.
MAX_ROUNDS = 10


@dataclass(frozen=True)
class Solution:
    """One local optimum: its sites, and how the search for it ended.

    `residual` is the scaled optimality residual of :func:`descent.scaled_residual`; `stalled`
    says that the objective no longer changed within floating point.
    """

    sites: dict[str, np.ndarray]
    objective: float
    residual: float
    n_iter: int
    converged: bool
    stalled: bool = False


@dataclass(frozen=True)
class Search:
    """How to search: the solver, when to stop, and whether in log space.

    Parameters
    ----------
    solver : {"newton", "accelerated", "mu"}
        Block Newton steps, accelerated multiplicative updates, or plain ones.
    max_iter : int
        Steps at most.
    tol : float
        Scaled optimality residual to reach, or with `by_divergence` scikit-learn's tolerance.
    by_divergence : bool
        Stop plain updates by scikit-learn's rule.
    log_space : bool
        Seek the mode of the logarithms of W and H.
    """

    solver: str
    max_iter: int
    tol: float
    by_divergence: bool = False
    log_space: bool = False


def find_modes(
    search: Search, model: NMF, matrix: Matrix, starts: list[Start], progress: bool
) -> list[Solution]:
    """Search from every start and return the optima, best first."""
    data = multiplicative.data_of(model, matrix)
    solutions = []
    with tqdm(total=len(starts), desc="map", disable=not progress, leave=False) as bar:
        for start in starts:
            solve = _classic if search.solver == "mu" else _accelerated
            solutions.append(solve(search, model, data, start, bar))
            bar.update()
    return sorted(solutions, key=lambda solution: solution.objective)


def _classic(
    search: Search, model: NMF, data: multiplicative.Data, start: Start, bar: Any
) -> Solution:
    """Iterate plain multiplicative updates."""
    options = {"log_space": search.log_space}
    point = multiplicative.start(model, data, *start, model.likelihood.start(), **options)
    first = before = float(multiplicative.root_divergence(model, data, point))
    n_iter, converged = 0, False
    while n_iter < search.max_iter and not converged:
        steps = min(STRIDE, search.max_iter - n_iter)
        point = multiplicative.iterate(model, data, point, num_steps=steps, **options)
        n_iter += steps
        if search.by_divergence:
            now = float(multiplicative.root_divergence(model, data, point))
            converged = steps == STRIDE and (before - now) / first < search.tol
            before = now
        else:
            converged = _residual(model, data, _factors(point), search) <= search.tol
        _report(bar, n_iter, float(point.objective))
    residual = _residual(model, data, _factors(point), search)
    return _solution(point, residual, n_iter, converged)


def _accelerated(
    search: Search, model: NMF, data: multiplicative.Data, start: Start, bar: Any
) -> Solution:
    """Accelerate Newton or multiplicative steps until the certificate holds."""
    options = {"log_space": search.log_space}
    point = multiplicative.start(model, data, *start, model.likelihood.start(), **options)
    n_iter = min(WARM_UP, search.max_iter)
    point = multiplicative.iterate(model, data, point, num_steps=n_iter, **options)
    goal, residual, stalled = search.tol, np.inf, False
    for _ in range(MAX_ROUNDS):
        if n_iter >= search.max_iter:
            break
        budget = search.max_iter - n_iter
        state = _advance(search, model, data, point, goal, budget, bar)
        n_iter += int(state.n_iter)
        stalled = int(state.stalled) >= acceleration.MAX_STALLED
        accepted, residual = state.accepted, _residual(model, data, state.accepted, search)
        if residual > search.tol:
            accepted, released = descent.release(model, data, accepted, goal, **options)
            # The loop watches the residual one half step late; where that was too hopeful, aim
            # lower. Where it stalled with nothing locked, floating point allows no more.
            goal /= 4
            if stalled and not released:
                break
        W, H, parameters = accepted
        point = multiplicative.start(model, data, W.T, H, parameters, **options)
        if residual <= search.tol:
            break
    if not np.isfinite(residual):
        residual = _residual(model, data, _factors(point), search)
    return _solution(point, residual, n_iter, residual <= search.tol, stalled)


def _advance(
    search: Search, model: NMF, data: multiplicative.Data, point: multiplicative.Point,
    goal: float, budget: int, bar: Any,
) -> acceleration.State:  # fmt: skip
    """Run the accelerated loop in chunks, so that progress shows and Ctrl-C is heard."""
    state = acceleration.start(_factors(point), point.objective)
    tol, limit = jnp.asarray(goal, point.W.dtype), 0
    while int(state.n_iter) == limit < budget:
        limit = min(limit + CHUNK, budget)
        state = descent.advance(
            model, data, state, jnp.asarray(limit), tol, algorithm=search.solver,
            log_space=search.log_space,
        )  # fmt: skip
        _report(bar, int(state.n_iter), float(state.objective))
    return state


def _factors(point: multiplicative.Point) -> Factors:
    return Factors(point.W.T, point.H, point.parameters)


def _residual(model: NMF, data: multiplicative.Data, point: Factors, search: Search) -> float:
    return float(descent.certificate(model, data, point, log_space=search.log_space))


def _solution(
    point: multiplicative.Point, residual: float, n_iter: int, converged: bool,
    stalled: bool = False,
) -> Solution:  # fmt: skip
    sites = jax.tree.map(np.asarray, {"W": point.W, "H": point.H, **point.parameters})
    return Solution(sites, float(point.objective), residual, n_iter, converged, stalled)


def _report(bar: Any, n_iter: int, objective: float) -> None:
    bar.set_postfix(step=n_iter, objective=f"{objective:.6g}", refresh=False)
    bar.update(0)
