"""False alarms of the residual check: how often it rejects the rank that data were made with.

Matrices of 30 x 20 and rank 3 are drawn from each likelihood and swept over ranks 2 and 3 with the
defaults of ``select_rank``. Of the true rank 5 % are to be rejected, of the smaller one all. Results are appended to a file, one line of JSON a data set, and
what is there is not done again, so that the study can run in parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

import bayesnmf as bn
from bayesnmf.rank.rule import LEVEL
from benchmarks.records import Record, append, read

SHAPE, TRUTH = (30, 20), 3
LIKELIHOODS = ("poisson", "negative_binomial", "gaussian", "gamma", "beta")


def run(likelihoods: Iterable[str], datasets: Iterable[int], out: Path) -> None:
    """Do what is not in the file yet, and print the rates."""
    done = {(record["likelihood"], record["dataset"]) for record in read(out)}
    likelihoods = list(likelihoods)
    for dataset in datasets:
        for likelihood in likelihoods:
            if (likelihood, dataset) not in done:
                record = sweep(likelihood, dataset)
                append(out, record)
    report(read(out))


def sweep(likelihood: str, dataset: int) -> Record:
    """Return the p-values of the residual check below and at the true rank."""
    V, _, _ = bn.datasets.make_nmf(*SHAPE, TRUTH, likelihood, seed=10_000 + dataset)
    selection = bn.select_rank(V, [TRUTH - 1, TRUTH], likelihood, seed=dataset, progress=False)
    p = selection.table["residual_p"]
    return {
        "likelihood": likelihood,
        "dataset": dataset,
        "below": float(p[TRUTH - 1]),
        "at": float(p[TRUTH]),
        "converged": bool(selection.table["converged"][TRUTH]),
    }


def report(records: list[Record]) -> None:
    """Print, by likelihood, the share of data sets in which each rank is rejected."""
    if not records:
        return
    table = pd.DataFrame(records).groupby("likelihood", sort=False)
    rates = pd.DataFrame(
        {
            "data sets": table.size(),
            "rejected at the true rank": table["at"].apply(lambda p: (p <= LEVEL).mean()),
            "rejected one below": table["below"].apply(lambda p: (p <= LEVEL).mean()),
            "converged": table["converged"].mean(),
        }
    )
    print(rates.round(3).to_string())
