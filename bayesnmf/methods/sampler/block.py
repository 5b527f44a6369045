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
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled
from bayesnmf.priors import Prior

#: Relative half-width of the uniform jitter of step sizes, which breaks periodic orbits.
JITTER = 0.3


def block_move(
    model: NMF,
    data: Sampled,
    x: Array,
    y: Array,
    parameters: dict[str, Array],
    prior: Prior,
    metric: Array,
    step: Array,
    noise: Trajectory,
    *,
    axis: int,
    n_leapfrogs: int,
) -> tuple[Array, Array]:
    """Move every row of a factor by one Hamiltonian trajectory.

    Parameters
    ----------
    x : array of shape (component, row)
        Logarithms of the factor.
    y : array of shape (component, column)
        The other factor, not its logarithms.
    metric : array of shape (component, component, row)
        Whitening factors; they must not depend on where the chain is.
    step : array of shape (row,)
        Step sizes.
    noise : Trajectory
        Random numbers.
    axis : int
        Axis of V that the other factor runs along: 1 to move W, 0 to move H.

    Returns
    -------
    x : array of shape (component, row)
        The new logarithms; rows that rejected are unchanged.
    acceptance : array of shape (row,)
        Acceptance probabilities.
    """
    momentum, step = noise.momentum, jittered(step, noise.jitter)

    def slope(x: Array) -> Array:
        w = jnp.exp(x)
        return whiten(metric, prior.log_slope(w, data.gradient(model, w, y, parameters, axis=axis)))

    def leap(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, momentum, force = state
        momentum = momentum + 0.5 * step[None] * force
        x = x + step[None] * unwhiten(metric, momentum)
        force = slope(x)
        return x, momentum + 0.5 * step[None] * force, force

    new_x, new_momentum, _ = lax.fori_loop(0, n_leapfrogs, leap, (x, momentum, slope(x)))
    change = data.log_density_change(model, jnp.exp(x), jnp.exp(new_x), y, parameters, axis=axis)
    change += jnp.sum(prior.log_density_change(x, new_x), axis=0)
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
