"""Joint Hamiltonian Monte Carlo over both factors: along the valleys in which W and H trade off.

Moving W given H and H given W mixes as slowly as the two are coupled. A trajectory through both at once carries mass
from one component to another. Its masses are those of the row-parallel moves, but lighter along the directions that
leave WH unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.coordinates import point_at, slope_in_x, to_log, to_softplus
from bayesnmf.methods.sampler.moves.leapfrog import leapfrog
from bayesnmf.methods.sampler.moves.metropolis import decide, jittered
from bayesnmf.methods.sampler.noise import Trajectory
from bayesnmf.methods.sampler.target import Position, free_parts, in_precision, with_free
from bayesnmf.methods.sampler.tuning import Metric
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

type Pair = tuple[Array, Array]


def joint_move(
    model: NMF,
    data: Sampled,
    position: Position,
    metric: Metric,
    step: Array,
    noise: Trajectory,
    *,
    n_leapfrogs: int,
    single_precision: bool = False,
) -> tuple[Position, Array]:
    """Move all that is inferred of W and H by one Hamiltonian trajectory in softplus coordinates.

    The momentum has more numbers than there are entries: one for each direction that leaves WH unchanged. With
    ``x' = S p``, ``p' = S' slope`` for any matrix S, the energy is kept, and leapfrog steps preserve volume.

    Parameters
    ----------
    position : Position
        Where the chain is; the likelihood's parameters stay.
    metric : Metric
        It must not depend on where the chain is.
    step : array
        One step size.
    noise : Trajectory
        Random numbers; the momentum is that of W, of H and of the directions.
    n_leapfrogs : int
        Steps of the trajectory.
    single_precision : bool
        Whether gradients and velocities are computed in single precision. Whatever functions stand for them,
        leapfrog steps preserve volume and can be retraced; the change of the density at their end, which
        decides, is computed in full.

    Returns
    -------
    position : Position
        The new point, or the old one when it was rejected.
    acceptance : array
        Its probability.
    """
    dtype = jnp.dtype(jnp.float32) if single_precision else position.W.dtype
    parts, of_factors = free_parts(model, position), (metric.W, metric.H)
    log_scales = [
        own.log_scale(prior.terms(log_w)[1])
        for own, (prior, log_w) in zip(of_factors, parts, strict=True)
    ]
    start, log_ratios = zip(
        *(to_softplus(x, scale) for (_, x), scale in zip(parts, log_scales, strict=True)),
        strict=True,
    )
    of_W, of_H, tangents = in_precision(metric, dtype)
    scales = [jnp.exp(x).astype(dtype) for x in log_scales]
    slopes = _slopes(model, data, position, dtype)

    def force(x: Pair) -> tuple[Array, ...]:
        at_W, at_H = (point_at(z.astype(dtype), scale) for z, scale in zip(x, scales, strict=True))
        of_logs = slopes((at_W.w, at_H.w))
        of_x = slope_in_x(at_W, of_logs[0]), slope_in_x(at_H, of_logs[1])
        whitened = of_W.whiten(of_x[0]), of_H.whiten(of_x[1]), tangents.across(of_x)
        return tuple(part.astype(position.W.dtype) for part in whitened)

    def velocity(momentum: tuple[Array, ...]) -> Pair:
        p_W, p_H, p = (part.astype(dtype) for part in momentum)
        along = tangents.along(p)
        x_W, x_H = of_W.unwhiten(p_W) + along[0], of_H.unwhiten(p_H) + along[1]
        return x_W.astype(position.W.dtype), x_H.astype(position.W.dtype)

    step = jittered(step, noise.jitter)
    x, momentum = leapfrog(start, noise.momentum, force, velocity, step, n_leapfrogs)
    ends, new_log_ratios = zip(
        *(to_log(z, scale) for z, scale in zip(x, log_scales, strict=True)), strict=True
    )
    new = with_free(model, position, *ends)
    old_factors, new_factors = ((jnp.exp(p.W), jnp.exp(p.H)) for p in (position, new))
    change = data.joint_log_density_change(model, old_factors, new_factors, position.parameters)
    for i, (prior, log_w) in enumerate(parts):
        change += jnp.sum(prior.log_density_change(log_w, ends[i]))
        change += jnp.sum(new_log_ratios[i] - log_ratios[i])
    for old, now in zip(noise.momentum, momentum, strict=True):
        change += 0.5 * jnp.sum(old**2 - now**2)
    accepted, acceptance = decide(noise.accept, change)
    kept = [jnp.where(accepted, end, old) for end, (_, old) in zip(ends, parts, strict=True)]
    return with_free(model, position, *kept), acceptance


def _slopes(
    model: NMF, data: Sampled, position: Position, dtype: jnp.dtype
) -> Callable[[Pair], Pair]:
    """Return the function from W and H to the gradient of the log density in their logarithms."""
    given = (model, data, position.parameters, jnp.exp(position.W), jnp.exp(position.H))
    if dtype != position.W.dtype:
        given = in_precision(given, dtype)
    model, data, parameters, W, H = given
    a, b = model.n_known_W, model.n_known_H
    priors = model.prior_W.of_components(a), model.prior_H.of_components(b)

    def slopes(factors: Pair) -> Pair:
        w, h = factors
        whole = (jnp.concatenate([W[:a], w]) if a else w, jnp.concatenate([H[:b], h]) if b else h)
        of_w, of_h = data.gradients(model, *whole, parameters)
        return priors[0].log_slope(w, of_w[a:]), priors[1].log_slope(h, of_h[b:])

    return slopes
