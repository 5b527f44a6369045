"""Moves of the components' rates under hyper-priors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.moves.metropolis import decide
from bayesnmf.methods.sampler.target import Position, conditioned
from bayesnmf.model import NMF
from bayesnmf.model.rates import conditional
from bayesnmf.observed.interface import Sampled

#: Range of the standard deviations of the proposed shifts, in units of ``log b``.
NARROWEST, WIDEST = 0.03, 3.0


def rate_moves(model: NMF, data: Sampled, position: Position, key: Array) -> Position:
    """Draw every rate given the factors, then move rates and factors together.

    Given the factors, a rate of n entries moves by a share of about ``1 / sqrt(n)``, and given the rate
    so do the factors. Where the data say little of a component its size would therefore take hundreds
    of sweeps to wander over the orders of magnitude that ARD allows. So the two are interwoven: the
    second move shifts ``log b`` with ``b w`` held, which only the likelihood and the hyper-prior see.

    Parameters
    ----------
    model : NMF
        Resolved, with at least one hyper-prior.
    data : Sampled
        What it is conditioned on.
    position : Position
        Where the chain is; its parameters hold the rates by name.
    key : array
        Random key.

    References
    ----------
    Yu, Y. and Meng, X.-L. (2011). To center or not to center: that is not the question. Journal of
    Computational and Graphical Statistics 20, 531-570. doi:10.1198/jcgs.2011.203main
    """
    for i, name in enumerate(model.hyper_priors):
        key_draw, key_shift = jax.random.split(jax.random.fold_in(key, i))
        position = draw_rates(model, position, name, key_draw)
        position = shift_rates(model, data, position, name, key_shift)
    return position


def draw_rates(model: NMF, position: Position, name: str, key: Array) -> Position:
    """Draw the rates of one site given the factors, from their gamma distribution."""
    shape, rate = conditional(model, jnp.exp(position.W), jnp.exp(position.H))[name]
    draws = jax.random.gamma(key, shape, rate.shape, rate.dtype) / rate
    return position._replace(parameters={**position.parameters, name: draws})


def shift_rates(model: NMF, data: Sampled, position: Position, name: str, key: Array) -> Position:
    """Move each component's rate b with ``b w`` held, one component after another.

    With ``log w -> log w + t`` for the entries that the rate governs and ``log b -> log b - t`` volume
    is preserved and the entries' prior does not change; left is the likelihood, and of the
    hyper-prior Gamma(c, d) the change ``-c t - d b (exp(-t) - 1)``.
    """
    hyper = model.hyper_priors[name]
    _, (log_w, log_h, parameters) = conditioned(model, position)
    rates = position.parameters[name]
    dtype = rates.dtype
    shape, rate = jnp.asarray(hyper.shape, dtype), jnp.asarray(hyper.rate, dtype)
    moved = _moved(model, name, rates)
    shift, uniform = _proposed_shifts(key, rates)
    change = -shape * shift - rate * rates * jnp.expm1(-shift)

    def one(k: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        w, h, kept = state
        new = (
            w.at[k].multiply(jnp.exp(moved[0][k] * shift[k])),
            h.at[k].multiply(jnp.exp(moved[1][k] * shift[k])),
        )
        log_density_change = data.joint_log_density_change(model, (w, h), new, parameters)
        accepted, _ = decide(uniform[k], change[k] + log_density_change)
        w, h = (jnp.where(accepted, x, y) for x, y in zip(new, (w, h), strict=True))
        return w, h, kept.at[k].set(accepted)

    begin = (jnp.exp(log_w), jnp.exp(log_h), jnp.zeros(rates.shape, bool))
    *_, accepted = lax.fori_loop(0, rates.shape[0], one, begin)
    shift = jnp.where(accepted, shift, 0.0)
    return Position(
        position.W + (moved[0] * shift)[:, None],
        position.H + (moved[1] * shift)[:, None],
        {**position.parameters, name: rates * jnp.exp(-shift)},
    )


def _moved(model: NMF, name: str, rates: Array) -> tuple[Array, Array]:
    """Return 1 for each component whose W, or H, a rate governs, and 0 for the others and known ones."""
    place = jnp.arange(len(rates))
    of_W = (place >= model.n_known_W) & (name != "rate_H")
    of_H = (place >= model.n_known_H) & (name != "rate_W")
    return of_W.astype(rates.dtype), of_H.astype(rates.dtype)


def _proposed_shifts(key: Array, rates: Array) -> tuple[Array, Array]:
    """Return a shift for every rate, and the uniform number that decides on it."""
    key_normal, key_uniform = jax.random.split(key)
    # Widths of every order: one suits the component, whatever the data say of it.
    uniform = jax.random.uniform(key_uniform, (2, *rates.shape), rates.dtype)
    width = NARROWEST * (WIDEST / NARROWEST) ** uniform[0]
    return width * jax.random.normal(key_normal, rates.shape, rates.dtype), uniform[1]
