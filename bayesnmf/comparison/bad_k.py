"""Cells and rows that importance sampling could not leave out: a list of them, and a warning."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData

#: Number of cells, or rows, that a warning names.
MAX_NAMED = 3


def bad_cells(result: ELPDData) -> pd.DataFrame:
    """List the cells, or rows, whose estimate is not reliable.

    Parameters
    ----------
    result : ELPDData
        What :func:`bayesnmf.loo` returned.

    Returns
    -------
    DataFrame
        Columns ``row``, ``column`` (for cells), ``k``, ``elpd`` and ``estimator``; worst first,
        empty where every k is good.

    Raises
    ------
    ValueError
        For a result without Pareto k.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V = 20.0 + np.add.outer(np.arange(16), np.arange(12))
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=2000, num_samples=1000), progress=False)
    >>> from bayesnmf.comparison.loo import loo
    >>> bad_cells(loo(fit)).columns.tolist()
    ['row', 'column', 'k', 'elpd', 'estimator']
    """
    if result.pareto_k is None:
        raise ValueError(f"a result of kind {result.kind!r} has no Pareto k: use bn.loo")
    k = result.pareto_k.to_numpy()
    bad = np.flatnonzero(k > result.good_k)
    bad = bad[np.argsort(-k[bad], kind="stable")]
    coords = ["row", "column"] if "column" in result.elpd_i.coords else ["row"]
    columns = {name: result.elpd_i[name].to_numpy()[bad] for name in coords}
    columns |= {"k": k[bad], "elpd": result.elpd_i.to_numpy()[bad]}
    return pd.DataFrame(
        {**columns, "estimator": result.elpd_i["estimator"].to_numpy()[bad]},
        columns=[*coords, "k", "elpd", "estimator"],
    )


def warn_of_bad_k(result: ELPDData, escalated: bool, stacklevel: int) -> None:
    """Warn with the share and the place of bad k."""
    bad = bad_cells(result)
    if bad.empty:
        return
    unit = "cells" if "column" in bad else "rows"
    worst = "; ".join(
        ", ".join(f"{dim} {entry[dim]}" for dim in ("row", "column") if dim in entry)
        + f" (k {entry['k']:.2f})"
        for entry in bad.head(MAX_NAMED).to_dict("records")
    )
    hint = (
        "Their estimates are not reliable: bn.kfold leaves cells out by refitting"
        if escalated
        else "Use escalate=True, or bn.kfold; bayesnmf.comparison.bad_k.bad_cells lists them"
    )
    warnings.warn(
        f"Pareto k is above {result.good_k:.2f} in {len(bad)} of {result.n_data_points} {unit} "
        f"({len(bad) / result.n_data_points:.1%}), worst in {worst}. {hint}",
        stacklevel=stacklevel + 1,
    )
