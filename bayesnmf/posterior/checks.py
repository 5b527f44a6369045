"""Checks of a fit: whether it has converged, judged on what is identifiable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayesnmf.convergence import MAX_RHAT, MIN_DRAWS, convergence, subset
from bayesnmf.markup import fragment
from bayesnmf.posterior.approximate import told_of_approximation
from bayesnmf.posterior.clusters import in_words
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.uniqueness import MIN_TRADE, mean_trades

#: Threshold of Vehtari et al. (2021): effective draws a chain.
MIN_ESS_PER_CHAIN = 100

#: A component is told to be uncertain below this mean cosine of its row of H with its average,
MIN_MATCH = 0.9
#: above this width of the 90 % interval of its mass relative to its mean, and where it can trade.
MAX_WIDTH = 1.0


@dataclass(frozen=True)
class Check:
    """Verdict on the convergence of a fit, returned by :func:`bayesnmf.check`.

    Read :attr:`message` first: it says whether the draws can be trusted, and what to do if not.

    Parameters
    ----------
    table : DataFrame
        One row a quantity: number of entries diagnosed, largest R-hat, smallest bulk and tail
        effective sample size (ESS) over them. R-hat is NaN with a single chain, where it
        does not exist.
    converged : bool or None
        None where it cannot be judged.
    message : str
        The verdict in plain words: converged or not, how many modes, which components are
        uncertain, what to do.
    components : DataFrame or None
        One row a component of what makes it uncertain: ``match``, the mean cosine of its row
        of H with its average; ``width``, of the 90 % interval of its mass relative to its mean;
        ``trade``, the mean share of it that one other component could take without changing
        WH (:func:`bayesnmf.uniqueness`); ``uncertain``, whether one of them passes its limit,
        which is not asked of what priors such as ARD have emptied out.
        None where there are no draws, and for chains in several modes.
    """

    table: pd.DataFrame
    converged: bool | None
    message: str
    components: pd.DataFrame | None = None

    def __repr__(self) -> str:
        if self.table.empty:
            return self.message
        with pd.option_context("display.width", 100):
            return f"{self.message}\n{self.table.to_string(float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        return fragment("Check", self.message, self.table)


def check(fit: Fit) -> Check:
    """Judge convergence on identifiable quantities.

    Diagnosed are cells of WH, the log joint density, each component's mass, and the entries of
    the scaled and matched W and H. Raw factors are not: their scale and order are arbitrary.
    Chains in several modes (:func:`bayesnmf.modes`) have not converged.

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
            _table({}), fit.converged, f"A MAP estimate has no draws to diagnose; it {fit.message}."
        )
    table, parts = _table(_quantities(fit)), _components(fit)
    if fit.method == "svi":
        message = f"Variational fit {fit.message}. {told_of_approximation(fit)}"
        return Check(table, fit.converged, message, parts)
    n_chains = fit.tree["posterior"].sizes["chain"]
    if n_chains < 2:
        message = (
            "Cannot judge convergence: R-hat needs at least two chains, and this fit has one. Run "
            "method=bn.MCMC(num_chains=4)."
        )
        return Check(table, None, message, parts)
    n_draws = fit.tree["posterior"].sizes["draw"]
    if n_draws < MIN_DRAWS:
        message = (
            f"Cannot judge convergence: R-hat needs at least {MIN_DRAWS} draws a chain, and this "
            f"fit has {n_draws}. Run more draws."
        )
        return Check(table, None, message, parts)
    if fit.chain_modes.any():
        return Check(table, False, _several_modes(fit, table))
    broken = _broken(fit)
    converged, message = (False, broken) if broken else _verdict(table, n_chains, fit)
    return Check(table, converged, message + ("" if broken else _uncertain(parts)), parts)


def _broken(fit: Fit) -> str:
    """Say which draws are no numbers, or which parameter of the likelihood never moved."""
    draws = {str(name): x.to_numpy() for name, x in fit.tree["posterior"].data_vars.items()}
    draws["the log density"] = fit.tree["sample_stats/lp"].to_numpy()
    found = [name for name, x in draws.items() if not np.isfinite(x).all()]
    if found:
        return (
            f"Not converged: draws of {', '.join(found)} are not finite. Multiply V by a constant that "
            "brings it near 1."
        )
    if fit.model is None or fit.model.nmf is None:
        return ""
    inferred = [name for name in fit.model.nmf.likelihood.priors if name in draws]
    still = [name for name in inferred if not np.ptp(draws[name], axis=1).all()]
    return (
        (
            f"Not converged: {', '.join(still)} never moved in a chain, so nothing has been learned about "
            "the noise. Run more draws, or multiply V by a constant that brings it near 1."
        )
        if still
        else ""
    )


def _several_modes(fit: Fit, table: pd.DataFrame) -> str:
    mode = fit.chain_modes
    return (
        f"Not converged: the chains are in {int(mode.max()) + 1} modes ({in_words(mode)}), different "
        f"factorisations between which they do not move (R-hat reaches {table['rhat'].max():.3g}). "
        "More draws will not help: read each mode by bn.modes(fit), which has their predictive "
        "weights, or try fewer components or another likelihood (bn.compare)."
    )


def _components(fit: Fit) -> pd.DataFrame | None:
    """Return what makes each component uncertain; None for chains in several modes."""
    if fit.chain_modes.any():
        return None
    posterior = fit.tree["posterior"].dataset
    mass = fit.mass.to_numpy().reshape(-1, fit.n_components)
    low, high = np.quantile(mass, (0.05, 0.95), axis=0)
    mean = mass.mean(axis=0)
    match = fit.tree["sample_stats/match"].mean(("chain", "draw")).to_numpy()
    width = np.divide(high - low, mean, out=np.zeros_like(mean), where=mean > 0)
    table = pd.DataFrame(
        {"match": match, "width": width, "trade": mean_trades(fit).max(axis=1)},
        index=pd.Index(posterior["component"].to_numpy(), name="component"),
    )
    uncertain = (match < MIN_MATCH) | (width > MAX_WIDTH) | (table["trade"] >= MIN_TRADE)
    if fit.model is not None and fit.model.empties_components:
        # What has emptied out follows its prior, and has no profile to be uncertain of.
        uncertain &= fit.active().mean(("chain", "draw")).to_numpy() >= 0.5
    return table.assign(uncertain=uncertain)


def _uncertain(components: pd.DataFrame | None) -> str:
    """Name the uncertain components, each with its worst reason, and say what to do."""
    if components is None or not components["uncertain"].any():
        return ""
    parts = []
    for name, row in components[components["uncertain"]].iterrows():
        reasons = []
        if row["match"] < MIN_MATCH:
            reasons.append(f"its profile varies, cosine {row['match']:.2f}")
        if row["width"] > MAX_WIDTH:
            reasons.append(f"90 % interval of its mass {row['width']:.0%} of the mean")
        if row["trade"] >= MIN_TRADE:
            reasons.append(f"{row['trade']:.0%} of it could be another's with the same WH")
        parts.append(f"{name} ({'; '.join(reasons)})")
    noun = "components" if len(parts) > 1 else "component"
    return (
        f" Uncertain {noun}: {', '.join(parts)}. See bn.uniqueness(fit), or try fewer components."
    )


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
    if fit.model is None or not fit.model.empties_components:
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
    cells = subset(n_rows * n_columns)
    rows, columns = np.unravel_index(cells, (n_rows, n_columns))
    mean = np.einsum("cdek,cdke->cde", W[:, :, rows], H[..., columns])
    quantities = {"WH": mean, "log density": fit.tree["sample_stats/lp"].to_numpy()[..., None]}
    mass, names = fit.mass.to_numpy(), posterior["component"].to_numpy()
    quantities |= {f"mass[{name}]": mass[..., k : k + 1] for k, name in enumerate(names)}
    for name, factor in (("W", W), ("H", H)):
        flat = factor.reshape(*leading, -1)
        quantities[name] = flat[..., subset(flat.shape[-1])]
    return quantities


def _table(quantities: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the worst of every quantity: NaN where all of its entries are constant."""
    columns = ["entries", "rhat", "ess_bulk", "ess_tail"]
    if not quantities:
        return pd.DataFrame(columns=columns)
    # A constant (an empty row's zero) has no R-hat and needs none; NaN does not equal itself.
    varying = [x[..., ~(np.ptp(x, axis=(0, 1)) == 0)] for x in quantities.values()]
    found = convergence(np.concatenate(varying, axis=2))
    place = np.repeat(np.arange(len(varying)), [x.shape[2] for x in varying])
    enough, several = varying[0].shape[1] >= MIN_DRAWS, len(varying[0]) > 1
    rows = {}
    for i, (name, draws) in enumerate(quantities.items()):
        worst, own = dict.fromkeys(columns, np.nan), place == i
        worst["entries"] = draws.shape[-1]
        if own.any() and enough:
            # Draws that are not finite have none of these; that is no convergence.
            worst["ess_bulk"] = np.min(np.nan_to_num(found.ess_bulk[own], nan=0.0))
            worst["ess_tail"] = np.min(np.nan_to_num(found.ess_tail[own], nan=0.0))
            if several:
                worst["rhat"] = np.max(np.nan_to_num(found.rhat[own], nan=np.inf))
        rows[name] = worst
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
