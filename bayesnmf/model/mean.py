"""WH, and data with missing cells, as a program sees them."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array, ArrayLike, off_zero


def product(W: Array, H: Array) -> Array:
    """Return WH, lifted just above zero, so that logarithms and ratios stay finite."""
    return off_zero(W @ H)


def observations(V: ArrayLike | None, placeholder: float) -> tuple[Array | bool, Array | None]:
    """Return a mask of data with NaN, and values that a density can be evaluated at."""
    if V is None:
        return True, None
    cells = jnp.asarray(V)
    if not jnp.issubdtype(cells.dtype, jnp.floating):
        cells = cells.astype(float)
    observed = ~jnp.isnan(cells)
    return observed, jnp.where(observed, cells, jnp.asarray(placeholder, cells.dtype))
