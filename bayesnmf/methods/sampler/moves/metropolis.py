"""What all Hamiltonian moves share: jittered step sizes and Metropolis decisions."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array

#: Half-width of the uniform jitter of step sizes, which breaks periodic orbits.
JITTER = 0.3


def jittered(step: Array, uniform: Array) -> Array:
    """Return step sizes, multiplied by random numbers around 1."""
    return step * (1.0 + JITTER * (2.0 * uniform - 1.0))


def decide(uniform: Array, change: Array) -> tuple[Array, Array]:
    """Return Metropolis decisions and probabilities; what is not a number is rejected."""
    acceptance = jnp.where(jnp.isnan(change), 0.0, jnp.exp(jnp.minimum(change, 0.0)))
    return uniform < acceptance, acceptance
