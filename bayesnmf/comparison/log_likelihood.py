"""The log density of every cell at every draw as one labelled array, for small data."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.comparison.pointwise import Pointwise, jacobian
from bayesnmf.data.memory import require_dense
from bayesnmf.model import Measure
from bayesnmf.posterior.groups import makes
from bayesnmf.posterior.result import Fit


def log_likelihood(
    fit: Fit, *, measure: Measure | None = None, log_jacobian: ArrayLike = 0.0
) -> xr.DataArray:
    """Return the log density of every cell at every draw, all in memory.

    For small data and for ArviZ's own functions; :func:`bayesnmf.waic` and :func:`bayesnmf.loo`
    never hold it.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` with draws.
    measure : {"counting", "lebesgue"}, optional
        As for :func:`bayesnmf.loo`.
    log_jacobian : float or array of shape (n_rows, n_columns), default 0.0
        As for :func:`bayesnmf.loo`.

    Returns
    -------
    DataArray of dims (chain, draw, row, column)
        NaN where V is missing.

    Raises
    ------
    ValueError
        As :func:`bayesnmf.loo`.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> dict(log_likelihood(fit).sizes)
    {'chain': 1, 'draw': 1000, 'row': 16, 'column': 12}
    """
    pointwise = Pointwise(fit, measure)
    posterior = fit.tree["posterior"]
    names = ("chain", "draw", "row", "column")
    require_dense(
        (pointwise.n_draws, *pointwise.cells.shape),
        "the log likelihood",
        "bn.loo and bn.waic keep a few numbers a cell",
    )
    values = np.full((*pointwise.cells.shape, pointwise.n_draws), np.nan)
    for tile in pointwise.tiles():
        values[tile.rows, tile.columns] = tile.values
    values += jacobian(log_jacobian, pointwise.matrix)[..., None]
    shape = tuple(posterior.sizes[name] for name in names)
    return xr.DataArray(
        np.moveaxis(values, -1, 0).reshape(shape),
        {name: posterior.coords[name] for name in names},
        names,
        name="V",
    )


@makes("log_likelihood")
def _group(fit: Fit, seed: int) -> xr.Dataset:
    return log_likelihood(fit).to_dataset(name="V")
