"""Replicates of V from the posterior predictive distribution."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

from bayesnmf.arrays import Array
from bayesnmf.model import CellDistribution
from bayesnmf.posterior.groups import makes
from bayesnmf.posterior.requirements import warn_of_modes
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.thinning import kept_draws
from bayesnmf.predictive.cells import cell_distribution, site_draws

#: Bytes that replicates may take.
BUDGET = 2 * 2**30


def posterior_predictive(
    fit: Fit, *, num_samples: int | None = None, seed: int = 0
) -> xr.DataArray:
    """Draw replicates of V: new data of the same rows and columns, one matrix a posterior draw.

    ``V_rep ~ p(V | W, H, parameters)`` at draws of the posterior. Every cell is drawn: where V is
    missing, its replicates are its imputations.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`. A MAP estimate gives one replicate, without
        the uncertainty of W and H.
    num_samples : int, optional
        At most this many draws over all chains, evenly spaced. None: all.
    seed : int, default 0
        The same seed gives the same replicates.

    Returns
    -------
    DataArray of dims (chain, draw, row, column)
        Labelled as the posterior; of the precision of the fit.

    Raises
    ------
    MemoryError
        When the replicates would take more than ``bayesnmf.predictive.replicates.BUDGET`` bytes; the
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
    >>> dict(posterior_predictive(fit, num_samples=10).sizes)
    {'chain': 1, 'draw': 10, 'row': 4, 'column': 3}
    """
    warn_of_modes(fit)
    return _at_draws(fit, num_samples, seed)


@makes("posterior_predictive")
def _group(fit: Fit, seed: int) -> xr.Dataset:
    return _at_draws(fit, None, seed).to_dataset(name="V")


def _at_draws(fit: Fit, num_samples: int | None, seed: int) -> xr.DataArray:
    """Return the replicates at some draws, evenly spaced in every chain."""
    posterior = fit.tree["posterior"].dataset
    sizes, dtype = posterior.sizes, posterior["W"].dtype
    n_chains, n_draws = sizes["chain"], sizes["draw"]
    kept = kept_draws(n_chains, n_draws, num_samples)
    require_room(n_chains * len(kept), sizes["row"] * sizes["column"] * dtype.itemsize)
    index = (np.arange(n_chains)[:, None] * n_draws + kept).ravel()
    values = replicated(cell_distribution(fit), site_draws(fit, index), seed, dtype)
    chosen = posterior.isel(draw=kept)
    names = ("chain", "draw", "row", "column")
    return xr.DataArray(
        values.reshape(n_chains, len(kept), sizes["row"], sizes["column"]),
        {name: chosen.coords[name] for name in names},
        names,
        name="V",
    )


def replicated(
    cells: CellDistribution, draws: dict[str, np.ndarray], seed: int, dtype: np.dtype
) -> np.ndarray:
    """Return one replicate of V at each draw of all sites: (draw, row, column).

    Parameters
    ----------
    cells : CellDistribution
    draws : dict of str to ndarray of shape (draw, ...)
        In double precision.
    seed : int
    dtype : dtype
        Of the result.
    """
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), len(draws["W"]))
        return np.asarray(_replicates(cells, draws, keys, dtype=dtype))


def require_room(n_draws: int, size: int) -> None:
    """Raise ``MemoryError`` when so many replicates, of `size` bytes each, are above the budget."""
    if n_draws * size > BUDGET:
        fitting = BUDGET // size
        hint = f"ask for num_samples={fitting} or fewer" if fitting else "no single draw fits"
        raise MemoryError(
            f"{n_draws} replicates of V would take {n_draws * size / 2**30:.1f} GiB, above the "
            f"budget of {BUDGET / 2**30:.1f} GiB: {hint}, or raise bayesnmf.predictive.replicates.BUDGET"
        )


@partial(jax.jit, static_argnames="dtype")
def _replicates(
    cells: CellDistribution, draws: dict[str, Array], keys: Array, *, dtype: Any
) -> Array:
    def one(pair: tuple[dict[str, Array], Array]) -> Array:
        draw, key = pair
        return cells(draw).sample(key).astype(dtype)

    return jax.lax.map(one, (draws, keys))
