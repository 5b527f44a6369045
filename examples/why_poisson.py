"""Which noise do four real matrices have? Numbers and a figure of docs/why.md.

Each matrix is fitted by MCMC under several likelihoods, and leave-one-out cross-validation says
which one predicts left-out cells best::

    python examples/why_poisson.py                # all four, some twenty minutes on one core
    python examples/why_poisson.py piano          # one of them
    python examples/why_poisson.py figure         # variance against mean, a minute

breast21 comes with the package. The others are read from ``shared/data`` beside the repository;
they are not part of it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpyro.distributions import Distribution
from real_data import FIGURES, find

import bayesnmf as bn

FIGURE = FIGURES / "why_noise.png"
DRAWS = bn.MCMC(num_warmup=300, num_samples=1000, num_chains=2)
#: Highest concentration of a drug that was tried: what needed more was recorded as this.
CEILING = 8.0
#: Okabe and Ito's colours, which colour-blind readers can tell apart, and a dash for each.
STYLES = {
    "poisson": ("#0072B2", "-"),
    "negative_binomial": ("#009E73", "--"),
    "gaussian": ("#D55E00", "-."),
    "gamma": ("#CC79A7", "-"),
    "beta": ("#E69F00", "--"),
}


@dataclass(frozen=True)
class Case:
    """A matrix, the rank of its fits, and the likelihoods that it is tried under."""

    title: str
    read: Callable[[], np.ndarray]
    rank: int
    likelihoods: tuple[str, ...]
    #: The likelihood whose fitted means the figure bins by.
    binned: str


def breast21() -> np.ndarray:
    """Return mutation counts; three zeros, which no gamma distribution has, become missing."""
    V = bn.datasets.breast21().to_numpy(float)
    return np.where(V > 0, V, np.nan)


def piano() -> np.ndarray:
    """Return the power spectrogram, one row for every fourth frame; neighbours overlap."""
    return np.load(find("piano/piano_mary.npz"))["power"].T[::4].astype(float)


def methylation50() -> np.ndarray:
    """Return the methylated share of 99 sites in 50 tumours."""
    table = pd.read_csv(find("methylation50/methylation_50breast.csv"), index_col=0)
    return table.to_numpy(float)


def ccle_ic50() -> np.ndarray:
    """Return the concentrations at which 24 drugs halve growth of 504 cell lines."""
    return np.loadtxt(find("ccle_ic50/ccle_ic50.txt"))


def ccle_measured() -> np.ndarray:
    """Return the same without the cells at the ceiling, which are bounds and not measurements."""
    V = ccle_ic50()
    return np.where(V < CEILING, V, np.nan)


def at_ceiling(V: np.ndarray) -> str:
    """Say how many responses were measured, and how many of those would be truncated to 0."""
    observed = V[~np.isnan(V)]
    measured = observed[observed < CEILING]
    return (
        f"{len(measured) / len(observed):.1%} below the ceiling, {np.mean(measured < 1):.1%} of "
        "those below 1, which truncation makes 0"
    )


CASES = {
    "breast21": Case(
        "breast21: mutation counts",
        breast21,
        4,
        ("poisson", "negative_binomial", "gaussian", "gamma"),
        "negative_binomial",
    ),
    "piano": Case("piano: power spectrogram", piano, 4, ("gaussian", "gamma"), "gamma"),
    "methylation50": Case(
        "methylation50: proportions", methylation50, 3, ("gaussian", "gamma", "beta"), "beta"
    ),
    "ccle_ic50": Case("ccle_ic50: drug response", ccle_ic50, 2, ("gaussian", "gamma"), "gaussian"),
    "ccle_measured": Case(
        "ccle_ic50 below its ceiling", ccle_measured, 2, ("gaussian", "gamma"), "gamma"
    ),
}


def verdict(name: str, case: Case) -> pd.DataFrame:
    """Fit every likelihood, print how well the chains agree, and LOO's table."""
    V = case.read()
    print(f"{name}: {V.shape[0]} x {V.shape[1]}, {np.isnan(V).sum()} missing, rank {case.rank}")
    if name == "ccle_ic50":
        print(f"  {at_ceiling(V)}")
    fits = {}
    for likelihood in case.likelihoods:
        fit = bn.fit(V, bn.NMF(case.rank, likelihood), DRAWS, progress=False)
        found = bn.check(fit).table["rhat"]
        print(
            f"  R-hat of WH {found['WH']:.3f}, of its factors {found[['W', 'H']].max():.3f}: "
            f"{likelihood}",
            flush=True,
        )
        fits[likelihood] = fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the share of bad k is in the table
        table = bn.compare(fits, escalate=False)
    table["per cell"] = table["elpd_diff"] / np.sum(~np.isnan(V))
    shown = table[["elpd", "elpd_diff", "dse", "per cell", "p", "bad_k"]]
    rounding = {"elpd": 0, "elpd_diff": 0, "dse": 0, "per cell": 3, "p": 0, "bad_k": 4}
    print(shown.round(rounding).to_string(), flush=True)
    return table


def variance_by_mean(
    V: np.ndarray, mean: np.ndarray, rank: int, n_bins: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Return the average mean and the residual variance in bins of equally many cells.

    The factors have followed part of the noise, so residuals are too small by the share of
    parameters among the cells.
    """
    observed = ~np.isnan(V)
    n_rows, n_columns = V.shape
    spent = rank * (n_rows + n_columns - rank) / observed.sum()
    order = np.argsort(mean[observed])
    bins = np.array_split(order, n_bins)
    squares = (V[observed] - mean[observed]) ** 2 / (1.0 - spent)
    means = np.array([mean[observed][cells].mean() for cells in bins])
    return means, np.array([squares[cells].mean() for cells in bins])


def figure(path: Path = FIGURE) -> None:
    """Draw residual variance against mean, with the variance of every family at its MAP estimate."""
    import jax
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ["breast21", "piano", "methylation50", "ccle_measured"]
    grid, panels = plt.subplots(2, 2, figsize=(9, 7.2), layout="constrained")
    for axes, name in zip(panels.flat, names, strict=True):
        case = CASES[name]
        V = case.read()
        fits = {x: bn.fit(V, bn.NMF(case.rank, x), "map", progress=False) for x in case.likelihoods}
        with jax.enable_x64(True):
            reference = np.asarray(noise(fits[case.binned], at_least_tiny(fits[case.binned])).mean)
            means, variances = variance_by_mean(V, reference, case.rank)
            axes.loglog(means, variances, "ko", label="residuals", zorder=3)
            line = np.geomspace(means[0], means[-1], 200)
            for likelihood, fit in fits.items():
                distribution = noise(fit, -np.log1p(-line) if likelihood == "beta" else line)
                colour, dash = STYLES[likelihood]
                values = np.broadcast_to(np.asarray(distribution.variance), line.shape)
                axes.loglog(line, values, dash, color=colour, label=likelihood.replace("_", " "))
        axes.set(title=case.title, xlabel="fitted mean", ylabel="variance")
        axes.legend(frameon=False)
    grid.savefig(path, dpi=120)
    plt.close(grid)


def at_least_tiny(fit: bn.Fit) -> np.ndarray:
    """Return the fitted WH; in a MAP estimate some cells may have a mean of 0, and no distribution."""
    return np.maximum(fit.mean.to_numpy(), 1e-300)


def noise(fit: bn.Fit, L: np.ndarray) -> Distribution:
    """Return the fitted distribution of cells around L = WH, at the fit's own parameters."""
    likelihood, posterior = fit.model.likelihood, fit.tree["posterior"]
    names = (*likelihood.known, *likelihood.priors)
    return likelihood.distribution(L, **{x: float(posterior[x].mean()) for x in names})


def main(names: list[str]) -> None:
    """Do what the command line asks for."""
    for name in names or [*CASES, "figure"]:
        if name == "figure":
            figure()
        elif name in CASES:
            verdict(name, CASES[name])
        else:
            sys.exit(f"unknown matrix {name!r}; valid: {', '.join(CASES)}, or figure")


if __name__ == "__main__":
    main(sys.argv[1:])
