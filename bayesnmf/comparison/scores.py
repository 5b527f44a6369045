"""Scoring rules of cells left out: how far predictions lie from the data, in the data's units."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.posterior.requirements import require_draws
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.thinning import spaced, with_draws
from bayesnmf.predictive.replicates import posterior_predictive


def loo_score(
    fit: Fit,
    kind: Literal["crps", "scrps"] = "crps",
    *,
    num_samples: int = 1000,
    pointwise: bool = False,
    seed: int = 0,
) -> Any:
    r"""Score leave-one-out predictions by the continuous ranked probability score, through ArviZ.

    For a cell v and independent draws V, V' of its predictive distribution given all other cells,

    .. math:: \mathrm{CRPS} = \frac{1}{2} E|V - V'| - E|V - v|,

    in the units of V, so that likelihoods on different base measures compare as they are; larger
    is better. Draws are weighed by Pareto-smoothed importance sampling, as in
    :func:`bayesnmf.loo`.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` by MCMC or SVI.
    kind : {"crps", "scrps"}, default "crps"
        "scrps": scaled by the width of the prediction, so that cells of all sizes count alike.
    num_samples : int, default 1000
        Draws of the posterior over all chains, evenly spaced; all of them where there are fewer.
    pointwise : bool, default False
        Whether the score and the Pareto k of every cell come too.
    seed : int, default 0
        Seed of the replicates.

    Returns
    -------
    namedtuple
        ``mean`` over observed cells and its standard error ``se``; with `pointwise` also
        ``pointwise`` and ``pareto_k``, of dim "cell" with coordinates row and column.

    Raises
    ------
    ValueError
        For a MAP estimate, an unknown kind, and as :func:`bayesnmf.loo`.
    MemoryError
        When the replicates would not fit :data:`bayesnmf.predictive.replicates.BUDGET`.

    Warns
    -----
    UserWarning
        By ArviZ, where some k is bad: the score of that cell is not reliable.

    Notes
    -----
    Two arrays of draws x cells are held, unlike by :func:`bayesnmf.loo`. Scores look at the bulk
    of the predictions and say little about tails, which densities see.

    References
    ----------
    Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and
    estimation. Journal of the American Statistical Association 102, 359-378.
    doi:10.1198/016214506000001437

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> loo_score(fit).mean < 0
    True
    """
    from arviz_stats import loo_score as arviz_score

    require_draws(fit)
    if kind not in ("crps", "scrps"):
        raise ValueError(f"unknown kind {kind!r}; valid: crps, scrps")
    sizes = fit.tree["posterior"].sizes
    per_chain = max(num_samples // sizes["chain"], 1)
    fit = with_draws(fit, spaced(sizes["draw"], min(sizes["draw"], per_chain)))
    density = log_likelihood(fit)
    observed = density.isel(chain=0, draw=0).notnull().to_numpy()
    names = fit.tree["posterior"].dataset.indexes
    rows, columns = np.nonzero(observed)
    where = {"row": names["row"].to_numpy()[rows], "column": names["column"].to_numpy()[columns]}
    coords = {name: ("cell", labels) for name, labels in where.items()}

    def cells(values: np.ndarray) -> xr.Dataset:
        dims = ("chain", "draw", "cell")[-values.ndim + 1 :]
        return xr.Dataset({"V": (dims, values[..., rows, columns])}, coords)

    tree = xr.DataTree.from_dict(
        {
            "posterior": fit.tree["posterior"].to_dataset(),
            "posterior_predictive": cells(posterior_predictive(fit, seed=seed).to_numpy()),
            "log_likelihood": cells(density.to_numpy()),
            "observed_data": cells(fit.V.to_numpy()),
        }
    )
    return arviz_score(tree, kind=kind, pointwise=pointwise)
