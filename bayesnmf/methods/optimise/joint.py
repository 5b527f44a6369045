"""Steps of both factors at once, for objectives on which steps of one factor crawl.

A step goes to the minimum of the quadratic model of :mod:`bayesnmf.methods.optimise.quadratic`. That
leaves WH as it is to first order only, so a few block Newton steps follow before the objective is looked at. Where it
has risen all the same, the step is shortened, and the next model is damped more.

References
----------
Levenberg, K. (1944). A method for the solution of certain non-linear problems in least squares.
Quarterly of Applied Mathematics 2, 164-168. doi:10.1090/qam/10666
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix, SparseMatrix
from bayesnmf.methods.optimise import acceleration
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.methods.optimise.descent import certificate, improved
from bayesnmf.methods.optimise.multiplicative import update_parameters
from bayesnmf.methods.optimise.penalty import penalty
from bayesnmf.methods.optimise.quadratic import minimum, quadratic_at
from bayesnmf.methods.optimise.solution import Search, show_step
from bayesnmf.model import NMF
from bayesnmf.observed.cells import Cells, dense_cells_of
from bayesnmf.observed.interface import Observed
from bayesnmf.progress import Progress

#: Block Newton steps after each joint step.
CORRECTIONS = 2


#: Share of its length that a step keeps when it has to be shortened, and how often that may happen.
SHRINK, MAX_SHRINKAGES = 0.3, 8


#: Damping to begin with, and the factor by which it falls after a whole step and grows after a shortened one.
DAMPING, FACTOR = 1e-5, 4.0


#: Steps of one factor at a time before the first joint one, whose program takes seconds to compile.
PATIENCE = 200


#: Joint steps at most: where so many do not serve, more would not.
MAX_STEPS = 200


#: Multiplications of a product of the factors beyond which a model's many products would take too long.
LARGE = 1_000_000


class Joint(NamedTuple):
    """Where the steps stand: the best point, its objective and optimality residual, and the damping of the next model.

    `size` is that of the objective's terms, as :func:`descent.certificate` takes it.
    """

    point: Factors
    objective: Array
    residual: Array
    damping: Array
    size: Array


def serves(search: Search, model: NMF, matrix: AnyMatrix) -> bool:
    """Return whether joint steps go on where those of one factor crawl or stall."""
    size = matrix.n_rows * matrix.n_columns * model.n_components
    # In single precision the flat directions drown in the rounding of the others.
    return search.solver == "newton" and matrix.dtype == np.float64 and size <= LARGE


def finish(
    search: Search,
    model: NMF,
    matrix: AnyMatrix,
    data: Observed,
    state: acceleration.State,
    progress: Progress,
) -> acceleration.State:
    """Continue by joint steps until optimal, or until they no longer help.

    Storages other than cells are expanded: they are as good as cells for what is this small.
    """
    cells = data if isinstance(data, Cells) else _expanded(model, matrix)
    at, n_iter = start_at(state.accepted, state.objective), int(state.n_iter)
    for _ in range(min(MAX_STEPS, search.max_iter - n_iter)):
        at = joint_step(model, cells, at, log_space=search.log_space)
        n_iter += 1
        show_step(progress, n_iter, float(at.objective))
        if at.residual <= search.tol or at.damping > 1.0:
            break
    found = acceleration.first_state(at.point, at.size, len(state.memory.images))
    return found._replace(n_iter=jnp.asarray(n_iter), residual=at.residual)


def _expanded(model: NMF, matrix: AnyMatrix) -> Cells:
    dense = matrix.expanded() if isinstance(matrix, SparseMatrix) else matrix
    return dense_cells_of(model, dense)


def start_at(point: Factors, objective: Array) -> Joint:
    """Return the state before the first step."""
    one = jnp.ones((), point.W.dtype)
    return Joint(point, objective, jnp.inf * one, DAMPING * one, objective)


@partial(jax.jit, static_argnames="log_space")
def joint_step(model: NMF, cells: Cells, state: Joint, *, log_space: bool) -> Joint:
    """Take one step of both factors, then update the likelihood's parameters."""
    point = state.point
    local = quadratic_at(model, cells, point, log_space=log_space)
    step, damping = minimum(local, state.damping)
    before = penalty(model, *point, log_space=log_space)

    def look(tried: tuple[Array, Factors, Array, Array]) -> tuple[Array, Factors, Array, Array]:
        size, _, _, count = tried
        size = jnp.where(count > 0, SHRINK * size, size)
        W, H = (jnp.maximum(x + size * dx, 0.0) for x, dx in zip(point[:2], step, strict=True))
        new = Factors(W, H, point.parameters)
        correct = partial(improved, model, cells, log_space=log_space)
        new = lax.fori_loop(0, CORRECTIONS, lambda _, new: correct(new), new)
        change = penalty(model, *new, log_space=log_space) - before
        change -= cells.joint_log_density_change(model, point[:2], new[:2], point.parameters)
        return size, new, change, count + 1

    def too_long(tried: tuple[Array, Factors, Array, Array]) -> Array:
        return ~(tried[2] <= 0) & (tried[3] <= MAX_SHRINKAGES)

    one = jnp.ones((), point.W.dtype)
    begin = (one, point, jnp.inf * one, jnp.asarray(0))
    size, new, change, _ = lax.while_loop(too_long, look, begin)
    better = change <= 0
    new = jax.tree.map(lambda x, y: jnp.where(better, x, y), new, point)
    whole = better & (size == 1.0)
    damping *= jnp.where(whole, 1.0 / FACTOR, FACTOR)
    if new.parameters:
        values = update_parameters(model, cells, new.W, new.H, new.parameters)
        new = new._replace(parameters=values)
    residual, objective = certificate(model, cells, new, state.size, log_space=log_space)
    return Joint(new, objective, residual, damping, state.size)
