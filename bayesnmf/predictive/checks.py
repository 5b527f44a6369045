"""Posterior predictive checks: whether data like these come out of this posterior."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd

from bayesnmf.markup import fragment
from bayesnmf.posterior.requirements import warn_of_modes
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.thinning import require_num_samples, spaced
from bayesnmf.predictive.blocks import RowBlocks
from bayesnmf.predictive.cells import site_draws
from bayesnmf.predictive.statistics import observed_and_replicated
from bayesnmf.progress import DELAY, showing

#: Level of each check.
LEVEL = 0.05


@dataclass(frozen=True)
class PredictiveChecks:
    """Verdict of posterior predictive checks.

    Parameters
    ----------
    table : DataFrame
        One row a statistic. ``observed``: of the data (its posterior mean, where it depends
        on the draw); ``replicated``, ``5%``, ``95%``: mean and interval over replicates; ``p``:
        the share of draws whose replicate is at least as large. Small p: the data have more of it
        than the model gives; p near 1: less.
    message : str
        The verdict in plain words.
    replicated, observed : dict of str to ndarray of shape (num_samples,)
        Each statistic of the replicates and of the data, draw by draw.
    replicated_spectrum, observed_spectrum : ndarray of shape (num_samples, n)
        The leading singular values of the Pearson residual, ten where there are as many.
    """

    table: pd.DataFrame
    message: str
    replicated: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    replicated_spectrum: np.ndarray
    observed_spectrum: np.ndarray

    def __repr__(self) -> str:
        with pd.option_context("display.width", 100):
            return f"{self.message}\n{self.table.to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        return fragment("PredictiveChecks", self.message, self.table)


def ppc(
    fit: Fit, *, num_samples: int = 200, seed: int = 0, progress: bool = True
) -> PredictiveChecks:
    """Check a fit by data replicated from it.

    A discrepancy T(V, theta) of the data is set against T(V_rep, theta) at the same draw theta
    of the posterior, V_rep being drawn at theta: p is the share of draws with
    T(V_rep, theta) >= T(V, theta). Missing cells leave every statistic.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`. Draws of a shorter posterior are used repeatedly. A MAP
        estimate has one draw, at which all replicates are made (a parametric bootstrap without
        refitting).
    num_samples : int, default 200
        Number of replicates.
    seed : int, default 0
        The same seed gives the same result.
    progress : bool, default True
        Whether to show a progress bar, of work that takes more than a second.

    Returns
    -------
    PredictiveChecks
        With the statistics "singular value 1" to 3 (of the Pearson residual: structure that
        the components miss, or too much noise), "structure" (the first of them
        against the same residuals with random signs, which keep their sizes and lose what they
        share), "zeros", "dispersion" (mean squared Pearson residual), "maximum", "row totals",
        "column totals" (chi-square) and "calibration" (uniformity of the probability integral
        transform), the last where the model has a cumulative distribution function.

    Raises
    ------
    ValueError
        For a fit that has lost its model, data that its likelihood gives no probability, and
        programs whose cells have no finite variance.

    Warns
    -----
    UserWarning
        When the chains are in several modes, which all count alike.

    Notes
    -----
    Posterior predictive p-values are cautious: data that come from the model are flagged at
    most about as often as the level says, those of a MAP estimate much less often. Memory holds one
    replicate at a time, in the storage of the data, and a block of rows of it expanded; time is
    some 200 to 400 ns a cell and draw.

    References
    ----------
    Gelman, A., Meng, X.-L. and Stern, H. (1996). Posterior predictive assessment of model fitness
    via realized discrepancies. Statistica Sinica 6, 733-807.

    Hong, D., Sheng, Y. and Dobriban, E. (2020). Selecting the number of components in PCA via
    random signflips. arXiv:2012.02985

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(16, 12, 3, "poisson", seed=1)
    >>> svi = bn.SVI(num_steps=2000, num_samples=1000)
    >>> fit = bn.fit(V, bn.NMF(1), svi, progress=False)
    >>> ppc(fit, num_samples=50).message[:12]
    'Rank too low'
    """
    num_samples = require_num_samples(num_samples)
    warn_of_modes(fit)
    sizes = fit.tree["posterior"].sizes
    index = spaced(sizes["chain"] * sizes["draw"], num_samples)
    with jax.enable_x64(True), showing(progress, delay=DELAY) as shown:
        try:
            observed, replicated = observed_and_replicated(
                RowBlocks(fit), site_draws(fit, index), seed, shown
            )
        except NotImplementedError:
            raise ValueError(
                "the distribution of V has no mean, variance or sampler in NumPyro, which these "
                "checks need: bn.loo needs only its density"
            ) from None
    spectra = replicated.pop("spectrum"), observed.pop("spectrum")
    _require_finite(observed)
    table = _table_of_statistics(observed, replicated)
    return PredictiveChecks(table, _in_words(fit, table["p"]), replicated, observed, *spectra)


def _require_finite(observed: dict[str, np.ndarray]) -> None:
    for name, values in observed.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"the statistic {name!r} of the data is not finite at {(~np.isfinite(values)).sum()} "
                f"of {len(values)} draws: check that the fit has converged, and that its model "
                "gives every cell a finite mean and variance"
            )


def _table_of_statistics(
    observed: dict[str, np.ndarray], replicated: dict[str, np.ndarray]
) -> pd.DataFrame:
    first = [name for name in observed if name.startswith("singular")]
    order = [*first, "structure", *(n for n in observed if n not in (*first, "structure"))]
    rows = {}
    for name in order:
        low, high = np.quantile(replicated[name], (0.05, 0.95))
        rows[name] = {
            "observed": observed[name].mean(),
            "replicated": replicated[name].mean(),
            "5%": low,
            "95%": high,
            "p": (replicated[name] >= observed[name]).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("statistic")


# -- the verdict in words -----------------------------------------------------------------------


def _in_words(fit: Fit, p: pd.Series) -> str:
    faults, named = _noise_in_words(fit, p), ["dispersion"]
    if max(p["singular value 1"], p["structure"]) < LEVEL:
        overdispersed = p["dispersion"] < LEVEL
        more = " (the noise looks too large for the same reason, or for its own)"
        low = (
            f"Rank too low: the residuals share structure that {fit.n_components} component(s) "
            f"miss{more if overdispersed else ''}; try a higher rank"
        )
        faults = [low] if overdispersed else [low, *faults]
        named += ["singular value", "structure"]
    others = [
        f"{name} (p = {value:.3g})"
        for name, value in p.items()
        if value < LEVEL and not any(str(name).startswith(word) for word in named)
    ]
    if others:
        lead = "Also too large" if faults else "Does not fit: too large"
        faults.append(f"{lead} in the data: {', '.join(others)}")
    if not faults:
        least = f"{p.min():.3g} ({p.idxmin()})"
        faults = [f"Fits: no statistic exceeds its replicates (smallest p {least})"]
    if fit.method == "map":
        faults.append(
            "Replicates are drawn at the MAP estimate, without refitting, so p-values are too large: a "
            "small one counts, a large one says little"
        )
    return ". ".join(faults) + "."


def _noise_in_words(fit: Fit, p: pd.Series) -> list[str]:
    """Say whether the noise of the model is too small, or too large, for the data."""
    if p["dispersion"] < LEVEL:
        assert fit.model is not None  # replicates were drawn from it
        return [
            f"Overdispersed: try {fit.model.overdispersed_alternative} (p = {p['dispersion']:.3g})"
        ]
    # A MAP estimate always leaves less than the model's noise behind.
    if p["dispersion"] > 1 - LEVEL and fit.method != "map":
        return [
            f"Underdispersed: the data vary less than the model says (p = {p['dispersion']:.3g}); "
            "try a likelihood with less noise"
        ]
    return []
