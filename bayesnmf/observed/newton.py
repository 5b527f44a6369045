"""Block Newton steps: all rows of one factor at once, each with its own exact Hessian.

Given H, the rows of W are independent problems in K unknowns, and the other way round. With the
score s and the curvature w of the likelihood at every cell, row i of W has gradient ``-s_i H'`` and
Hessian ``sum_j w_ij H_kj H_lj``; the Hessians of all rows are one matrix product of the curvatures
with the products of pairs of rows of H. The non-negative quadratic problems are solved by a few
sweeps of coordinate descent, in lockstep over rows, and a line search along each row's step
makes every step a descent.

Factors are held component first: x is (component, row) for W and (component, column) for H, so
that one function serves both; `axis` is the axis of V that the other factor runs along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array, floor_of, off_zero
from bayesnmf.model import NMF
from bayesnmf.observed.products import cell_product, contract

if TYPE_CHECKING:
    from bayesnmf.observed.cells import Cells


#: Sweeps of coordinate descent on each row's quadratic problem. Few steps with well-solved problems beat
#: many with roughly solved ones: a sweep costs next to nothing beside the Hessians.
SWEEPS = 8


#: Looks at a row's step, each at a shorter one, before the row stays where it is.
MAX_LOOKS = 30


#: Share of its length that a step keeps when it has to be shortened.
SHRINK = 0.3


#: Relative lift of the Hessian's diagonal, against components that coincide.
RIDGE = 1e-6


#: A step keeps at least this share of an entry whose prior keeps it off zero.
KEEP = 0.1


def half_step(
    model: NMF,
    data: Cells,
    x: Array,
    y: Array,
    mean: Array,
    parameters: dict[str, Array],
    penalty: tuple[Array, Array],
    *,
    axis: int,
) -> tuple[Array, Array]:
    """Improve factor `x` with `y` held; return it, and the gradient at the old one.

    `mean` is the product of the factors on the cells of V; `penalty` holds what
    :meth:`bayesnmf.priors.Prior.penalty_terms` returns for `x`.
    """
    likelihood = model.likelihood
    parameters = {**likelihood.known, **parameters}
    rate, log_coefficient = penalty
    lifted = off_zero(x)
    score = data.kept(likelihood.score(data.values, mean, **parameters))
    curvature = data.kept(likelihood.curvature(data.values, mean, **parameters))
    gradient = rate - log_coefficient / lifted - contract(y, score, axis)
    hessian = row_hessians(
        y, curvature, axis, ridge=log_coefficient / lifted**2 + floor_of(x.dtype)
    )
    lowest = -x * jnp.where(log_coefficient > 0, 1.0 - KEEP, 1.0)
    step = _descend(hessian, gradient, lowest)
    along = cell_product(step, y, axis)

    def change(size: Array) -> Array:
        """Return the change of the objective, row by row, after `size` of the step."""
        cells = likelihood.log_density_change(
            data.values, mean, jnp.expand_dims(size, axis) * along, **parameters
        )
        prior_part = size * jnp.sum(rate * step, axis=0) - jnp.sum(
            jnp.where(
                log_coefficient > 0, log_coefficient * jnp.log1p(size[None] * step / lifted), 0.0
            ),
            axis=0,
        )
        return prior_part - jnp.sum(data.kept(cells), axis=axis)

    size = _backtrack(change, jnp.ones(x.shape[1], x.dtype))
    return jnp.maximum(x + size[None] * step, 0.0), gradient


def row_hessians(y: Array, curvature: Array, axis: int, ridge: Array) -> Array:
    """Return every row's Hessian, of shape (component, component, row)."""
    n_components = y.shape[0]
    first, second = np.tril_indices(n_components)
    position = np.zeros((n_components, n_components), int)
    position[first, second] = position[second, first] = np.arange(len(first))
    # Only the Hessian may be single: an error there bends the step, not the optimum. Scaled to
    # at most 1, its terms stay in single range whatever the units of V.
    tiny = jnp.finfo(y.dtype).tiny
    unit = jnp.maximum(jnp.max(y, axis=1, keepdims=True), tiny)
    largest = jnp.maximum(jnp.max(curvature), tiny)
    scaled = y / unit
    pairs = (scaled[first] * scaled[second]).astype(jnp.float32)
    # XLA turns v / mean / mean / largest into v / (mean * mean * largest), whose denominator may
    # underflow in an empty row, to 0 / 0.
    share = jnp.where(curvature > 0, curvature / largest, 0.0)
    packed = contract(pairs, share.astype(jnp.float32), axis).astype(y.dtype)
    full = (packed * (unit[first] * unit[second] * largest))[position]
    diagonal = np.arange(n_components)
    lifted = full[diagonal, diagonal] * (1.0 + RIDGE) + ridge
    return full.at[diagonal, diagonal].set(lifted)


def _descend(hessian: Array, gradient: Array, lowest: Array) -> Array:
    """Minimise ``d' Q d / 2 + g' d`` over ``d >= lowest`` by coordinate descent in every row."""
    n_components = gradient.shape[0]

    def update(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        step, slope = state
        k = i % n_components
        column = lax.dynamic_index_in_dim(hessian, k, keepdims=False)
        old = lax.dynamic_index_in_dim(step, k, keepdims=False)
        least = lax.dynamic_index_in_dim(lowest, k, keepdims=False)
        here = lax.dynamic_index_in_dim(slope, k, keepdims=False)
        curvature = lax.dynamic_index_in_dim(column, k, keepdims=False)
        new = jnp.maximum(old - here / curvature, least)
        slope = slope + column * (new - old)[None]
        return lax.dynamic_update_index_in_dim(step, new, k, 0), slope

    start = (jnp.zeros_like(gradient), gradient)
    return lax.fori_loop(0, SWEEPS * n_components, update, start)[0]


def _backtrack(change: Callable[[Array], Array], size: Array) -> Array:
    """Shrink each row's step until it does not increase the objective; else to zero."""

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        _, settled, count = state
        return ~jnp.all(settled) & (count < MAX_LOOKS)

    # The change is evaluated in one place only, which halves what there is to compile.
    def look(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        size, _, count = state
        settled = change(size) <= 0
        return jnp.where(settled, size, SHRINK * size), settled, count + 1

    never = jnp.zeros(size.shape, bool)
    size, settled, _ = lax.while_loop(unsettled, look, (size, never, jnp.asarray(0)))
    return jnp.where(settled, size, 0.0)
