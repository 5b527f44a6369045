"""The rates of the components under hyper-priors, given the factors.

With ``w_ki ~ Gamma(a, b_k)`` for n entries i and ``b_k ~ Gamma(c, d)``, the rate given the entries is
``Gamma(c + n a, d + sum_i w_ki)``. A rate that W and H share has both factors' entries.
"""

from __future__ import annotations

import jax.numpy as jnp

from bayesnmf.arrays import Array
from bayesnmf.model.nmf import NMF


def conditional(model: NMF, W: Array, H: Array) -> dict[str, tuple[Array, Array]]:
    """Return shape and rate of each site's conditional gamma distribution.

    Parameters
    ----------
    model : NMF
        Resolved.
    W : array of shape (component, row)
    H : array of shape (component, column)

    Returns
    -------
    dict of pairs of arrays of shape () and (component,)
        Empty where no prior has a hyper-prior.

    Examples
    --------
    >>> from bayesnmf.priors import ARD, Gamma
    >>> model = NMF(2, prior_W=ARD(rate=Gamma(1.0, 0.5)), prior_H=Gamma(1.0, 1.0))
    >>> shape, rate = conditional(model, jnp.ones((2, 3)), jnp.ones((2, 4)))["rate_W"]
    >>> float(shape), rate.tolist()
    (4.0, [3.5, 3.5])
    """
    found = {}
    for name, hyper in model.hyper_priors.items():
        shape, rate = (jnp.asarray(x, W.dtype) for x in (hyper.shape, hyper.rate))
        parts = (
            (model.prior_W, W, "rate_W", model.n_known_W),
            (model.prior_H, H, "rate_H", model.n_known_H),
        )
        for prior, factor, own, first in parts:
            if name in ("rate", own):
                more_shape, more_rate = prior.rate_given(factor)
                if first:  # known entries have no prior
                    inferred = jnp.arange(len(factor)) >= first
                    more_shape, more_rate = (x * inferred for x in (more_shape, more_rate))
                shape, rate = shape + more_shape, rate + more_rate
        found[name] = (shape, rate)
    return found


def optimal_rates(model: NMF, W: Array, H: Array) -> dict[str, Array]:
    """Return the rates at which the density of their logarithms is highest, given the factors.

    It is ``(c + n a) / (d + sum w)``. Tan & Fevotte (2013) take the mode of the scale ``1 / b``,
    whose density has one more power: their formula is this one with c larger by 1.
    """
    return {name: shape / rate for name, (shape, rate) in conditional(model, W, H).items()}


def at_optimal_rates(model: NMF, W: Array, H: Array) -> NMF:
    """Return the model given the rates that maximise their density.

    The objective with these rates is concave in each component's sum: at any point the
    one with the rates held touches it there and lies above it elsewhere. So a step in W or H that
    improves the second improves the first, and both have the same gradient at the point.
    """
    return model.with_rates(optimal_rates(model, W, H))
