"""Counts shaped like those of single cells, and MCMC of them: how long an exact posterior takes at this size.

4,000 cells x 17,000 genes with 2.7 million stored counts, of six gene programs. The depth of a cell and the level of
a gene are log-normal; a program raises and lowers the genes; a cell uses the programs by a gamma distribution of
shape 0.5. The data are simulated, so the size can be had without a download.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import numpy as np
import scipy.sparse

import bayesnmf as bn
from bayesnmf import convergence

#: Cells, genes, programs and stored counts, about.
N_CELLS, N_GENES, RANK, STORED = 4000, 17_000, 6, 2_700_000
#: Cells of WH whose draws are judged beside the masses.
JUDGED = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--cells", type=int, default=N_CELLS)
    parser.add_argument("--genes", type=int, default=N_GENES)
    parser.add_argument("--stored", type=int, default=STORED)
    parser.add_argument("--min-ess", type=float, default=400.0)
    parser.add_argument("--samples", type=int, default=2000)


def run(arguments: argparse.Namespace) -> None:
    """Print seconds, memory, R-hat and ESS of one run of two chains."""
    warnings.simplefilter("ignore")
    V = simulate(arguments.cells, arguments.genes, stored=arguments.stored)
    print(f"{V.shape[0]} x {V.shape[1]}, {V.nnz} stored cells, rank {RANK}", flush=True)
    method = bn.MCMC(num_chains=2, num_samples=arguments.samples, min_ess=arguments.min_ess)
    began, used = time.perf_counter(), time.process_time()
    fit = bn.fit(V, bn.NMF(RANK, "poisson"), method, seed=0, progress=False)
    took, used = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{took:.0f} s, {used:.0f} s of processor time, peak memory {peak:.1f} GiB")
    W, H = (fit.tree[f"posterior/{name}"].to_numpy() for name in "WH")
    print(f"{W.shape[1]} draws of each chain")
    for name, x in judged(W, H).items():
        found = convergence.convergence(x)
        print(
            f"{name:8s} largest R-hat {np.max(found.rhat):.4f}, least ESS: bulk {np.min(found.ess_bulk):.0f},"
            f" tail {np.min(found.ess_tail):.0f}",
            flush=True,
        )
    print(bn.check(fit))


def simulate(
    n_cells: int = N_CELLS,
    n_genes: int = N_GENES,
    rank: int = RANK,
    stored: int = STORED,
    seed: int = 0,
) -> scipy.sparse.csr_array:
    """Draw counts of about so many stored cells."""
    rng = np.random.default_rng(seed)
    depth = rng.lognormal(0.0, 0.4, size=(n_cells, 1))
    usage = rng.gamma(0.5, size=(n_cells, rank))
    W = depth * usage / usage.sum(axis=1, keepdims=True)
    H = rng.lognormal(0.0, 1.7, size=n_genes) * rng.lognormal(0.0, 1.0, size=(rank, n_genes))
    mean = (W @ H).astype(np.float32)
    mean *= _scale(mean[: max(n_cells // 10, 1)], stored / (n_cells * n_genes))
    return scipy.sparse.csr_array(rng.poisson(mean).astype(np.int32))


def _scale(mean: np.ndarray, share: float) -> float:
    """Return the factor with which this share of Poisson counts is not 0, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        below = float(np.mean(-np.expm1(-mean * np.exp(middle)))) < share
        low, high = (middle, high) if below else (low, middle)
    return float(np.exp(low))


def judged(W: np.ndarray, H: np.ndarray) -> dict[str, np.ndarray]:
    """Return draws of 400 cells of WH and of the masses; H sums to one, so sums of W are masses."""
    rng = np.random.default_rng(1)
    rows, columns = (rng.integers(n, size=JUDGED) for n in (W.shape[2], H.shape[3]))
    cells = np.einsum("cdnk,cdkn->cdn", W[:, :, rows], H[:, :, :, columns])
    return {"WH": cells, "masses": W.sum(axis=2)}
