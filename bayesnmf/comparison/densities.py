"""Log densities of some rows and columns at every draw: of an NMF and of a program."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, off_zero
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import NMF, Model
from bayesnmf.model.cells import ProgramCells
from bayesnmf.posterior.original import original_factors
from bayesnmf.posterior.result import Fit


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


class Densities(Protocol):
    """The log densities of the cells of a matrix under all draws of a fit.

    Parameters
    ----------
    fit : Fit
    model : Model
    cells : CellBlocks
        The matrix.
    mass : bool
        Whether the log mass of counts comes as well.
    """

    #: Whether a continuous likelihood can be scored by the mass that it gives to counts.
    gives_mass: ClassVar[bool]

    def __init__(self, fit: Fit, model: Any, cells: CellBlocks, *, mass: bool) -> None: ...

    def at(self, i: np.ndarray, j: np.ndarray) -> tuple[Array, ...]:
        """Return log densities of rows `i` and columns `j`, and where all draws are finite.

        Densities are of shape (row, column, draw); the log mass, if asked for, comes between.
        """


def densities_of(model: Model) -> type[Densities]:
    """Return what computes the log densities of a model's cells."""
    return ProgramDensities if model.nmf is None else NMFDensities


class NMFDensities:
    """The log densities of cells under an :class:`bayesnmf.NMF`; see :class:`Densities`.

    Columns of H are kept until others are asked for, so tiles one below another are cheapest.
    """

    gives_mass: ClassVar[bool] = True

    def __init__(self, fit: Fit, model: NMF, cells: CellBlocks, *, mass: bool) -> None:
        posterior = fit.tree["posterior"].dataset
        W, H = (posterior[name].to_numpy() for name in ("W", "H"))
        self.W, self.H = W.reshape(-1, *W.shape[2:]), H.reshape(-1, *H.shape[2:])
        self.drawn = {
            name: plain(posterior[name].to_numpy().reshape(-1)) for name in model.likelihood.priors
        }
        self.likelihood, known = split_known(model.likelihood)
        self.known = {name: np.broadcast_to(x, cells.shape) for name, x in known.items()}
        self.cells, self.mass = cells, mass
        self._columns, self._H = np.zeros(0, int), np.zeros(0)

    def at(self, i: np.ndarray, j: np.ndarray) -> tuple[Array, ...]:
        """Return log densities of rows `i` and columns `j`, and where all draws are finite."""
        if not np.array_equal(j, self._columns):
            self._columns, self._H = j, plain(np.moveaxis(self.H[:, :, j], 0, -1))
        W = plain(np.moveaxis(self.W[:, i], 0, -1))
        v = self.cells.block(i, j)
        v = np.where(np.isnan(v), self.likelihood.placeholder, v)
        given = {name: np.asarray(x[np.ix_(i, j)], float) for name, x in self.known.items()}
        return nmf_density(self.likelihood, W, self._H, v, self.drawn, given, mass=self.mass)


class ProgramDensities:
    """The log densities of the site V of a program; see :class:`Densities`.

    A program cannot be run on a part of its rows, so every tile runs the whole of it.
    """

    gives_mass: ClassVar[bool] = False

    def __init__(self, fit: Fit, model: Model, cells: CellBlocks, *, mass: bool) -> None:
        assert not mass  # refused before
        sites = {}
        for name, draws in fit.tree["posterior"].data_vars.items():
            values = draws.to_numpy()
            sites[str(name)] = values.reshape(-1, *values.shape[2:])
        W, H = original_factors(fit)  # before the scale of H was moved into W
        self.sites = sites | {"W": W, "H": H}
        self.cells = model.cells(cells.dense())

    def at(self, i: np.ndarray, j: np.ndarray) -> tuple[Array, ...]:
        """Return the log density of rows `i` and columns `j`, and where all draws are finite."""
        return program_density(self.cells, self.sites, i, j)


def split_known(likelihood: Likelihood) -> tuple[Likelihood, dict[str, Array]]:
    """Split a likelihood from its known parameters, which are then passed block by block."""
    known = dict(likelihood.known)
    return (replace(likelihood, **dict.fromkeys(known)) if known else likelihood), known


def plain(x: np.ndarray) -> np.ndarray:
    """Return a contiguous float64 array, which JAX takes without converting."""
    return np.ascontiguousarray(x, np.float64)
