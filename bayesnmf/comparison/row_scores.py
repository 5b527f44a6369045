"""score: how well a fit predicts rows that it has not seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.comparison.integrals import Integral
from bayesnmf.comparison.pointwise import Pointwise, mean_density
from bayesnmf.data import Matrix, MatrixLike
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.data.labels import labels_of
from bayesnmf.data.storage import matrix_of
from bayesnmf.posterior.new_rows import learned_from
from bayesnmf.posterior.result import Fit


def score(
    fit: Fit,
    V_new: MatrixLike,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    num_samples: int = 200,
    seed: int = 0,
    **known: ArrayLike,
) -> xr.DataArray:
    r"""Return the log predictive density of rows that the fit has not seen.

    The row's W is not estimated but integrated out under its prior:
    :math:`\log \frac1S \sum_s \int p(v \mid w, H_s)\, p(w)\, dw` over draws of H and of the
    likelihood's parameters; of a MAP estimate, at that estimate. So a row is never used to predict
    itself, and sums over rows can be compared between numbers of components, priors and likelihoods.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` of a :class:`bayesnmf.NMF` with a proper prior of W.
    V_new : array, table, SciPy sparse or AnnData of shape (n_new_rows, n_columns)
        Rows; missing cells are left out. Columns are matched by name with those of the fit.
    rows, columns, layer : optional
        As for :func:`bayesnmf.fit`: names for new rows that have none, and the layer of an AnnData.
    num_samples : int, default 200
        Draws of H over all chains, evenly spaced in each.
    seed : int, default 0
        Seed of the importance draws of W.
    **known : array
        Known parameters of the likelihood for the new rows, as for :func:`bayesnmf.transform`.

    Returns
    -------
    DataArray of dims (row,)
        Log densities in nats, on the likelihood's own measure.

    Raises
    ------
    ValueError
        For a flat prior of W, and as :func:`bayesnmf.transform`.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(12, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V[:8], bn.NMF(2), "map", progress=False)
    >>> score(fit, V[8:]).dims
    ('row',)
    """
    learned = learned_from(fit, num_samples)
    if learned.model.W is not None:
        raise ValueError(
            "W is known in part in this fit, but not for new rows, so they have no score: transform them"
        )
    names: dict[str, Any] = {"rows": rows, "columns": columns, "layer": layer}
    matrix = learned.with_names(matrix_of(V_new, lambda masked: False, **names))
    assert isinstance(matrix, Matrix)
    likelihood = learned.for_rows(matrix, known).likelihood
    likelihood.check(matrix)
    integral = Integral(Pointwise(learned.fit, one_draw=True), seed=seed)
    order, cells = learned.order_in(matrix), CellBlocks(matrix)
    place = np.argsort(order)  # of each column of the fit among those of the new rows
    arrays = {
        name: np.broadcast_to(np.asarray(x, float), matrix.shape)
        for name, x in likelihood.known.items()
    }
    given = np.empty(integral.given.shape[1])
    found = [
        mean_density(
            integral.new_line(
                cells.row(row)[place], {n: x[row][place] for n, x in arrays.items()}, row, given
            )[None]
        )[0]
        for row in range(matrix.n_rows)
    ]
    return xr.DataArray(found, {"row": labels_of(matrix.row_names)}, ("row",), name="log_density")
