"""Discrepancies between a matrix and the distribution of its cells, one number each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayesnmf.arrays import Array
from bayesnmf.likelihoods.numpy_draws import unwrapped

#: Smaller side up to which all singular values are computed; above, a Krylov space is.
EXACT_SIDE = 256


#: Vectors in a block of the Krylov space, and how often the residuals multiply it.
BLOCK, POWERS = 8, 6


def partial_sums(
    v: Array,
    observed: Array,
    cells: dist.Distribution,
    at: tuple[Array, Array],
    key: Array,
    side: str,
) -> dict[str, Array]:
    """Return what some rows contribute to every discrepancy between V and its distribution.

    Parameters
    ----------
    v : array of shape (n_rows, n_columns)
        Some rows of data or of a replicate; anything finite where a cell is missing.
    observed : array of bool of shape (n_rows, n_columns)
        Cells that count.
    cells : Distribution
        With a mean and a variance for each cell.
    at : pair of arrays of int of shape (n,)
        Rows and columns of the cells at which calibration is judged.
    key : jax.Array
        For the randomised probability integral transform of counts.
    side : {"columns", "rows", "neither"}
        Which side's products of the Pearson residual are returned.

    Returns
    -------
    dict of str to array
        Sums: "count" of observed cells, "zeros", "squares" of the Pearson residual, "row totals" (chi-square), "excess" and
        "variance" of each column, "gram". A maximum: "maximum". And "transformed" of shape (n,),
        where cells have a cumulative distribution function.
    """
    residual = pearson(v, observed, cells)
    excess = jnp.where(observed, v - cells.mean, 0.0)
    variance = jnp.where(observed, cells.variance, 0.0)
    standardised = excess.sum(axis=1) ** 2 / variance.sum(axis=1)
    result = {
        "count": observed.sum().astype(v.dtype),
        "zeros": (observed & (v == 0)).sum().astype(v.dtype),
        "squares": (residual**2).sum(),
        "maximum": jnp.where(observed, v, -jnp.inf).max(),
        # A row without any observed cell only fills up a block.
        "row totals": jnp.where(observed.any(axis=1), standardised, 0.0).sum(),
        "excess": excess.sum(axis=0),
        "variance": variance.sum(axis=0),
    }
    result |= products(residual, side)
    transformed = pit(v, cells, at, key)
    return result if transformed is None else result | {"transformed": transformed}


def products(residual: Array, side: str) -> dict[str, Array]:
    """Return the matrix of inner products of a residual's columns, or of its rows, or nothing."""
    if side == "neither":
        return {}
    return {"gram": residual.T @ residual if side == "columns" else residual @ residual.T}


def pearson(v: Array, observed: Array, cells: dist.Distribution) -> Array:
    """Return ``(v - mean) / std`` of shape (n_rows, n_columns), 0 where a cell is missing.

    NaN where a cell has no finite variance.
    """
    # Divided by an infinite variance, any residual would pass.
    variance = jnp.where(jnp.isfinite(cells.variance), cells.variance, jnp.nan)
    return jnp.where(observed, (v - cells.mean) / jnp.sqrt(variance), 0.0)


def singular_values(residual: Array, n_values: int) -> Array:
    """Return the leading singular values of a matrix, falling.

    Those of a matrix whose smaller side exceeds ``EXACT_SIDE`` are found in a block Krylov space:
    lower bounds, close to the truth, and the same function of data and replicates.

    References
    ----------
    Musco, C. and Musco, C. (2015). Randomized block Krylov methods for stronger and faster
    approximate singular value decomposition. Advances in Neural Information Processing
    Systems 28.
    """
    tall = residual if residual.shape[0] >= residual.shape[1] else residual.T
    if tall.shape[1] > EXACT_SIDE:
        side = tall.shape[1]
        return krylov_values(lambda x: tall.T @ (tall @ x), side, n_values, residual.dtype)
    return gram_values(tall.T @ tall, n_values)


def gram_values(gram: Array, n_values: int) -> Array:
    """Return the leading singular values of a matrix R from R'R, falling."""
    squares = jnp.linalg.eigvalsh(gram)[::-1][:n_values]
    return jnp.sqrt(jnp.maximum(squares, 0.0))


def krylov_values(
    multiply: Callable[[Array], Array], side: int, n_values: int, dtype: Any
) -> Array:
    """Return the leading singular values of a matrix R of `side` columns, nearly.

    Parameters
    ----------
    multiply : callable
        Returns R'R times a block of shape (side, n).
    side, n_values : int
    dtype : dtype
        Of the block.
    """
    block = jax.random.normal(jax.random.key(0), (side, BLOCK), dtype)
    blocks = []
    for _ in range(POWERS):
        block = jnp.linalg.qr(multiply(block))[0]
        blocks.append(block)
    basis = jnp.linalg.qr(jnp.concatenate(blocks, axis=1))[0]
    return gram_values(basis.T @ multiply(basis), n_values)


def pit(v: Array, cells: dist.Distribution, at: tuple[Array, Array], key: Array) -> Array | None:
    """Return the probability integral transform of chosen cells: uniform where the distribution is right.

    That of a count is drawn uniformly between its distribution function below it and at it, which
    makes it uniform too.

    Returns
    -------
    array of shape (n,), or None
        None where the distribution has no cumulative distribution function.

    References
    ----------
    Dunn, P. K. and Smyth, G. K. (1996). Randomized quantile residuals. Journal of Computational
    and Graphical Statistics 5, 236-244. doi:10.1080/10618600.1996.10474708
    """
    cells = unwrapped(cells)
    leading = (jnp.shape(x)[:2] for x in jax.tree.leaves(cells) if jnp.ndim(x) > 2)
    if cells.event_shape or any(shape != v.shape for shape in leading):
        return None

    def choose(x: Array) -> Array:
        # More than two dimensions has the Dirichlet inside a beta distribution.
        return (x if jnp.ndim(x) > 2 else jnp.broadcast_to(x, v.shape))[at] if jnp.ndim(x) else x

    # A distribution is a tree of its parameters, so this is the one of the chosen cells.
    chosen = jax.tree.map(choose, cells)
    value = v[at]
    try:
        upper = chosen.cdf(value)
    except NotImplementedError:
        return None
    if cells.support.is_discrete:
        below = jax.random.uniform(key, value.shape, value.dtype)
        upper = upper - below * jnp.exp(chosen.log_prob(value))
    return jnp.clip(upper, 0.0, 1.0)


def smooth(transformed: Array) -> Array:
    """Return Neyman's smooth statistic of order four against uniformity.

    With normalised Legendre polynomials phi_k on (0, 1) it is ``sum_k (sum_i phi_k(u_i))^2 / n``
    for k from 1 to 4: bias, width, skewness and tails of the predictive distribution. Of n
    independent uniform numbers it is about chi-square with four degrees of freedom.

    References
    ----------
    Neyman, J. (1937). "Smooth test" for goodness of fit. Skandinavisk Aktuarietidskrift 20,
    149-199.
    """
    x = 2.0 * transformed - 1.0
    legendre = (x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2, (35 * x**4 - 30 * x**2 + 3) / 8)
    sums = jnp.stack([(2.0 * k + 1.0) ** 0.5 * p.sum() for k, p in enumerate(legendre, 1)])
    return (sums**2).sum() / x.size
