"""The distribution of V at one draw, for any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from bayesnmf.arrays import Array, pytree
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import NMF, Program
from bayesnmf.model.mean import product
from bayesnmf.posterior.result import Fit, original_factors, require_model


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

    def __call__(self, draw: dict[str, Array]) -> dist.Distribution:
        """Return the distribution of all cells at one draw of W, H and the parameters."""
        drawn = {name: draw[name] for name in self.likelihood.priors}
        mean = product(draw["W"], draw["H"])
        return self.likelihood.distribution(mean, **self.likelihood.known, **drawn)


@dataclass(frozen=True, eq=False)
class _Identity:
    """A program as something hashable: equal to itself alone."""

    program: Program


@pytree(static=("held",))
@dataclass(frozen=True)
class ProgramCells:
    """The distribution of the site V of a program, as a function of one draw.

    Parameters
    ----------
    held : _Identity
        The program.
    V : array of shape (n_rows, n_columns)
        The data that it was conditioned on, since a program need not run without them.
    """

    held: _Identity
    V: Array

    def __call__(self, draw: dict[str, Array]) -> dist.Distribution:
        """Return the distribution of all cells at one draw of the program's sites."""
        run = handlers.substitute(handlers.seed(self.held.program, 0), draw)
        return handlers.trace(run).get_trace(jnp.asarray(self.V))["V"]["fn"]


type Cells = NMFCells | ProgramCells


def cells_of(fit: Fit) -> Cells:
    """Return the distribution of V given a draw, under the model of a fit.

    Raises
    ------
    ValueError
        When the fit has no model.
    """
    model = require_model(fit, "drawing data")
    if isinstance(model, NMF):
        return NMFCells(jax.tree.map(lambda x: np.asarray(x, np.float64), model.likelihood))
    return ProgramCells(_Identity(model), np.asarray(fit.V.to_numpy(), np.float64))


def sites(fit: Fit, index: np.ndarray) -> dict[str, np.ndarray]:
    """Return draws of all sites as the model has them, in double precision.

    Parameters
    ----------
    fit : Fit
        Its likelihood may know nothing of sites other than W, H and its parameters.
    index : ndarray of int of shape (n,)
        Draws wanted, chain after chain.
    """
    posterior = fit.tree["posterior"].dataset
    names = [str(name) for name in posterior.data_vars if name not in ("W", "H")]
    W, H = original_factors(fit)
    draws = {"W": W, "H": H}
    for name in names:
        values = posterior[name].to_numpy()
        draws[name] = values.reshape(-1, *values.shape[2:])
    chosen = {name: x[index] for name, x in draws.items()}
    return {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in chosen.items()}


def positive_integer(num_draws: Any) -> int:
    """Return `num_draws`, or say why it is none."""
    if isinstance(num_draws, bool) or not isinstance(num_draws, (int, np.integer)):
        raise TypeError(f"num_draws must be an integer, not {num_draws!r}")
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, not {num_draws}")
    return int(num_draws)


def spaced(n_draws: int, wanted: int) -> np.ndarray:
    """Return `wanted` positions among `n_draws`: evenly spaced, or repeated where too few."""
    if wanted > n_draws:
        return np.resize(np.arange(n_draws), wanted)
    return np.arange(wanted) * n_draws // wanted
