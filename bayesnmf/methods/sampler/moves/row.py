"""Hamiltonian Monte Carlo of all rows of a factor at once: given the other factor they are independent.

Where the other factor is known nothing else moves these rows, and their trajectories go a quarter of the way around:
longer ones come back, and their draws, though they alternate, say less of how wide the posterior is.
"""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.coordinates import point_at, slope_in_x, to_log, to_softplus
from bayesnmf.methods.sampler.metric import FactorMetric
from bayesnmf.methods.sampler.moves.leapfrog import leapfrog
from bayesnmf.methods.sampler.moves.metropolis import decide, jittered
from bayesnmf.methods.sampler.noise import Trajectory
from bayesnmf.methods.sampler.row_metric import RowReference
from bayesnmf.methods.sampler.target import Conditional, in_precision


def row_move(
    target: Conditional,
    log_w: Array,
    reference: RowReference | FactorMetric,
    step: Array,
    noise: Trajectory,
    *,
    n_leapfrogs: int,
    single_precision: bool = False,
) -> tuple[Array, Array]:
    """Move every row of a factor by one trajectory in softplus coordinates.

    Parameters
    ----------
    target : Conditional
        The density of the factor given all else.
    log_w : array of shape (component, row)
        Logarithms of the factor.
    reference : RowReference or FactorMetric
        Coordinates and masses. It must not depend on where the rows are.
    step : array of shape (row,)
        Step sizes.
    noise : Trajectory
        Random numbers; those of the momentum belong to components in the metric's order.
    n_leapfrogs : int
        Steps of the trajectory.
    single_precision : bool
        Whether gradients and velocities are computed in single precision. Leapfrog steps preserve volume and
        can be retraced whatever functions stand for them; the decision is made in full precision.

    Returns
    -------
    log_w : array of shape (component, row)
        The new logarithms; rows that rejected are unchanged.
    acceptance : array of shape (row,)
        Acceptance probabilities.
    """
    dtype = jnp.dtype(jnp.float32) if single_precision else log_w.dtype
    log_scale = reference.log_scale(target.prior.terms(log_w)[1])
    given, metric = target.cast(dtype), in_precision(reference.at(log_scale), dtype)
    scale, (x, log_ratio) = jnp.exp(log_scale).astype(dtype), to_softplus(log_w, log_scale)

    def force(x: Array) -> Array:
        point = point_at(x.astype(dtype), scale)
        slope = slope_in_x(point, given.log_slope_at(point.w))
        return metric.whiten(slope).astype(x.dtype)

    def velocity(momentum: Array) -> Array:
        return metric.unwhiten(momentum.astype(dtype)).astype(momentum.dtype)

    step = jittered(step, noise.jitter)[None]
    x, momentum = leapfrog(x, noise.momentum, force, velocity, step, n_leapfrogs)
    new, new_log_ratio = to_log(x, log_scale)
    change = target.log_density_change(log_w, new)
    change += jnp.sum(new_log_ratio - log_ratio, axis=0)
    change += 0.5 * jnp.sum(noise.momentum**2 - momentum**2, axis=0)
    accepted, acceptance = decide(noise.accept, change)
    return jnp.where(accepted[None], new, log_w), acceptance
