"""Accelerated searches: plain updates to begin with, then steps until the certificate holds."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, transposed
from bayesnmf.data import AnyMatrix
from bayesnmf.methods.optimise import acceleration, descent, joint, multiplicative
from bayesnmf.methods.optimise.initial import Start
from bayesnmf.methods.optimise.solution import (
    Search,
    Solution,
    factors_at,
    show_step,
    solution_at,
)
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Observed
from bayesnmf.progress import Progress

#: Multiplicative updates before the first Newton step, which from afar would pick a poor basin: few
#: where one costs more than this many multiplications, and many where it costs next to nothing.
WARM_UP, WARM_UP_SMALL, SMALL = 30, 100, 2_000_000


#: Accelerated steps between two returns from compiled code, for progress and interruption: so
#: many, or fewer where they would take more than this many multiplications, some seconds of work.
CHUNK, CHUNK_COST = 50, 100_000_000


#: Times that the accelerated loop is restarted to satisfy the certificate, or to release entries
#: that are locked at zero.
MAX_ROUNDS = 10


#: Bytes that the acceleration may always remember, however small the data.
LEAST_BUDGET = 2**24


def warm_up(search: Search, point: multiplicative.Point) -> int:
    """Return the number of plain updates to begin with."""
    small = _cost(point.W, point.H) < SMALL
    return min(WARM_UP_SMALL if small else WARM_UP, search.max_iter)


def _cost(W: Array, H: Array) -> int:
    """Return the multiplications of one product of the factors."""
    return W.size * H.size // H.shape[0]


def warmed_up(search: Search, model: NMF, data: Observed, start: Start) -> multiplicative.Point:
    """Take the first steps by plain updates, which choose the basin."""
    options = {"log_space": search.log_space}
    point = multiplicative.first_point(model, *start, model.likelihood.start())
    steps = warm_up(search, point)
    return multiplicative.iterate(model, data, point, num_steps=steps, **options)


def accelerated(
    search: Search,
    model: NMF,
    matrix: AnyMatrix,
    data: Observed,
    points: list[multiplicative.Point],
    progress: Progress,
) -> list[Solution]:
    """Accelerate Newton or multiplicative steps until the certificate holds, from every point.

    What they do not reach soon is reached by joint steps, where those serve.
    """
    n_iter = warm_up(search, points[0])
    jointly = joint.serves(search, model, matrix)
    states = [
        acceleration.first_state(factors_at(point), point.objective, memory_of(point, data))
        for point in points
    ]
    if search.max_iter > n_iter:
        budget = search.max_iter - n_iter
        budget = min(joint.PATIENCE, budget) if jointly else budget
        states = advance(search, model, data, states, search.tol, budget, progress)
    solutions = []
    for point, state in zip(points, states, strict=True):
        if jointly and state.residual > search.tol:
            rest = replace(search, max_iter=search.max_iter - n_iter)
            end = joint.finish(rest, model, matrix, data, state, progress)
        else:
            end = state
        solutions.append(_certified(search, model, data, point, end, progress))
        progress.advance()
    return solutions


def _certified(
    search: Search,
    model: NMF,
    data: Observed,
    point: multiplicative.Point,
    state: acceleration.State,
    progress: Progress,
) -> Solution:
    """Continue from a first run of the accelerated loop until the certificate holds."""
    options = {"log_space": search.log_space}
    n_iter, goal = warm_up(search, point), search.tol
    for _ in range(MAX_ROUNDS):
        n_iter += int(state.n_iter)
        stalled = int(state.stalled) >= acceleration.MAX_STALLED
        accepted, size = state.accepted, state.objective
        residual, objective = descent.certificate(model, data, accepted, size, **options)
        if residual > search.tol:
            accepted, objective, released = descent.release(model, data, accepted, goal, **options)
            # The loop watches the residual one half step late; where that was too hopeful, aim
            # lower. Where it stalled with nothing locked, floating point allows no more.
            goal /= 4
            stalled = stalled and not bool(released)
        W, H, parameters = accepted
        point = multiplicative.first_point(model, transposed(W), H, parameters)
        point = point._replace(objective=objective)
        if residual <= search.tol or stalled or n_iter >= search.max_iter:
            break
        state = acceleration.first_state(factors_at(point), point.objective, memory_of(point, data))
        state = advance(search, model, data, [state], goal, search.max_iter - n_iter, progress)[0]
    return solution_at(model, point, float(residual), n_iter, bool(residual <= search.tol), stalled)


def advance(
    search: Search,
    model: NMF,
    data: Observed,
    states: list[acceleration.State],
    goal: float,
    budget: int,
    progress: Progress,
) -> list[acceleration.State]:
    """Run the accelerated loop in chunks, so that progress shows and Ctrl-C is heard."""
    tol, limit = np.asarray(goal, states[0].objective.dtype), 0
    options = {"algorithm": search.solver, "log_space": search.log_space}
    batch = len(states) > 1
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if batch else states[0]
    step = descent.advance_all if batch else descent.advance
    W, H, _ = states[0].accepted
    chunk = min(max(CHUNK_COST // (len(states) * _cost(W, H)), 1), CHUNK)
    while int(np.asarray(state.n_iter).max()) == limit < budget:
        limit = min(limit + chunk, budget)
        state = step(model, data, state, np.asarray(limit), tol, **options)
        show_step(
            progress, int(np.asarray(state.n_iter).max()), float(np.asarray(state.objective).min())
        )
    if not batch:
        return [state]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(len(states))]


def memory_of(point: multiplicative.Point | acceleration.Factors, data: Observed) -> int:
    """Return how many pairs of factors may be remembered in the memory that the data take."""
    per_step = 2 * (point.W.nbytes + point.H.nbytes)
    budget = max(sum(leaf.nbytes for leaf in jax.tree.leaves(data)), LEAST_BUDGET)
    return int(np.clip(budget // per_step, 2, acceleration.MEMORY))
