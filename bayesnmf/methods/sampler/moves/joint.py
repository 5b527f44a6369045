"""Joint Hamiltonian Monte Carlo over both factors: along the valleys in which W and H trade off.

Moving W given H and H given W mixes as slowly as the two are coupled. A long trajectory through
both at once, with the same masses as the row-parallel moves, is what carries mass from one
component to another.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.metric import unwhiten, whiten
from bayesnmf.methods.sampler.moves.block import decide, jittered
from bayesnmf.methods.sampler.noise import Trajectory
from bayesnmf.methods.sampler.target import Position, free_parts, in_precision, with_free
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

type Pair = tuple[Array, Array]


def joint_move(
    model: NMF,
    data: Sampled,
    position: Position,
    metric: Pair,
    step: Array,
    noise: Trajectory,
    *,
    n_leapfrogs: int,
    single_precision: bool = False,
) -> tuple[Position, Array]:
    """Move all that is inferred of log W and log H by one Hamiltonian trajectory.

    Parameters
    ----------
    position : Position
        Where the chain is; the likelihood's parameters stay.
    metric : pair of arrays of shape (component, component, row or column)
        Whitening factors of W and of H.
    step : array
        One step size.
    noise : Trajectory
        Random numbers.
    n_leapfrogs : int
        Steps of the trajectory.
    single_precision : bool
        Whether cells are met in single precision along the trajectory. Whatever function of the
        position stands for the gradient, leapfrog steps preserve volume and can be retraced; the
        change of the density at their end, which decides, is computed in full.

    Returns
    -------
    position : Position
        The new point, or the old one when it was rejected.
    acceptance : array
        Its probability.
    """
    (prior_W, W), (prior_H, H) = free_parts(model, position)
    start, momentum = (W, H), noise.momentum
    step = jittered(step, noise.jitter)
    gradients = _gradients(model, data, position.parameters, single_precision)

    def factors(x: Pair) -> Pair:
        whole = with_free(model, position, *x)
        return jnp.exp(whole.W), jnp.exp(whole.H)

    def slopes(x: Pair) -> Pair:
        of_w, of_h = gradients(*factors(x))
        of_w, of_h = of_w[model.n_known_W :], of_h[model.n_known_H :]
        return (
            whiten(metric[0], prior_W.log_slope(jnp.exp(x[0]), of_w)),
            whiten(metric[1], prior_H.log_slope(jnp.exp(x[1]), of_h)),
        )

    def leap(_: Array, state: tuple[Pair, Pair, Pair]) -> tuple[Pair, Pair, Pair]:
        x, momentum, force = state
        momentum = jax.tree.map(lambda p, f: p + 0.5 * step * f, momentum, force)
        x = jax.tree.map(lambda z, A, p: z + step * unwhiten(A, p), x, metric, momentum)
        force = slopes(x)
        return x, jax.tree.map(lambda p, f: p + 0.5 * step * f, momentum, force), force

    end, new_momentum, _ = lax.fori_loop(0, n_leapfrogs, leap, (start, momentum, slopes(start)))
    change = data.joint_log_density_change(model, factors(start), factors(end), position.parameters)
    for i, prior in enumerate((prior_W, prior_H)):
        change += jnp.sum(prior.log_density_change(start[i], end[i]))
        change += 0.5 * jnp.sum(momentum[i] ** 2 - new_momentum[i] ** 2)
    accepted, acceptance = decide(noise.accept, change)
    W, H = (jnp.where(accepted, new, old) for new, old in zip(end, start, strict=True))
    return with_free(model, position, W, H), acceptance


def _gradients(
    model: NMF, data: Sampled, parameters: dict[str, Array], single_precision: bool
) -> Callable[[Array, Array], Pair]:
    """Return the function from W and H to the derivatives of the log likelihood."""
    if not single_precision:
        return lambda W, H: data.gradients(model, W, H, parameters)
    given, cells, values = in_precision((model, data, parameters), jnp.dtype(jnp.float32))

    def gradients(W: Array, H: Array) -> Pair:
        of_W, of_H = cells.gradients(given, *in_precision((W, H), jnp.dtype(jnp.float32)), values)
        return of_W.astype(W.dtype), of_H.astype(H.dtype)

    return gradients
