"""WAIC: the widely applicable information criterion."""

from __future__ import annotations

import warnings
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bayesnmf.comparison.estimates import Estimates
from bayesnmf.comparison.pointwise import Pointwise, Tile, jacobian, mean_density, warn_of_draws
from bayesnmf.model import Measure
from bayesnmf.posterior.result import Fit
from bayesnmf.progress import DELAY, showing

if TYPE_CHECKING:
    from bayesnmf.comparison.records import ELPDDataWAIC


#: Above this variance of a cell's log density WAIC is known to fail (Vehtari et al. 2017).
MAX_WAIC_VARIANCE = 0.4


def waic(
    fit: Fit,
    *,
    measure: Measure | None = None,
    log_jacobian: ArrayLike = 0.0,
    progress: bool = True,
) -> ELPDDataWAIC:
    r"""Estimate predictive density by the widely applicable information criterion.

    For each observed cell v, with means and variances over draws,

    .. math:: \log \frac1S \sum_s p(v \mid \theta_s) - \mathrm{Var}_s \log p(v \mid \theta_s).

    :func:`loo` estimates the same quantity, says where it fails, and is to be preferred.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` by MCMC or SVI.
    measure : {"counting", "lebesgue"}, optional
        As for :func:`loo`. Where a continuous likelihood is scored on counts, the penalty is the
        covariance of the log mass with the log density.
    log_jacobian : float or array of shape (n_rows, n_columns), default 0.0
        As for :func:`loo`.
    progress : bool, default True
        Whether to show a progress bar, of work that takes more than a second.

    Returns
    -------
    arviz_stats.ELPDData
        Of kind "waic": ``elpd``, ``se`` (as classic ArviZ computed it), ``p``, ``elpd_i`` and
        ``p_waic_i`` (dim "cell", with coordinates row and column), ``warning``.

    Raises
    ------
    ValueError
        As :func:`loo`.

    Warns
    -----
    UserWarning
        When a cell's variance is above 0.4, under 100 draws, and for chains in several modes.

    References
    ----------
    Watanabe, S. (2010). Asymptotic equivalence of Bayes cross validation and widely applicable
    information criterion in singular learning theory. Journal of Machine Learning Research 11,
    3571-3594. https://jmlr.org/papers/v11/watanabe10a.html

    Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
    leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
    doi:10.1007/s11222-016-9696-4

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> result = waic(fit)
    >>> result.kind, result.n_data_points
    ('waic', 192)
    """
    from bayesnmf.comparison.records import attributes_of_fit, row_and_column_names, waic_record

    begin = perf_counter()
    pointwise = Pointwise(fit, measure)
    warn_of_draws(pointwise)
    offset = jacobian(log_jacobian, pointwise.matrix)
    lppd, penalty = (np.full(pointwise.cells.shape, np.nan) for _ in range(2))
    with showing(progress, delay=DELAY) as shown:
        for tile in pointwise.tiles(progress=shown):
            lppd[tile.rows, tile.columns] = mean_density(tile.values)
            penalty[tile.rows, tile.columns] = _covariances(tile)
    observed = pointwise.cells.observed
    p_i, lppd = penalty[observed], (lppd + offset)[observed]
    unreliable = int((p_i > MAX_WAIC_VARIANCE).sum())
    if unreliable:
        warnings.warn(
            f"WAIC is not reliable: the log density of {unreliable} of {p_i.size} cells "
            f"({unreliable / p_i.size:.1%}) has a variance above {MAX_WAIC_VARIANCE}. Use bn.loo",
            stacklevel=2,
        )
    estimates = replace(Estimates.empty("cell", observed, "waic"), lppd=lppd, elpd=lppd - p_i)
    attrs = attributes_of_fit(pointwise, "cell", offset, begin) | {"bad_k": unreliable / p_i.size}
    names = row_and_column_names(fit)
    return waic_record(estimates, p_i, names, pointwise.n_draws, attrs, unreliable > 0)


def _covariances(tile: Tile) -> np.ndarray:
    """Return each cell's covariance over draws of the scored log density with the fitted one."""
    scored = tile.values - tile.values.mean(axis=1, keepdims=True)
    fitted = scored
    if tile.fitted is not tile.values:
        fitted = tile.fitted - tile.fitted.mean(axis=1, keepdims=True)
    return np.asarray(np.einsum("cs,cs->c", scored, fitted) / scored.shape[1])
