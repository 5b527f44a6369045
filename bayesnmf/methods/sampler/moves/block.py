"""Row-parallel Hamiltonian Monte Carlo: all rows of one factor at once, given the other.

Given H the rows of W are independent, so each has its own trajectory, step size and decision in
one array program; the columns of H follow in the same way.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.metric import unwhiten, whiten
from bayesnmf.methods.sampler.noise import Trajectory
from bayesnmf.methods.sampler.target import Conditional

#: Relative half-width of the uniform jitter of step sizes, which breaks periodic orbits.
JITTER = 0.3


def block_move(
    target: Conditional,
    x: Array,
    metric: Array,
    step: Array,
    noise: Trajectory,
    *,
    n_leapfrogs: int,
) -> tuple[Array, Array]:
    """Move every row of a factor by one Hamiltonian trajectory.

    Parameters
    ----------
    target : Conditional
        The density of the factor given all else.
    x : array of shape (component, row)
        Logarithms of the factor.
    metric : array of shape (component, component, row)
        Whitening factors; they must not depend on where the chain is.
    step : array of shape (row,)
        Step sizes.
    noise : Trajectory
        Random numbers.
    n_leapfrogs : int
        Steps of the trajectory.

    Returns
    -------
    x : array of shape (component, row)
        The new logarithms; rows that rejected are unchanged.
    acceptance : array of shape (row,)
        Acceptance probabilities.
    """
    momentum, step = noise.momentum, jittered(step, noise.jitter)

    def slope(x: Array) -> Array:
        return whiten(metric, target.log_slope(x))

    def leap(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, momentum, force = state
        momentum = momentum + 0.5 * step[None] * force
        x = x + step[None] * unwhiten(metric, momentum)
        force = slope(x)
        return x, momentum + 0.5 * step[None] * force, force

    new_x, new_momentum, _ = lax.fori_loop(0, n_leapfrogs, leap, (x, momentum, slope(x)))
    change = target.log_density_change(x, new_x)
    change += 0.5 * jnp.sum(momentum**2 - new_momentum**2, axis=0)
    accepted, acceptance = decide(noise.accept, change)
    return jnp.where(accepted[None], new_x, x), acceptance


def jittered(step: Array, uniform: Array) -> Array:
    """Return step sizes, multiplied by random numbers around 1."""
    return step * (1.0 + JITTER * (2.0 * uniform - 1.0))


def decide(uniform: Array, change: Array) -> tuple[Array, Array]:
    """Return Metropolis decisions and probabilities; what is not a number is rejected."""
    acceptance = jnp.where(jnp.isnan(change), 0.0, jnp.exp(jnp.minimum(change, 0.0)))
    return uniform < acceptance, acceptance
