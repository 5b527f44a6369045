"""The conjugate draw of a prior's rates under a gamma hyper-prior."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from bayesnmf.likelihoods._base import Array


def draw_rates(key: Array, log_factor: Array, shape: Array, hyper_shape: Array, hyper_rate: Array) -> Array:  # fmt: skip
    """Draw every component's rate given its entries.

    With ``w_ki ~ Gamma(a, b_k)`` for n entries i and ``b_k ~ Gamma(c, d)``, the conditional
    distribution of b_k is ``Gamma(c + n a, d + sum_i w_ki)``.

    Parameters
    ----------
    key : array
        Random key.
    log_factor : array of shape (component, row)
        Logarithms of the entries.
    shape : array
        Shape a of the entries' prior.
    hyper_shape, hyper_rate : array of shape () or (component,)
        Shape c and rate d of the rates' prior.

    Returns
    -------
    array of shape (component,)
        The new rates.

    Examples
    --------
    >>> rates = draw_rates(jax.random.key(0), jnp.zeros((2, 1000)), 1.0, 1.0, 1.0)
    >>> bool(jnp.all(jnp.abs(rates - 1.0) < 0.2))
    True
    """
    n_components, n_entries = log_factor.shape
    dtype = log_factor.dtype
    posterior_shape = jnp.asarray(hyper_shape, dtype) + n_entries * jnp.asarray(shape, dtype)
    posterior_rate = jnp.asarray(hyper_rate, dtype) + jnp.sum(jnp.exp(log_factor), axis=1)
    draws = jax.random.gamma(key, posterior_shape, (n_components,), dtype)
    return draws / posterior_rate
