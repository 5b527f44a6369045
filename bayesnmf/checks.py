"""Checks of a fit: whether it has converged, judged on what is identifiable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayesnmf.model import NMF
from bayesnmf.posterior import Fit

#: Thresholds of Vehtari et al. (2021): rank-normalised R-hat, and effective draws a chain.
MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
#: Draws of a chain below which neither can be computed.
MIN_DRAWS = 4
#: Cells or entries of each array that are diagnosed; a fixed random subset of larger arrays.
MAX_CELLS = 400


@dataclass(frozen=True)
class Check:
    """Verdict on the convergence of a fit.

    Parameters
    ----------
    table : DataFrame
        One row a quantity: number of entries diagnosed, largest R-hat, smallest bulk and tail
        effective sample size (ESS) over them. R-hat is NaN with a single chain, where it
        does not exist.
    converged : bool or None
        None where it cannot be judged.
    message : str
        The verdict in plain words.
    """

    table: pd.DataFrame
    converged: bool | None
    message: str

    def __repr__(self) -> str:
        if self.table.empty:
            return self.message
        with pd.option_context("display.width", 100):
            return f"{self.message}\n{self.table.to_string(float_format='{:.4g}'.format)}"


def check(fit: Fit) -> Check:
    """Judge convergence on identifiable quantities.

    Diagnosed are cells of WH, the log joint density, each component's mass, and the entries of
    the scaled and matched W and H. Raw factors are not: their scale and order are arbitrary.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.

    Returns
    -------
    Check
        R-hat needs two chains or more; with one it is refused (NaN, and the message says so).

    References
    ----------
    Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Buerkner, P.-C. (2021).
    Rank-normalization, folding, and localization: an improved R-hat for assessing convergence
    of MCMC. Bayesian Analysis 16, 667-718. doi:10.1214/20-BA1221
    """
    found = _judged(fit)
    return replace(found, message=found.message + _activity(fit))


def _judged(fit: Fit) -> Check:
    if fit.method == "map":
        return Check(
            _table({}), fit.converged, f"A mode has no draws to diagnose; it {fit.message}."
        )
    table = _table(_quantities(fit))
    if fit.method == "svi":
        message = (
            f"Variational fit {fit.message}. Its draws are independent, so R-hat and ESS say "
            "nothing of the approximation; compare with MCMC."
        )
        return Check(table, fit.converged, message)
    n_chains = fit.tree["posterior"].sizes["chain"]
    if n_chains < 2:
        message = (
            "Cannot judge convergence: R-hat needs at least two chains, and this fit has one. Run "
            "method=bn.MCMC(num_chains=4)."
        )
        return Check(table, None, message)
    n_draws = fit.tree["posterior"].sizes["draw"]
    if n_draws < MIN_DRAWS:
        message = (
            f"Cannot judge convergence: R-hat needs at least {MIN_DRAWS} draws a chain, and this "
            f"fit has {n_draws}. Run more draws."
        )
        return Check(table, None, message)
    return Check(table, *_verdict(table, n_chains, fit))


def _verdict(table: pd.DataFrame, n_chains: int, fit: Fit) -> tuple[bool, str]:
    needed = MIN_ESS_PER_CHAIN * n_chains
    rhat, ess = table["rhat"], table[["ess_bulk", "ess_tail"]].min(axis=1)
    diverging = fit.tree["sample_stats"].dataset.get("diverging")
    n_diverging = 0 if diverging is None else int(diverging.sum())
    notes = f" {n_diverging} transitions diverged." if n_diverging else ""
    faults = []
    if rhat.max() > MAX_RHAT:
        faults.append(f"R-hat reaches {rhat.max():.3f} ({rhat.idxmax()}; limit {MAX_RHAT})")
    if ess.min() < needed:
        faults.append(f"ESS falls to {ess.min():.0f} ({ess.idxmin()}; needed {needed})")
    if not faults:
        return True, (
            f"Converged: R-hat is at most {rhat.max():.3f} (limit {MAX_RHAT}) and ESS at least "
            f"{ess.min():.0f} (needed {needed}) on every quantity.{notes}"
        )
    return False, (
        f"Not converged: {', '.join(faults)}.{notes} Run more draws; if R-hat stays high, try "
        "fewer components."
    )


def _activity(fit: Fit) -> str:
    """Say how many components are active, under priors that let them empty out."""
    if not isinstance(fit.model, NMF) or not fit.model.hyper_priors:
        return ""
    counts = fit.active().sum("component").to_numpy()
    numbers, times = np.unique(counts, return_counts=True)
    share = "" if counts.size == 1 else f" (in {100 * times.max() / counts.size:.0f} % of draws)"
    return (
        f" Active, with more than 1 % of the mass: {numbers[times.argmax()]} of "
        f"{fit.n_components} components{share}."
    )


def _quantities(fit: Fit) -> dict[str, np.ndarray]:
    """Return the identifiable quantities, each of shape (chain, draw, entry)."""
    posterior = fit.tree["posterior"]
    W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
    (n_rows, n_columns), leading = (W.shape[2], H.shape[3]), W.shape[:2]
    cells = _subset(n_rows * n_columns)
    rows, columns = np.unravel_index(cells, (n_rows, n_columns))
    mean = np.einsum("cdek,cdke->cde", W[:, :, rows], H[..., columns])
    quantities = {"WH": mean, "log density": fit.tree["sample_stats/lp"].to_numpy()[..., None]}
    mass = fit.mass.to_numpy()
    quantities |= {f"mass[{k}]": mass[..., k : k + 1] for k in range(mass.shape[-1])}
    for name, factor in (("W", W), ("H", H)):
        flat = factor.reshape(*leading, -1)
        quantities[name] = flat[..., _subset(flat.shape[-1])]
    return quantities


def _subset(size: int) -> np.ndarray:
    if size <= MAX_CELLS:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, MAX_CELLS, replace=False))


def _table(quantities: dict[str, np.ndarray]) -> pd.DataFrame:
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    rows = {}
    for name, draws in quantities.items():
        # A constant (an empty row's zero) has no R-hat and needs none; NaN does not equal itself.
        varying = draws[..., ~(np.ptp(draws, axis=(0, 1)) == 0)]
        worst = {"entries": draws.shape[-1], "rhat": np.nan, "ess_bulk": np.nan, "ess_tail": np.nan}
        if varying.shape[-1] and varying.shape[1] >= MIN_DRAWS:
            bulk = array_stats.ess(varying, **axes)
            tail = array_stats.ess(varying, **axes, method="tail", prob=(0.05, 0.95))
            # Draws that are not finite have none of these; that is no convergence.
            worst["ess_bulk"] = np.min(np.nan_to_num(bulk, nan=0.0))
            worst["ess_tail"] = np.min(np.nan_to_num(tail, nan=0.0))
            if len(draws) > 1:
                worst["rhat"] = np.max(np.nan_to_num(array_stats.rhat(varying, **axes), nan=np.inf))
        rows[name] = worst
    columns = ["entries", "rhat", "ess_bulk", "ess_tail"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
