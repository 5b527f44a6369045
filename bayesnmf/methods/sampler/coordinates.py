"""Softplus coordinates: ``w = tau log(1 + e^x)``, the logarithm where w is small, w itself where it is large.

In ``log w`` the curvature grows like w towards the right, and bounds the step of a trajectory. The posterior of
an entry that the data determine is nearly normal in w; that of one that its prior determines falls off on both
sides of x like a logistic distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from bayesnmf.arrays import Array

#: Where e^x can no longer be told from log(1 + e^x).
LEFT = -40.0


class Point(NamedTuple):
    """What a gradient needs at x.

    Attributes
    ----------
    w : array
        The entries.
    share : array
        ``d w / d x`` in units of tau: the logistic function of x.
    ratio : array
        ``d log w / d x``.
    """

    w: Array
    share: Array
    ratio: Array


def to_softplus(log_w: Array, log_scale: Array) -> tuple[Array, Array]:
    """Return x at logarithms of entries, and the logarithm of ``d log w / d x``.

    `log_scale` is the logarithm of tau.

    Examples
    --------
    >>> x, log_ratio = to_softplus(jnp.asarray(-800.0), jnp.asarray(0.0))
    >>> float(x), float(log_ratio)
    (-800.0, 0.0)
    """
    log_u = log_w - log_scale
    u, far = jnp.exp(log_u), log_u < LEFT
    log_share = jnp.log(-jnp.expm1(-jnp.where(far, 1.0, u)))  # log(e^u - 1) = u + log(1 - e^-u)
    return jnp.where(far, log_u, u + log_share), jnp.where(far, 0.0, log_share - log_u)


def to_log(x: Array, log_scale: Array) -> tuple[Array, Array]:
    """Return the logarithms of entries at x, and the logarithm of ``d log w / d x``."""
    far, near = x < LEFT, jnp.maximum(x, LEFT)
    rest = jnp.log1p(jnp.exp(-jnp.abs(near)))
    log_u, log_share = jnp.log(jnp.maximum(near, 0.0) + rest), jnp.minimum(near, 0.0) - rest
    return log_scale + jnp.where(far, x, log_u), jnp.where(far, 0.0, log_share - log_u)


def point_at(x: Array, scale: Array) -> Point:
    """Return the entries at x, and how they change with it."""
    small = jnp.exp(-jnp.abs(x))
    unit, share = jnp.maximum(x, 0.0) + jnp.log1p(small), jnp.where(x < 0, small, 1.0) / (1 + small)
    ratio = jnp.where(x < LEFT, 1.0, share / jnp.maximum(unit, jnp.finfo(x.dtype).tiny))
    return Point(scale * unit, share, ratio)


def slope_in_x(point: Point, log_slope: Array) -> Array:
    """Return the gradient of the log density of x, from that of ``log w`` in ``log w``.

    The density of x has the factor ``d log w / d x``, whose logarithm changes by 1 - share - ratio.
    """
    return 1.0 - point.share + point.ratio * (log_slope - 1.0)
