"""Moves of the likelihood's own parameters, given WH: slice sampling, or an exact draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Gram, Sampled

#: Shrinkages of a slice before the chain stays where it is, which rounding alone can need.
MAX_SHRINKAGES = 100


def slice_move(
    log_density: Callable[[Array], Array], x: Array, lower: Array, upper: Array, key: Array
) -> tuple[Array, Array]:
    """Draw from a slice of a density by shrinking a bracket around the current point.

    Parameters
    ----------
    log_density : callable
        Unnormalised; works element by element on arrays of the shape of `x`.
    x : array
        Current points.
    lower, upper : array
        The bracket. It must not depend on `x` except by a uniform shift around it.
    key : array
        Random key.

    Returns
    -------
    x : array
        New points.
    n_evaluations : array
        Proposals that each needed.

    References
    ----------
    Neal, R. M. (2003). Slice sampling. Annals of Statistics 31, 705-767.
    doi:10.1214/aos/1056562461
    """
    first = jax.random.uniform(jax.random.fold_in(key, 0), x.shape, x.dtype)
    height = log_density(x) + jnp.log1p(-first)

    type State = tuple[Array, ...]

    def shrink(state: State) -> State:
        lower, upper, new, waiting, count, round_ = state
        share = jax.random.uniform(jax.random.fold_in(key, round_), x.shape, x.dtype)
        proposal = lower + share * (upper - lower)
        inside = log_density(proposal) >= height
        new = jnp.where(waiting & inside, proposal, new)
        lower = jnp.where(proposal < x, proposal, lower)
        upper = jnp.where(proposal < x, upper, proposal)
        count = count + waiting.astype(x.dtype)
        return lower, upper, new, waiting & ~inside, count, round_ + 1

    def unfinished(state: State) -> Array:
        return jnp.any(state[3]) & (state[-1] < MAX_SHRINKAGES)

    waiting, count = jnp.ones(x.shape, bool), jnp.zeros_like(x)
    begin: State = (lower, upper, x, waiting, count, jnp.asarray(1))
    final = lax.while_loop(unfinished, shrink, begin)
    return final[2], final[4]


def parameter_move(
    model: NMF,
    data: Sampled,
    W: Array,
    H: Array,
    parameters: dict[str, Array],
    log_width: dict[str, Array],
    key: Array,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Move every inferred parameter given the factors.

    Parameters that are conjugate given the sum of squares are drawn from their conditional
    distribution; any other by slice sampling of its logarithm.

    Parameters
    ----------
    W : array of shape (component, row)
        First factor.
    H : array of shape (component, column)
        Second factor.
    log_width : dict of scalars
        Logarithms of the brackets' widths, in units of the parameters' logarithms.

    Returns
    -------
    parameters : dict of scalars
        The new values.
    n_evaluations : dict of scalars
        Proposals that each slice needed; a bracket of the right width needs two or three.
    """
    if model.likelihood.is_conjugate:
        squares = cast(Gram, data).squares(W, H)
        drawn = model.likelihood.conjugate_draw(key, data.n_cells, squares)
        return drawn, {name: jnp.ones_like(value) for name, value in drawn.items()}
    log_likelihood, effort = data.density(model, W, H, constants=False), {}
    for name, prior in model.likelihood.priors.items():
        key, key_place, key_slice = jax.random.split(key, 3)
        others = parameters

        def log_density(
            x: Array, name: str = name, prior: Any = prior, others: Any = others
        ) -> Array:
            value = jnp.exp(x)
            log_prior = prior.log_prob(value).astype(x.dtype) + x  # of the logarithm
            return log_likelihood({**others, name: value}) + log_prior

        x, width = jnp.log(parameters[name]), jnp.exp(log_width[name])
        lower = x - width * jax.random.uniform(key_place, x.shape, x.dtype)
        x, effort[name] = slice_move(log_density, x, lower, lower + width, key_slice)
        parameters = {**parameters, name: jnp.exp(x)}
    return parameters, effort
