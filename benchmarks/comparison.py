"""The five-family study: whether the likelihood that made the data is the one preferred.

Matrices of 100 x 60 and rank 4 are drawn from each likelihood, fitted by all that give such data a
density, and compared. Counts of even data sets hold zeros, to which a gamma likelihood gives no
density; those of odd ones are larger and hold none as a rule. A few data sets of every family are
compared with escalation and by K-fold too, which are dear. Results are appended to a file, one line
of JSON a data set, and what is there is not done again, so that the study can run in parts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesnmf as bn
from benchmarks.records import append, read

SIZE, RANK = (100, 60), 4
#: Two chains of 500 draws converge here: a thousand draws are what LOO's threshold on k is made for.
METHOD = bn.MCMC(num_warmup=300, num_samples=500, num_chains=2)
COUNTS = ("poisson", "negative_binomial", "gaussian", "gamma")
#: What each family's data are fitted by.
CANDIDATES = {
    "poisson": COUNTS,
    "negative_binomial": COUNTS,
    "gaussian": ("gaussian", "gamma"),
    "gamma": ("gamma", "gaussian"),
    "beta": ("beta", "gaussian", "gamma"),
}
SPARSE, LARGE = {"mean": 10.0}, {"mean": 50.0, "shape_W": 4.0, "shape_H": 4.0}
#: How each family's data are made: even data sets, odd ones. Gaussian noise is small enough to leave
#: all cells positive, as the gamma likelihood needs them.
SETTINGS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "poisson": (SPARSE, LARGE),
    "negative_binomial": ({**SPARSE, "concentration": 5.0}, {**LARGE, "concentration": 10.0}),
    "gaussian": ({**LARGE, "sigma": 2.0}, {**LARGE, "sigma": 1.0}),
    "gamma": ({"shape": 10.0}, {"shape": 3.0}),
    "beta": (
        {"precision": 50.0, "shape_W": 4.0, "shape_H": 4.0},
        {"precision": 20.0, "shape_W": 4.0, "shape_H": 4.0},
    ),
}


def run(
    families: Iterable[str], datasets: Iterable[int], escalated: int, folded: int, out: Path
) -> None:
    """Do what is not in the file yet, and print a line for each data set and the table at the end."""
    done = {(record["family"], record["dataset"]) for record in read(out)}
    families = list(families)
    for dataset in datasets:
        for family in families:
            if (family, dataset) in done:
                continue
            record = study(family, dataset, dataset < escalated, dataset < folded)
            append(out, record)
            print(record, flush=True)
    report(read(out))


def data(family: str, dataset: int) -> np.ndarray:
    """Draw a data set."""
    seed = 1000 * list(SETTINGS).index(family) + dataset
    V, _, _ = bn.datasets.make_nmf(*SIZE, RANK, family, seed, **SETTINGS[family][dataset % 2])
    return V


def study(family: str, dataset: int, escalate: bool, fold: bool) -> dict[str, Any]:
    """Fit and compare all candidates."""
    V, begin = data(family, dataset), time.perf_counter()
    fits, refused = {}, []
    for name in CANDIDATES[family]:
        try:
            fits[name] = bn.fit(V, bn.NMF(RANK, name), METHOD, seed=dataset, progress=False)
        except ValueError:
            refused.append(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Pareto k|Estimated shape")
        table = bn.compare(fits, seed=dataset, progress=False)
        record = {
            "family": family,
            "dataset": dataset,
            "refused": refused,
            "converged": {name: fit.converged for name, fit in fits.items()},
            # R-hat of WH, because predictions depend on nothing else; W and H may still trade mass.
            "rhat": {name: _rhat(fit) for name, fit in fits.items()},
            "seconds": round(time.perf_counter() - begin, 1),
            "loo": _rows(table),
        }
        if escalate:
            begin = time.perf_counter()
            record["escalated"] = _rows(
                bn.compare(fits, escalate=True, seed=dataset, progress=False)
            )
            record["escalated_seconds"] = round(time.perf_counter() - begin, 1)
        if fold:
            begin = time.perf_counter()
            record["kfold"] = _rows(bn.compare(fits, "kfold", seed=dataset, progress=False))
            record["kfold_seconds"] = round(time.perf_counter() - begin, 1)
    return record


def _rhat(fit: bn.Fit) -> float:
    return round(float(bn.check(fit).table.loc["WH", "rhat"]), 4)


def _rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    columns = ["elpd", "elpd_diff", "dse", "weight", "p", "bad_k", "estimator", "seconds"]
    rounded = table[columns].round({"elpd": 2, "elpd_diff": 2, "dse": 2, "weight": 3, "p": 1})
    return {str(name): row for name, row in rounded.to_dict("index").items()}


def report(records: list[dict[str, Any]]) -> None:
    """Print how the true family fared, and whether the estimators agree on the order."""
    if not records:
        return
    rows = [
        {"family": record["family"], "by": by, **_verdict(record["family"], record[by])}
        for record in records
        for by in ("loo", "escalated", "kfold")
        if by in record
    ]
    table = pd.DataFrame(rows).groupby(["by", "family"], sort=False)
    print(
        table.agg(
            n=("first", "size"),
            first=("first", "sum"),
            within=("within", "sum"),
            most_standard_errors=("errors", "max"),
            rival_by=("rival", "median"),
            bad_k=("bad_k", "max"),
        ).to_string()
    )
    for by in ("escalated", "kfold"):
        both = [(record["loo"], record[by]) for record in records if by in record]
        same = sum(list(loo) == list(other) for loo, other in both)
        print(f"LOO and {by} give the models the same order in {same} of {len(both)} data sets")
    failed = sum(not ok for record in records for ok in record["converged"].values())
    total = sum(len(record["converged"]) for record in records)
    rhat = [x for record in records for x in record.get("rhat", {}).values()]
    print(
        f"{failed} of {total} fits had not converged by bn.check; largest R-hat of WH {max(rhat, default=np.nan):.3f}"
    )


def _verdict(family: str, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return whether the true family is first, and how the best of the others compares with it."""
    # elpd_diff is the difference to the best model, so it is not positive; dse is its standard error.
    own, others = table[family], [row for name, row in table.items() if name != family]
    behind = -own["elpd_diff"]
    rival = max(row["elpd"] for row in others) - own["elpd"]
    errors = behind / own["dse"] if behind > 0 else 0.0
    return {
        "first": behind == 0,
        "within": errors <= 1,
        "errors": errors,
        "rival": rival,
        "bad_k": own["bad_k"],
    }
