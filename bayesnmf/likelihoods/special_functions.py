"""Special functions that several likelihoods share."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from bayesnmf.arrays import Array, Parameter, positive


def stirling_remainder(x: Parameter) -> Array:
    """Return ``log Gamma(x) - [(x - 1/2) log x - x + log(2 pi) / 2]`` for x > 0.

    Densities written with it keep their digits where differences of large log gamma functions
    cancel. JAX's ``betaln`` is no way out: it is off by up to 1e-6 in float64.

    References
    ----------
    Abramowitz, M. and Stegun, I. A. (1964). Handbook of mathematical functions, 6.1.41.
    """
    small = x < 10.0
    near, far = jnp.where(small, x, 1.0), jnp.where(small, 10.0, x)
    direct = gammaln(near) - ((near - 0.5) * jnp.log(near) - near + 0.5 * math.log(2 * math.pi))
    square = 1.0 / (far * far)
    series = jnp.zeros_like(far)
    for coefficient in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = series * square + coefficient
    return jnp.where(small, direct, series / far)


def log_linear_step(
    w: Array, numerator: Array, denominator: Array, log_coefficient: Array, rate: Array
) -> Array:
    """Minimise ``(denominator + rate) x - (numerator w + log_coefficient) log x`` over x >= 0.

    The surrogate of every likelihood whose log density is ``v log(mean)`` plus a convex part.
    """
    return (w * numerator + log_coefficient) / positive(denominator + rate)


def mean_derivative(
    function: Callable[..., Array], v: Array, mean: Array, **parameters: Parameter
) -> Array:
    """Return the derivative of a function of each cell's mean, by automatic differentiation."""
    mean = jnp.broadcast_to(mean, jnp.broadcast_shapes(jnp.shape(v), jnp.shape(mean)))
    # Every cell depends on its own mean alone, so one product with ones has all derivatives.
    derivative: Array = jax.jvp(
        lambda mean: function(v, mean, **parameters), (mean,), (jnp.ones_like(mean),)
    )[1]
    return derivative
