"""Local optima of the posterior of an NMF, from one start or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bayesnmf.data import AnyMatrix
from bayesnmf.methods.optimise import acceleration, descent, multiplicative
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.initial import Start, random_scale
from bayesnmf.model import NMF
from bayesnmf.model.rates import mode_rates
from bayesnmf.observed import observe
from bayesnmf.observed.interface import Observed

#: Multiplicative updates before the first Newton step, which from afar would pick a poor basin: few
#: where one costs more than this many multiplications, and many where it costs next to nothing.
WARM_UP, WARM_UP_SMALL, SMALL = 30, 100, 2_000_000


#: Multiplicative updates between two looks at the stopping rule, as in scikit-learn.
STRIDE = 10


#: Accelerated steps between two returns from compiled code, for progress and interruption.
CHUNK = 50


#: Times that the accelerated loop is restarted to satisfy the certificate, or to release entries
#: that are locked at zero.
MAX_ROUNDS = 10


#: Zeros of a start become this share of a random start's scale.
LIFT = 1e-6


#: Bytes that the acceleration may always remember, however small the data.
LEAST_BUDGET = 2**24


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

    @property
    def finite(self) -> bool:
        """Whether the objective and every site are finite; nothing else can have converged."""
        return bool(
            np.isfinite(self.objective) and all(np.isfinite(x).all() for x in self.sites.values())
        )


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
    batched : bool
        Run all starts in one batch; by default everywhere but on CPUs.
    """

    solver: str
    max_iter: int
    tol: float
    by_divergence: bool = False
    log_space: bool = False
    batched: bool = field(default_factory=lambda: jax.default_backend() != "cpu")


def find_modes(
    search: Search,
    model: NMF,
    matrix: AnyMatrix,
    starts: list[Start],
    progress: bool,
    data: Observed | None = None,
) -> list[Solution]:
    """Search from every start and return the optima, best first.

    `data` is the matrix in the storage to use; None: the fastest.

    Accelerators run all starts in one batch. CPUs run them one after another, which measured
    1.4 to 2.9 times as fast there: a batch evaluates both sides of every branch, and waits for
    its slowest member.
    """
    data = observe(model, matrix) if data is None else data
    with tqdm(total=len(starts), desc="map", disable=not progress, leave=False) as bar:
        if search.solver == "mu":
            solutions = [_classic(search, model, data, start, bar) for start in starts]
        else:
            starts = [_lifted(start, random_scale(model, matrix)) for start in starts]
            points = [_warmed_up(search, model, data, start) for start in starts]
            together = search.batched and len(starts) > 1
            groups = [points] if together else [[point] for point in points]
            solutions = [
                solution
                for group in groups
                for solution in _accelerated(search, model, data, group, bar)
            ]
    return sorted(solutions, key=lambda solution: (not solution.finite, solution.objective))


def refit(search: Search, model: NMF, data: Observed, near: Mapping[str, np.ndarray]) -> Solution:
    """Search from a point near a mode, such as the mode of similar data, by fast steps alone.

    Where `near` is zero the search begins a hair above it.
    """
    parameters = {name: x for name, x in near.items() if name not in ("W", "H")}
    options = {"log_space": search.log_space}
    H = np.maximum(near["H"], LIFT * near["H"].max(axis=1, keepdims=True))
    W = np.maximum(near["W"], LIFT * near["W"].max(axis=0, keepdims=True))
    point = multiplicative.start(model, data, W, H, parameters, **options)
    state = acceleration.start(_factors(point), point.objective, _memory(point, data))
    bar = tqdm(disable=True)
    state = _advance(search, model, data, [state], search.tol, search.max_iter, bar)[0]
    W, H, parameters = state.accepted
    point = point._replace(W=W.T, H=H, parameters=parameters, objective=state.objective)
    residual = float(state.residual)
    return _solution(model, point, residual, int(state.n_iter), residual <= search.tol)


def _classic(search: Search, model: NMF, data: Observed, start: Start, bar: Any) -> Solution:
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
            converged = steps == STRIDE and (before - now < search.tol * first or now == 0)
            before = now
        else:
            converged = (
                _residual(model, data, _factors(point), point.objective, search) <= search.tol
            )
        _report(bar, n_iter, float(point.objective))
    bar.update()
    residual = _residual(model, data, _factors(point), point.objective, search)
    return _solution(model, point, residual, n_iter, converged)


def _lifted(start: Start, scale: float) -> Start:
    """Replace zeros: from a row or a component of zeros no step leads away."""
    W, H = (np.where(x > 0, x, x.dtype.type(LIFT * scale)) for x in start)
    return W, H


def warm_up(search: Search, point: multiplicative.Point) -> int:
    """Return the number of plain updates to begin with."""
    cost = point.W.shape[0] * point.H.size
    return min(WARM_UP_SMALL if cost < SMALL else WARM_UP, search.max_iter)


def _warmed_up(search: Search, model: NMF, data: Observed, start: Start) -> multiplicative.Point:
    """Take the first steps by plain updates, which choose the basin."""
    options = {"log_space": search.log_space}
    point = multiplicative.start(model, data, *start, model.likelihood.start(), **options)
    steps = warm_up(search, point)
    return multiplicative.iterate(model, data, point, num_steps=steps, **options)


def _accelerated(
    search: Search, model: NMF, data: Observed, points: list[multiplicative.Point], bar: Any
) -> list[Solution]:
    """Accelerate Newton or multiplicative steps until the certificate holds, from every point."""
    n_iter = warm_up(search, points[0])
    states = [
        acceleration.start(_factors(point), point.objective, _memory(point, data))
        for point in points
    ]
    if search.max_iter > n_iter:
        states = _advance(search, model, data, states, search.tol, search.max_iter - n_iter, bar)
    solutions = []
    for point, state in zip(points, states, strict=True):
        solutions.append(_certified(search, model, data, point, state, bar))
        bar.update()
    return solutions


def _certified(
    search: Search,
    model: NMF,
    data: Observed,
    point: multiplicative.Point,
    state: acceleration.State,
    bar: Any,
) -> Solution:
    """Go on from a first run of the accelerated loop until the certificate holds."""
    options = {"log_space": search.log_space}
    n_iter, goal, residual, stalled = warm_up(search, point), search.tol, np.inf, False
    for _ in range(MAX_ROUNDS):
        n_iter += int(state.n_iter)
        stalled = int(state.stalled) >= acceleration.MAX_STALLED
        accepted = state.accepted
        residual = _residual(model, data, accepted, state.objective, search)
        if residual > search.tol:
            accepted, released = descent.release(model, data, accepted, goal, **options)
            # The loop watches the residual one half step late; where that was too hopeful, aim
            # lower. Where it stalled with nothing locked, floating point allows no more.
            goal /= 4
            stalled = stalled and not bool(released)
        W, H, parameters = accepted
        point = multiplicative.start(model, data, W.T, H, parameters, **options)
        if residual <= search.tol or stalled or n_iter >= search.max_iter:
            break
        state = acceleration.start(_factors(point), point.objective, _memory(point, data))
        state = _advance(search, model, data, [state], goal, search.max_iter - n_iter, bar)[0]
    return _solution(model, point, residual, n_iter, residual <= search.tol, stalled)


def _advance(
    search: Search,
    model: NMF,
    data: Observed,
    states: list[acceleration.State],
    goal: float,
    budget: int,
    bar: Any,
) -> list[acceleration.State]:
    """Run the accelerated loop in chunks, so that progress shows and Ctrl-C is heard."""
    tol, limit = jnp.asarray(goal, states[0].objective.dtype), 0
    options = {"algorithm": search.solver, "log_space": search.log_space}
    batch = len(states) > 1
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if batch else states[0]
    advance = descent.advance_all if batch else descent.advance
    while int(jnp.max(state.n_iter)) == limit < budget:
        limit = min(limit + CHUNK, budget)
        state = advance(model, data, state, jnp.asarray(limit), tol, **options)
        _report(bar, int(jnp.max(state.n_iter)), float(jnp.min(state.objective)))
    if not batch:
        return [state]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(len(states))]


def _memory(point: multiplicative.Point, data: Observed) -> int:
    """Return how many pairs of factors may be remembered in the memory that the data take."""
    per_step = 2 * (point.W.nbytes + point.H.nbytes)
    budget = max(sum(leaf.nbytes for leaf in jax.tree.leaves(data)), LEAST_BUDGET)
    return int(np.clip(budget // per_step, 2, acceleration.MEMORY))


def _factors(point: multiplicative.Point) -> Factors:
    return Factors(point.W.T, point.H, point.parameters)


def _residual(
    model: NMF, data: Observed, point: Factors, objective: jax.Array, search: Search
) -> float:
    return float(descent.certificate(model, data, point, objective, log_space=search.log_space))


def _solution(
    model: NMF,
    point: multiplicative.Point,
    residual: float,
    n_iter: int,
    converged: bool,
    stalled: bool = False,
) -> Solution:
    rates = mode_rates(model, point.W.T, point.H)
    sites = jax.tree.map(np.asarray, {"W": point.W, "H": point.H, **point.parameters, **rates})
    solution = Solution(sites, float(point.objective), residual, n_iter, converged, stalled)
    # Whatever a rule said: numbers that are not finite are no optimum.
    return solution if solution.finite else replace(solution, converged=False)


def _report(bar: Any, n_iter: int, objective: float) -> None:
    bar.set_postfix(step=n_iter, objective=f"{objective:.6g}", refresh=False)
    bar.update(0)
