"""Small saved results, and whether a loaded one is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import synthetic

import bayesnmf as bn
from bayesnmf.posterior import structure

FORMATS = (".nc", ".zarr")


def fit(seed: int = 0) -> bn.Fit:
    """Return a fit of random draws."""
    V = pd.DataFrame(
        np.random.default_rng(7).poisson(3.0, (5, 4)) + 0.0, list("abcde"), list("wxyz")
    )
    return synthetic.assembled(*synthetic.draws(n_chains=2, n_draws=4, seed=seed), V=V)


def sweep() -> bn.RankSelection:
    """Return a sweep of one rank, whose numbers mean nothing."""
    one = fit()
    index = pd.Index([one.n_components], name="rank")
    table = pd.DataFrame({name: [0.5] for name in structure.COLUMNS}, index)
    settings = {"shape": [5, 4], "model": {"likelihood": {"name": "poisson"}}}
    elpd_i = np.linspace(-2, -1, 20)[None]
    return bn.RankSelection(table, {one.n_components: one}, elpd_i, settings, ["a note"])


def save_all(folder: Path) -> list[Path]:
    """Save both results in both formats, and return where."""
    paths = [folder / f"{name}{ending}" for name in ("fit", "sweep") for ending in FORMATS]
    for path in paths:
        (fit() if path.stem == "fit" else sweep()).save(path)
    return paths


def same(a: bn.Fit | bn.RankSelection, b: bn.Fit | bn.RankSelection) -> bool:
    """Return whether two results hold the same numbers, names and models."""
    if isinstance(a, bn.Fit) and isinstance(b, bn.Fit):
        return a.tree.identical(b.tree) and a.model == b.model
    if isinstance(a, bn.RankSelection) and isinstance(b, bn.RankSelection):
        return (
            a.table.equals(b.table)
            and np.array_equal(a.elpd_i, b.elpd_i)
            and (a.settings, a.notes, list(a.fits)) == (b.settings, b.notes, list(b.fits))
            and all(same(a.fits[rank], b.fits[rank]) for rank in a.fits)
        )
    return False
