"""The recovery study: how often a rule finds the rank that data were made with.

Mutational catalogues are drawn from COSMIC signatures: 64 samples, 96 channels, exposures that are
exponential with a mean of 1,000 mutations per signature and sample, Poisson counts, or negative binomial ones
of concentration 10. Every data set is swept from 4 below its rank to 4 above, under Poisson and, where
counts are overdispersed, under the negative binomial too. Results are appended to a file, one line
of JSON a sweep, and what is there is not done again, so that the study can run in parts. The records
that the documentation shows are in ``benchmarks/results/rank.jsonl``.

The signatures are read from ``shared/data/cosmic`` beside the repository; they are not part of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

import bayesnmf as bn
from bayesnmf.methods import MAP
from bayesnmf.rank.measures import folds_of
from bayesnmf.rank.rule import LEVEL
from bayesnmf.rank.settings import settings_of
from benchmarks import rank_figure as figure
from benchmarks import rank_peers as peers
from benchmarks.records import Record, append, read

TRUTHS = (1, 2, 4, 6, 8, 12, 16, 20)
N_SAMPLES, PER_SIGNATURE, CONCENTRATION, SPAN = 64, 1000.0, 10.0, 4
#: Replicates of the residual check; at level 5 % two of them may be as large as the data.
N_REPLICATES = 39
#: Restarts that the cophenetic correlation and the silhouette look at, and steps of each at most.
N_RESTARTS, MAX_STEPS = 10, 500
#: What data are drawn from, and what they are fitted by.
STUDIES = (
    ("poisson", "poisson"),
    ("negative_binomial", "negative_binomial"),
    ("negative_binomial", "poisson"),
)
SIGNATURES = Path("shared/data/cosmic/COSMIC_v3.4_SBS_GRCh37.txt")


def run(
    truths: Iterable[int],
    datasets: Iterable[int],
    noises: Iterable[str],
    out: Path,
    plot: str | None,
) -> None:
    """Do what is not in the file yet, print a line for each sweep and the rates, and draw them."""
    signatures = read_signatures()
    if signatures is None:
        print(f"skipped: the COSMIC signatures are not in ../{SIGNATURES}")
        return
    done = {_key(record) for record in read(out)}
    for dataset in datasets:
        for truth in truths:
            for drawn, fitted in STUDIES:
                key = (truth, dataset, drawn, fitted)
                if drawn in noises and key not in done:
                    record = sweep(signatures, *key)
                    append(out, record)
                    print(record, flush=True)
    records = read(out)
    report(records)
    if plot and records:
        figure.draw(records, Path(plot))


def read_signatures() -> np.ndarray | None:
    """Return the signatures, one a row, or None where the file is missing."""
    root = Path(__file__).resolve().parent.parent
    for folder in (root.parent, root):
        if (folder / SIGNATURES).exists():
            table = pd.read_csv(folder / SIGNATURES, sep="\t", index_col=0)
            return table.to_numpy(float).T
    return None


def catalogue(signatures: np.ndarray, truth: int, seed: int, drawn: str) -> np.ndarray:
    """Draw a catalogue of 64 samples from `truth` signatures."""
    rng = np.random.default_rng((seed, truth, drawn == "poisson"))
    H = signatures[rng.choice(len(signatures), truth, replace=False)]
    mean = rng.exponential(PER_SIGNATURE, (N_SAMPLES, truth)) @ H
    if drawn == "negative_binomial":
        mean = mean * rng.gamma(CONCENTRATION, 1 / CONCENTRATION, mean.shape)
    return rng.poisson(mean).astype(float)


def sweep(signatures: np.ndarray, truth: int, dataset: int, drawn: str, fitted: str) -> Record:
    """Return the rank that each rule chooses for one data set."""
    V = catalogue(signatures, truth, dataset, drawn)
    ranks = list(range(max(1, truth - SPAN), truth + SPAN + 1))
    begin = time.perf_counter()
    selection = bn.select_rank(
        V, ranks, fitted, n_replicates=N_REPLICATES, seed=dataset, progress=False
    )
    seconds = time.perf_counter() - begin
    chosen: dict[str, int | None] = {"bayesnmf": selection.best, **selection.verdicts}
    chosen |= held_out_choices(V, ranks, fitted, selection, dataset)
    if fitted == drawn:
        # With a wrong likelihood the question is whether the message warns of it.
        chosen |= classic_choices(V, ranks, fitted, dataset)
    return {
        "truth": truth,
        "dataset": dataset,
        "drawn": drawn,
        "fitted": fitted,
        "chosen": chosen,
        "p_at_truth": float(selection.table["residual_p"][truth]),
        "warned": "Overdispersed" in selection.message,
        "seconds": round(seconds, 1),
        "elpd_diff": selection.table["elpd_diff"].round(1).to_dict(),
        "dse": selection.table["dse"].round(1).to_dict(),
        "residual_p": selection.table["residual_p"].to_dict(),
    }


def held_out_choices(
    V: np.ndarray, ranks: list[int], fitted: str, selection: bn.RankSelection, seed: int
) -> dict[str, int]:
    """Return the choices of rules that look at the error of one held-out fold.

    That is this package's own density of those cells.
    """
    settings = settings_of(
        V,
        None,
        fitted,
        "map",
        "gamma",
        "gamma",
        "kfold",
        n_folds=5,
        n_replicates=N_REPLICATES,
        seed=seed,
    )
    folds, _ = folds_of(settings)
    assert folds is not None
    held = folds[settings.matrix.observed] == 0
    errors = -selection.elpd_i[:, held].sum(axis=1)
    return {
        "hold-out elbow": peers.elbow(ranks, errors),
        "hold-out minimum": ranks[int(np.argmin(errors))],
    }


def classic_choices(V: np.ndarray, ranks: list[int], fitted: str, seed: int) -> dict[str, int]:
    """Return the choices of rules that look at maximum likelihood fits, as other packages do."""
    likelihoods, agreement, silhouettes = [], [], []
    rng = np.random.default_rng(seed)
    for rank in ranks:
        fits = [_most_likely(V, rank, fitted, start) for start in range(N_RESTARTS)]
        likelihoods.append(max(_log_likelihood(V, fit) for fit in fits))
        # W carries the mass: otherwise the largest component of a row would depend on the scale.
        agreement.append(peers.cophenetic([fit.W.to_numpy() for fit in fits]))
        # SigProfiler draws the counts anew for every restart.
        again = [
            _most_likely(rng.poisson(V).astype(float), rank, fitted, start)
            for start in range(N_RESTARTS)
        ]
        silhouettes.append(peers.silhouettes(np.stack([fit.H.to_numpy() for fit in again])))
    return {
        "BIC": peers.information(ranks, np.array(likelihoods), V.shape, np.log(V.size)),
        "AIC": peers.information(ranks, np.array(likelihoods), V.shape, 2.0),
        "cophenetic": peers.before_largest_drop(ranks, np.array(agreement)),
        "silhouette": peers.largest_stable(ranks, silhouettes),
    }


def _most_likely(V: np.ndarray, rank: int, likelihood: str, seed: int) -> bn.Fit:
    """Return the maximum likelihood fit from one random start."""
    model = bn.NMF(rank, likelihood, "flat", "flat")
    return bn.fit(V, model, MAP(n_init=1, max_iter=MAX_STEPS), seed=seed, progress=False)


def _log_likelihood(V: np.ndarray, fit: bn.Fit) -> float:
    assert isinstance(fit.model, bn.NMF)
    likelihood = fit.model.likelihood
    parameters = {name: float(fit.tree["posterior"][name].mean()) for name in likelihood.priors}
    mean = np.maximum(fit.mean.to_numpy(), 1e-300)
    return float(np.sum(likelihood.log_density(V, mean, **parameters)))


def report(records: list[Record]) -> None:
    """Print how often each rule was right, by true rank, and how often the rule warned of the noise."""
    if not records:
        return
    right, number = figure.exact(records)
    for drawn, fitted in STUDIES:
        if (drawn, fitted) in right.index.droplevel(2):
            print(f"\n{drawn} data, {fitted} fit: exactly right, by true rank")
            of = number.loc[drawn, fitted].T
            of = of[of.any(axis="columns")]
            exact = right.loc[drawn, fitted].T.loc[of.index]
            print((exact.astype(str) + "/" + of.astype(str)).to_string())
            own = [r for r in records if (r["drawn"], r["fitted"]) == (drawn, fitted)]
            rejected = sum(r["p_at_truth"] <= LEVEL for r in own)
            print(
                f"of {len(own)}: rejected at the true rank {rejected}, overdispersion warned of "
                f"{sum(r['warned'] for r in own)}"
            )


def _key(record: Record) -> tuple[object, ...]:
    return tuple(record[name] for name in ("truth", "dataset", "drawn", "fitted"))
