"""Scale moves: ``W_k -> c W_k``, ``H_k -> H_k / c``, drawn exactly.

WH does not change, so only the priors speak: c has the density
``c^(p - 1) exp(-alpha c - beta / c)``, a generalised inverse Gaussian. There p is the sum of the prior's
shapes over W_k less that over H_k, ``alpha = sum b_w W_k`` and ``beta = sum b_h H_k``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.methods.sampler.target import Position
from bayesnmf.model import NMF
from bayesnmf.priors.base import total

#: Proposals of one draw, each accepted more often than every other time. When all are rejected the
#: scale stays. That leaves its distribution invariant too: whether they are does not depend on
#: where on its orbit ``c -> (c W_k, H_k / c)`` the component is.
N_PROPOSALS = 12


def scale_move(model: NMF, position: Position, uniform: Array) -> Position:
    """Give every free component a new scale, from its conditional distribution.

    Parameters
    ----------
    model : NMF
        Gives the priors.
    position : Position
        Where the chain is.
    uniform : array of shape (3, proposal, component)
        Uniform random numbers.

    Returns
    -------
    Position
        The same WH, with its scale shared anew between the factors.
    """
    first, whole = max(model.n_known_W, model.n_known_H), position
    position, uniform = Position(whole.W[first:], whole.H[first:], {}), uniform[:, :, first:]
    if not len(position.W):
        return whole
    (shape_W, rate_W), (shape_H, rate_H) = (
        prior.of_components(first).terms(position.W) for prior in (model.prior_W, model.prior_H)
    )
    order = (total(shape_W, position.W) - total(shape_H, position.H))[:, 0]
    alpha = jnp.sum(rate_W * jnp.exp(position.W), axis=1)
    beta = jnp.sum(rate_H * jnp.exp(position.H), axis=1)
    shift, found = log_gig(uniform, jnp.broadcast_to(order, alpha.shape), alpha, beta)
    shift = jnp.where(found, shift, 0.0)
    W, H = position.W + shift[:, None], position.H - shift[:, None]
    if first:
        W, H = jnp.concatenate([whole.W[:first], W]), jnp.concatenate([whole.H[:first], H])
    return whole._replace(W=W, H=H)


def log_gig(uniform: Array, order: Array, alpha: Array, beta: Array) -> tuple[Array, Array]:
    """Draw logarithms of generalised inverse Gaussian variables.

    The density of c is proportional to ``c^(order - 1) exp(-alpha c - beta / c)``. With t the
    distance of ``log c`` from its maximum, its log density is
    ``g(t) = -A (e^t - 1 - t) - B (e^-t - 1 + t)``, which is concave. Below a flat top and two
    tangent tails, rejection is exact wherever the tails touch.

    Parameters
    ----------
    uniform : array of shape (3, proposal, component)
        Uniform random numbers.
    order : array of shape (component,)
        Any real number.
    alpha, beta : array of shape (component,)
        Positive.

    Returns
    -------
    draws : array of shape (component,)
        Draws of ``log c``, in the dtype of `alpha`.
    found : array of bool of shape (component,)
        Whether any proposal was accepted.

    References
    ----------
    Devroye, L. (1986). Non-uniform random variate generation. Springer, chapter VII.
    doi:10.1007/978-1-4613-8643-8

    Examples
    --------
    >>> one = jnp.ones(3)
    >>> draws, found = log_gig(jnp.full((3, 1, 3), 0.5), one, one, one)
    >>> draws.shape
    (3,)
    """
    dtype = alpha.dtype
    # In single precision the tails of a sharp density would lose their digits.
    wide = jnp.float64 if jax.config.jax_enable_x64 else dtype
    tiny = jnp.finfo(wide).tiny
    order, alpha, beta = order.astype(wide), alpha.astype(wide), beta.astype(wide)
    alpha, beta = jnp.maximum(alpha, tiny), jnp.maximum(beta, tiny)
    # The maximum solves alpha c - order - beta / c = 0; each sign of the order has its stable form.
    root = jnp.hypot(order, 2.0 * jnp.sqrt(alpha) * jnp.sqrt(beta))
    larger = 0.5 * (jnp.abs(order) + root)
    log_peak = jnp.where(order > 0, jnp.log(larger / alpha), jnp.log(beta / larger))
    smaller = alpha * (beta / larger)
    A, B = jnp.where(order > 0, larger, smaller), jnp.where(order > 0, smaller, larger)
    t, found = _centred(uniform.astype(wide), A, B)
    return (log_peak + t).astype(dtype), found


def _density(t: Array, A: Array, B: Array) -> tuple[Array, Array]:
    """Return g and its derivative."""
    up, down = jnp.expm1(t), jnp.expm1(-t)
    return -A * (up - t) - B * (down + t), -A * up + B * down


def _touching(A: Array, B: Array) -> Array:
    """Return the t > 0 at which g is about -1.

    ``s - log(1 + s) = x`` has its root below ``x + sqrt(2 x)``, which bounds t from either term;
    Newton steps from above come down to the root without passing it.
    """
    t = jnp.minimum(jnp.log1p(1 / A + jnp.sqrt(2 / A)), 1 / B + jnp.sqrt(2 / B))
    for _ in range(2):
        value, slope = _density(t, A, B)
        t = t - (value + 1.0) / slope
    return t


def _centred(uniform: Array, A: Array, B: Array) -> tuple[Array, Array]:
    """Return the first accepted t of every component, and whether there is one."""
    # Both sides at once, the left one seen in a mirror.
    sides = jnp.stack([A, B]), jnp.stack([B, A])
    ends = _touching(*sides)
    value, slope = _density(ends, *sides)
    # Where the tangents meet the flat top, and the masses of the three pieces.
    edge_right, edge_left = ends - value / slope
    mass_right, mass_left = -1.0 / slope
    top = edge_right + edge_left
    piece = uniform[0] * (mass_right + mass_left + top)[None]
    tail = -jnp.log1p(-uniform[1])
    in_top = piece < top[None]
    proposal = jnp.where(
        in_top,
        uniform[1] * top[None] - edge_left[None],
        jnp.where(
            piece < (top + mass_right)[None],
            edge_right[None] + tail * mass_right[None],
            -edge_left[None] - tail * mass_left[None],
        ),
    )
    height = jnp.log1p(-uniform[2]) - jnp.where(in_top, 0.0, tail)
    accepted = height <= _density(proposal, A[None], B[None])[0]
    first = jnp.argmax(accepted, axis=0)
    return jnp.take_along_axis(proposal, first[None], axis=0)[0], jnp.any(accepted, axis=0)
