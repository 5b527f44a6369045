"""WH, and data with missing cells, as a program sees them."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array, off_zero


def product(W: Array, H: Array) -> Array:
    """Return WH, lifted off zero by a hair so that logarithms and ratios stay finite."""
    return off_zero(W @ H)


def observations(V: Array | None, placeholder: float) -> tuple[Array, Array | None]:
    """Split data with NaN into a mask and values that a density can be evaluated at."""
    if V is None:
        return True, None
    V = jnp.asarray(V)
    if not jnp.issubdtype(V.dtype, jnp.floating):
        V = V.astype(float)
    observed = ~jnp.isnan(V)
    return observed, jnp.where(observed, V, jnp.asarray(placeholder, V.dtype))
