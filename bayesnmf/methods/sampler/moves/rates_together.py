"""Moves of all rates of a factor together, where the other factor is known."""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.leapfrog import leapfrog
from bayesnmf.methods.sampler.moves.metropolis import decide, jittered
from bayesnmf.methods.sampler.noise import Trajectory
from bayesnmf.methods.sampler.row_metric import RowMetric
from bayesnmf.methods.sampler.target import Conditional
from bayesnmf.priors import Gamma


def shift_together(
    target: Conditional,
    log_w: Array,
    rates: Array,
    hyper: Gamma,
    metric: RowMetric,
    step: Array,
    noise: Trajectory,
    *,
    n_leapfrogs: int,
    single_precision: bool = False,
) -> tuple[Array, Array, Array]:
    """Move the logarithms of all rates by one trajectory, with every ``b w`` held.

    With ``log w -> log w + t`` for all entries of a component and ``log b -> log b - t`` volume is
    preserved and the entries' prior does not change; left are the likelihood and the hyper-prior
    Gamma(c, d). One after another, as :func:`bayesnmf.methods.sampler.moves.rates.shift_rates` moves them, many
    components would each need their own look at all cells.

    Parameters
    ----------
    target : Conditional
        The density of the factor given all else.
    log_w : array of shape (component, row)
        Logarithms of the factor.
    rates : array of shape (component,)
        Of its components.
    hyper : Gamma
        Their prior.
    metric : RowMetric
        It must not depend on where the rates are.
    step : array
        One step size.
    noise : Trajectory
        Random numbers; the momentum is of shape (component,).

    Returns
    -------
    log_w, rates : array
        The new values, or the old ones where they were rejected.
    acceptance : array
        Its probability.
    """
    dtype = jnp.dtype(jnp.float32) if single_precision else log_w.dtype
    given, w = target.cast(dtype), jnp.exp(log_w).astype(dtype)
    shape, rate = (jnp.asarray(x, rates.dtype) for x in (hyper.shape, hyper.rate))

    def force(t: Array) -> Array:
        entries = w * jnp.exp(t.astype(dtype))[:, None]
        slope = jnp.sum(given.likelihood_slope_at(entries), axis=1).astype(t.dtype)
        slope += rate * rates * jnp.exp(-t) - shape
        return metric.whiten(slope[:, None])[:, 0]

    def velocity(momentum: Array) -> Array:
        return metric.unwhiten(momentum[:, None])[:, 0]

    start, step = jnp.zeros_like(rates), jittered(step, noise.jitter)
    t, momentum = leapfrog(start, noise.momentum, force, velocity, step, n_leapfrogs)
    change = jnp.sum(target.likelihood_change(log_w, log_w + t[:, None]))
    change += jnp.sum(-shape * t - rate * rates * jnp.expm1(-t))
    change += 0.5 * jnp.sum(noise.momentum**2 - momentum**2)
    accepted, acceptance = decide(noise.accept, change)
    t = jnp.where(accepted, t, 0.0)
    return log_w + t[:, None], rates * jnp.exp(-t), acceptance
