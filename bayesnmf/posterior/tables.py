"""W, H and the masses of a fit as long tables, one line an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from bayesnmf.posterior.summary import spread_of

if TYPE_CHECKING:
    from bayesnmf.posterior.result import Fit

type TableName = Literal["W", "H", "mass"]


#: Numbers whose quantiles are found at once.
BLOCK = 2**22


def to_frame(fit: Fit, name: TableName, ci_prob: float = 0.9) -> pd.DataFrame:
    """Return W, H or the masses as a long table: labels, mean, sd and interval.

    Parameters
    ----------
    name : {"W", "H", "mass"}
        Which of them. The mass of a component is the sum of its part of WH.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        One line an entry, in the order of the labels. First the labels: ``row`` and ``component``
        for W, ``component`` and ``column`` for H, ``component`` for the masses. Then ``mean``,
        ``sd`` and the ends of the interval, named by their probabilities as in :meth:`Fit.summary`.
        W and the masses are in the units of V; each row of H sums to 1. ``sd`` and interval are NaN
        for a single draw, as of a MAP estimate.

    Raises
    ------
    ValueError
        For another name, when `ci_prob` is no probability, and when the chains are in several modes.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> fit.to_frame("W").columns.tolist()
    ['row', 'component', 'mean', 'sd', '5%', '95%']
    >>> table = fit.to_frame("H").pivot(index="component", columns="column", values="mean")
    >>> bool(np.allclose(table, fit.H))
    True
    """
    if name not in get_args(TableName.__value__):
        raise ValueError(f"there is no table {name!r}; valid: W, H, mass")
    mean = fit.H if name == "H" else fit.W  # refused for chains in several modes
    draws = fit.mass if name == "mass" else fit.tree["posterior"].dataset[name]
    labels = [draws[dim].to_numpy() for dim in draws.dims[2:]]
    grid = np.indices([len(label) for label in labels]).reshape(len(labels), -1)
    columns: dict[str, np.ndarray] = {
        str(dim): label[places]
        for dim, label, places in zip(draws.dims[2:], labels, grid, strict=True)
    }
    average = mean if name != "mass" else draws.mean(("chain", "draw"))
    return pd.DataFrame(columns | {"mean": average.to_numpy().ravel()} | _spread(draws, ci_prob))


def _spread(draws: xr.DataArray, ci_prob: float) -> dict[str, np.ndarray]:
    """Return sd and interval of every entry, of some entries at a time."""
    n_draws = draws.sizes["chain"] * draws.sizes["draw"]
    flat = draws.to_numpy().reshape(n_draws, -1)
    step = max(BLOCK // n_draws, 1)
    parts = [
        spread_of(np.ascontiguousarray(flat[:, begin : begin + step].T), ci_prob)
        for begin in range(0, flat.shape[1], step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
