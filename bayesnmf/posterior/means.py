"""The posterior mean of WH, of all cells or of some, without forming WH of any draw."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data.labels import positions
from bayesnmf.data.memory import require_dense

#: Numbers (draws x components x cells) that the mean of some cells holds at once.
CELL_NUMBERS = 2**24


def mean_of_all(posterior: xr.Dataset) -> xr.DataArray:
    """Return the mean of WH over draws, of dims (row, column)."""
    require_dense(
        (posterior.sizes["row"], posterior.sizes["column"]),
        "the mean of WH",
        "Ask for some cells with fit.mean_at(rows, columns)",
        posterior["W"].dtype.itemsize,
    )
    W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
    n_draws = W.shape[0] * W.shape[1]
    # One product over (draw, component) pairs, so that no draw's WH is ever formed.
    stacked_W = np.moveaxis(W, 2, 0).reshape(W.shape[2], -1)
    stacked_H = H.reshape(-1, H.shape[3])
    coords = {dim: posterior.coords[dim] for dim in ("row", "column")}
    return xr.DataArray(stacked_W @ stacked_H / n_draws, coords, ("row", "column"), name="mean")


def mean_of_cells(posterior: xr.Dataset, rows: ArrayLike, columns: ArrayLike) -> np.ndarray:
    """Return the mean of WH over draws at some cells, given by the names of rows and columns."""
    names = posterior.indexes
    i = positions(names["row"], rows, "rows")
    j = positions(names["column"], columns, "columns")
    if len(i) != len(j) and 1 not in (len(i), len(j)):
        raise ValueError(f"there are {len(i)} rows and {len(j)} columns: give a pair for each cell")
    i, j = np.broadcast_arrays(i, j)
    W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
    n_draws = W.shape[0] * W.shape[1]
    step = max(CELL_NUMBERS // (n_draws * W.shape[3]), 1)
    parts = [
        np.einsum("cdik,cdki->i", W[:, :, i[a : a + step]], H[..., j[a : a + step]])
        for a in range(0, len(i), step)
    ]
    return np.concatenate([np.empty(0, W.dtype), *parts]) / n_draws
