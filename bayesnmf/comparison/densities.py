"""Log densities of a tile of cells, for any model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, off_zero
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model.cells import ProgramCells


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


@jax.jit
def program_density(
    cells: ProgramCells, sites: dict[str, Array], i: Array, j: Array
) -> tuple[Array, Array]:
    """Return the log density of some rows and columns, of shape (row, column, draw).

    And whether all draws are finite. A program cannot be run on a part of its rows, so the whole
    of it runs.
    """

    def one(draw: dict[str, Array]) -> Array:
        site: dict[str, Any] = cells.site(draw)
        return site["fn"].log_prob(site["value"])[i[:, None], j[None, :]]

    density = jnp.moveaxis(jax.lax.map(one, sites), 0, -1)
    return density, jnp.all(jnp.isfinite(density), axis=-1)


def split_known(likelihood: Likelihood) -> tuple[Likelihood, dict[str, Array]]:
    """Split a likelihood from its known parameters, which are then passed block by block."""
    known = dict(likelihood.known)
    return (replace(likelihood, **dict.fromkeys(known)) if known else likelihood), known


def plain(x: np.ndarray) -> np.ndarray:
    """Return a contiguous float64 array, which JAX takes without converting."""
    return np.ascontiguousarray(x, np.float64)
