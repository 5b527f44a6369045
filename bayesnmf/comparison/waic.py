"""WAIC: the widely applicable information criterion."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.comparison.pointwise import Measure, Pointwise, jacobian, mean_density, warn_of_draws
from bayesnmf.comparison.records import attributes_of, names_of
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from bayesnmf.comparison.records import ELPDDataWAIC


#: Above this variance of a cell's log density WAIC is known to fail (Vehtari et al. 2017).
MAX_WAIC_VARIANCE = 0.4


def waic(fit: Fit, *, measure: Measure | None = None, log_jacobian: Any = 0.0) -> ELPDDataWAIC:
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
    from bayesnmf.comparison.records import Estimates, waic_record

    begin = perf_counter()
    pointwise = Pointwise(fit, measure)
    warn_of_draws(pointwise)
    offset = jacobian(log_jacobian, pointwise.matrix)
    lppd, penalty = (np.full(pointwise.cells.shape, np.nan) for _ in range(2))
    for tile in pointwise.tiles():
        lppd[tile.rows, tile.columns] = mean_density(tile.values)
        centred = tile.values - tile.values.mean(axis=1, keepdims=True)
        other = centred
        if tile.fitted is not tile.values:
            other = tile.fitted - tile.fitted.mean(axis=1, keepdims=True)
        penalty[tile.rows, tile.columns] = np.einsum("cs,cs->c", centred, other) / centred.shape[1]
    observed = pointwise.cells.observed
    estimates = Estimates.empty("cell", observed, "waic")
    estimates.lppd = (lppd + offset)[observed]
    p_i = penalty[observed]
    estimates.elpd = estimates.lppd - p_i
    unreliable = int((p_i > MAX_WAIC_VARIANCE).sum())
    if unreliable:
        warnings.warn(
            f"WAIC is not reliable: the log density of {unreliable} of {p_i.size} cells "
            f"({unreliable / p_i.size:.1%}) has a variance above {MAX_WAIC_VARIANCE}. Use bn.loo",
            stacklevel=2,
        )
    attrs = attributes_of(pointwise, "cell", offset, begin) | {"bad_k": unreliable / p_i.size}
    return waic_record(estimates, p_i, names_of(fit), pointwise.n_draws, attrs, unreliable > 0)
