"""Replicates of V from the posterior predictive distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from numpyro import handlers

from bayesnmf.likelihoods import Likelihood
from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF, Program, product
from bayesnmf.pointwise import original_factors
from bayesnmf.posterior import Fit, require_model, warn_of_modes
from bayesnmf.pytree import pytree

#: Bytes that replicates may take.
BUDGET = 2 * 2**30


def posterior_predictive(fit: Fit, *, num_draws: int | None = None, seed: int = 0) -> xr.DataArray:
    """Draw replicates of V: new data of the same rows and columns, one matrix a posterior draw.

    ``V_rep ~ p(V | W, H, parameters)`` at draws of the posterior. Every cell is drawn: where V is
    missing, its replicates are its imputations.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`. A mode gives one replicate, which knows nothing of the
        uncertainty of W and H.
    num_draws : int, optional
        At most so many draws over all chains, evenly spaced. None: all.
    seed : int, default 0
        The same seed gives the same replicates.

    Returns
    -------
    DataArray of dims (chain, draw, row, column)
        Labelled as the posterior; of the precision of the fit.

    Raises
    ------
    MemoryError
        When the replicates would take more than ``bayesnmf.predictive.BUDGET`` bytes; the
        message says how many draws fit.
    ValueError
        For fewer draws than chains, and for a fit that has lost its model.

    Warns
    -----
    UserWarning
        When the chains are in several modes, which all count alike.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(4, 3, 1, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=50, num_samples=30), progress=False)
    >>> dict(posterior_predictive(fit, num_draws=10).sizes)
    {'chain': 1, 'draw': 10, 'row': 4, 'column': 3}
    """
    warn_of_modes(fit)
    posterior = fit.tree["posterior"].dataset
    sizes, dtype = posterior.sizes, posterior["W"].dtype
    n_chains, n_draws = sizes["chain"], sizes["draw"]
    num_draws = n_chains * n_draws if num_draws is None else positive_integer(num_draws)
    if num_draws < n_chains:
        raise ValueError(
            f"num_draws={num_draws} is fewer than the {n_chains} chains of this fit: ask for "
            f"{n_chains} or more"
        )
    kept = spaced(n_draws, min(n_draws, num_draws // n_chains))
    _require_memory(n_chains * len(kept), sizes["row"] * sizes["column"] * dtype.itemsize)
    index = (np.arange(n_chains)[:, None] * n_draws + kept).ravel()
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), len(index))
        values = np.asarray(_replicates(cells_of(fit), sites(fit, index), keys, dtype=dtype))
    chosen = posterior.isel(draw=kept)
    names = ("chain", "draw", "row", "column")
    return xr.DataArray(
        values.reshape(n_chains, len(kept), sizes["row"], sizes["column"]),
        {name: chosen.coords[name] for name in names}, names, name="V",
    )  # fmt: skip


def _require_memory(n_draws: int, size: int) -> None:
    if n_draws * size > BUDGET:
        fitting = BUDGET // size
        mend = f"ask for num_draws={fitting} or fewer" if fitting else "no single draw fits"
        raise MemoryError(
            f"{n_draws} replicates of V would take {n_draws * size / 2**30:.1f} GiB, above the "
            f"budget of {BUDGET / 2**30:.1f} GiB: {mend}, or raise bayesnmf.predictive.BUDGET"
        )


# -- the cells at one draw ----------------------------------------------------------------------


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


@partial(jax.jit, static_argnames="dtype")
def _replicates(cells: Cells, draws: dict[str, Array], keys: Array, *, dtype: Any) -> Array:
    def one(pair: tuple[dict[str, Array], Array]) -> Array:
        draw, key = pair
        return cells(draw).sample(key).astype(dtype)

    return jax.lax.map(one, (draws, keys))


# -- which draws --------------------------------------------------------------------------------


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
