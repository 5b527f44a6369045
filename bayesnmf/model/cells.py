"""The distribution of the cells of V at one draw, for an NMF and for a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from bayesnmf.arrays import Array, pytree
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model.mean import product

if TYPE_CHECKING:
    from bayesnmf.model.program import Program


@pytree()
@dataclass(frozen=True)
class NMFCells:
    """The distribution of V under an :class:`bayesnmf.NMF`, as a function of one draw.

    Parameters
    ----------
    likelihood : Likelihood
        What it knows is held as float64 arrays.
    """

    likelihood: Likelihood

    splits_rows: ClassVar[bool] = True

    def __call__(self, draw: dict[str, Array]) -> dist.Distribution:
        """Return the distribution of all cells at one draw of W, H and the parameters."""
        drawn = {name: draw[name] for name in self.likelihood.priors}
        mean = product(draw["W"], draw["H"])
        return self.likelihood.distribution(mean, **self.likelihood.known, **drawn)

    def at_rows(self, rows: np.ndarray) -> NMFCells:
        """Return the distribution of some rows: what the likelihood knows of every cell is cut."""
        return NMFCells(self.likelihood.at_rows(rows))

    def sites_at_rows(
        self, draws: dict[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return draws of all sites, of W in some rows."""
        return draws | {"W": draws["W"][:, rows]}


@pytree(static=("program",))
@dataclass(frozen=True)
class ProgramCells:
    """The distribution of the site V of a program, as a function of one draw.

    Parameters
    ----------
    program : Program
    V : array of shape (n_rows, n_columns)
        The data that it was conditioned on, since a program need not run without them.
    """

    program: Program
    V: Array | np.ndarray

    #: A program cannot be run on a part of its rows.
    splits_rows: ClassVar[bool] = False

    def site(self, draw: dict[str, Array]) -> dict[str, object]:
        """Return the site V at one draw of the program's sites."""
        run = handlers.substitute(handlers.seed(self.program, 0), draw)
        site: dict[str, object] = handlers.trace(run).get_trace(jnp.asarray(self.V))["V"]
        return site

    def __call__(self, draw: dict[str, Array]) -> dist.Distribution:
        """Return the distribution of all cells at one draw of the program's sites."""
        return self.site(draw)["fn"]

    def at_rows(self, rows: np.ndarray) -> ProgramCells:
        """Return the distribution of all rows."""
        return self

    def sites_at_rows(
        self, draws: dict[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return draws of all sites."""
        return draws
