"""Discrepancies between a matrix and the distribution of its cells, one number each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.distribution import ExpandedDistribution, Independent, MaskedDistribution

from bayesnmf.likelihoods._base import Array

#: Smaller side up to which all singular values are computed; above, a Krylov space is.
EXACT_SIDE = 256
#: Vectors in a block of the Krylov space, and how often the residuals multiply it.
BLOCK, POWERS = 8, 6
#: Singular values that are reported.
N_VALUES = 3


def discrepancies(
    v: Array, observed: Array, cells: dist.Distribution, at: tuple[Array, Array], key: Array
) -> dict[str, Array]:
    """Return every discrepancy between V and the distribution of its cells.

    Parameters
    ----------
    v : array of shape (n_rows, n_columns)
        Data or a replicate; anything finite where a cell is missing.
    observed : array of bool of shape (n_rows, n_columns)
        Cells that count.
    cells : Distribution
        With a mean and a variance for each cell.
    at : pair of arrays of int of shape (n,)
        Rows and columns of the cells at which calibration is judged.
    key : jax.Array
        For the randomised probability integral transform of counts.

    Returns
    -------
    dict of str to array of shape ()
        "singular value 1" and so on: of the Pearson residual, 0 at missing cells.
        "zeros": share of observed cells that are 0. "dispersion": mean squared Pearson residual.
        "maximum": largest observed cell. "row totals", "column totals": chi-square, the sum of
        squared standardised totals. "calibration": :func:`smooth`, where cells have a
        cumulative distribution function.
    """
    count = observed.sum().astype(v.dtype)
    residual = pearson(v, observed, cells)
    leading = singular_values(residual, min(N_VALUES, *v.shape))
    result = {f"singular value {k + 1}": leading[k] for k in range(len(leading))}
    result |= {
        "zeros": (observed & (v == 0)).sum().astype(v.dtype) / count,
        "dispersion": (residual**2).sum() / count,
        "maximum": jnp.where(observed, v, -jnp.inf).max(),
    }
    excess = jnp.where(observed, v - cells.mean, 0.0)
    variance = jnp.where(observed, cells.variance, 0.0)
    for axis, name in ((1, "row totals"), (0, "column totals")):
        result[name] = (excess.sum(axis) ** 2 / variance.sum(axis)).sum()
    transformed = pit(v, cells, at, key)
    if transformed is not None:
        result["calibration"] = smooth(transformed)
    return result


def pearson(v: Array, observed: Array, cells: dist.Distribution) -> Array:
    """Return ``(v - mean) / sd`` of shape (n_rows, n_columns), 0 where a cell is missing.

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
        tall = tall @ _krylov_basis(tall)
    squares = jnp.linalg.eigvalsh(tall.T @ tall)[::-1][:n_values]
    return jnp.sqrt(jnp.maximum(squares, 0.0))


def _krylov_basis(tall: Array) -> Array:
    block = jax.random.normal(jax.random.key(0), (tall.shape[1], BLOCK), tall.dtype)
    blocks = []
    for _ in range(POWERS):
        block = jnp.linalg.qr(tall.T @ (tall @ block))[0]
        blocks.append(block)
    return jnp.linalg.qr(jnp.concatenate(blocks, axis=1))[0]


def pit(v: Array, cells: dist.Distribution, at: tuple[Array, Array], key: Array) -> Array | None:
    """Return the probability integral transform of chosen cells: uniform where the law is right.

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
    while isinstance(cells, (MaskedDistribution, ExpandedDistribution, Independent)):
        cells = cells.base_dist
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
    for k from 1 to 4: bias, spread, skewness and tails of the predictive distribution. Of n
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
