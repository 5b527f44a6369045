"""Log densities of a tile of cells, for any model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from bayesnmf.arrays import Array, off_zero
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import Program


@partial(jax.jit, static_argnames="mass")
def nmf_density(
    likelihood: Likelihood,
    W: Array,
    H: Array,
    v: Array,
    drawn: dict[str, Array],
    given: dict[str, Array],
    *,
    mass: bool,
) -> tuple[Array, ...]:
    """Return the log density of cells (row, column, draw), and whether all draws are finite.

    With `mass`, their log mass comes between. W is (row, component, draw) and H (component,
    column, draw).
    """
    # A loop over components, which the compiler fuses with the density: WH is never stored.
    mean = sum(W[:, k, None, :] * H[None, k, :, :] for k in range(1, W.shape[1])) + (
        W[:, 0, None, :] * H[None, 0, :, :]
    )
    mean = off_zero(mean)
    parameters = {name: x[None, None, :] for name, x in drawn.items()}
    parameters |= {name: x[:, :, None] for name, x in given.items()}
    scores = [likelihood.log_density, likelihood.log_mass][: 2 if mass else 1]
    cells = [score(v[:, :, None], mean, **parameters) for score in scores]
    return *cells, jnp.all(jnp.isfinite(cells[-1]), axis=-1)


def program_site(
    model: Program, V: np.ndarray, draws: dict[str, Array], *, first: bool = True
) -> dict[str, Any]:
    """Return the site V of a program at one draw, or at the first of several."""
    values = {name: x[0] for name, x in draws.items()} if first else draws
    with jax.enable_x64(True):
        run = handlers.substitute(handlers.seed(model, 0), values)
        return handlers.trace(run).get_trace(jnp.asarray(V))["V"]


def split_known(likelihood: Likelihood) -> tuple[Likelihood, dict[str, Array]]:
    """Split a likelihood from its known parameters, which are then passed block by block."""
    known = dict(likelihood.known)
    return (replace(likelihood, **dict.fromkeys(known)) if known else likelihood), known


def plain(x: np.ndarray) -> np.ndarray:
    """Return a contiguous float64 array, which JAX takes without converting."""
    return np.ascontiguousarray(x, np.float64)
