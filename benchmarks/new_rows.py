"""Rows that a fit has not seen: how often the intervals of `bayesnmf.transform` hold the truth.

Data sets are drawn from the model. Some rows are fitted by MCMC, the others transformed. Rows of the fit are
transformed too, which uses them a second time: how far that moves their W, and how much narrower it makes it.
"""

from __future__ import annotations

import argparse
import warnings

import jax
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

import bayesnmf as bn
from tests import replicates

#: Rows that are fitted, rows that are new, columns, components.
FITTED, NEW, COLUMNS, RANK = 40, 20, 20, 3
METHOD = bn.MCMC(num_samples=500, num_chains=2)
PROB = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = list(replicates.LIKELIHOODS)
    parser.add_argument("--likelihood", nargs="*", choices=names, default=names)
    parser.add_argument("--datasets", type=int, default=20)


def run(options: argparse.Namespace) -> None:
    rows = []
    for name in options.likelihood:
        with jax.enable_x64(True):
            model = replicates.model_of(name, RANK)
            truth = replicates.simulate(model, (FITTED + NEW, COLUMNS), options.datasets, seed=0)
        found = pd.DataFrame([_measured(model, truth, i) for i in range(options.datasets)]).astype(
            float
        )
        row = {"likelihood": name, "data sets": options.datasets}
        for quantity in found:
            error = found[quantity].std() / np.sqrt(len(found))
            row[quantity] = f"{found[quantity].mean():.3f} ± {error:.3f}"
        rows.append(row)
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
        jax.clear_caches()


def _measured(model: bn.NMF, truth: replicates.Truth, i: int) -> dict[str, float]:
    V, W, H = truth.V[i], truth.sites["W"][i], truth.sites["H"][i]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bn.fit(V[:FITTED], model, METHOD, seed=i, progress=False)
        new = bn.transform(fit, V[FITTED:], num_samples=1000, seed=i)
        again = bn.transform(fit, V[:FITTED], num_samples=1000, seed=i)
    order = _order(fit, H)
    scaled = (W * H.sum(axis=1))[FITTED:, order]
    before, after = _draws(fit), _draws(again)
    return {
        "coverage of WH": _coverage(_draws(new) @ _draws(new, "H"), W[FITTED:] @ H),
        "coverage of W": _coverage(_draws(new), scaled),
        "seen rows: shift, sd": np.abs(
            (after.mean(axis=0) - before.mean(axis=0)) / before.std(axis=0)
        ).mean(),
        "seen rows: ratio of sd": (after.std(axis=0) / before.std(axis=0)).mean(),
    }


def _draws(fit: bn.Fit, name: str = "W") -> np.ndarray:
    """Return draws of one site, chains in one."""
    return np.concatenate(fit.tree[f"posterior/{name}"].to_numpy())


def _coverage(draws: np.ndarray, truth: np.ndarray) -> float:
    low, high = np.quantile(draws, [0.5 - PROB / 2, 0.5 + PROB / 2], axis=0)
    return float(np.mean((low <= truth) & (truth <= high)))


def _order(fit: bn.Fit, H: np.ndarray) -> np.ndarray:
    """Return which true component each component of the fit is."""
    rows = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (fit.H.to_numpy(), H)]
    return linear_sum_assignment(-rows[0] @ rows[1].T)[1]
