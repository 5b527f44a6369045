"""MCMC of sparse counts, in passes over the stored cells: the sampler here, and Gibbs by allocation.

A pass is one visit of every stored cell that gives both gradients. Effective draws, of the slowest
component's mass and of 400 cells of WH, are given for a thousand passes, so that samplers compare
whatever the machine.

Gibbs sampling allocates every stored count to the components (Cemgil 2009, doi:10.1155/2009/785152):
``s_ijk ~ Multinomial(v_ij, w_ik h_kj / L_ij)``, then ``w_ik ~ Gamma(a + sum_j s_ijk, b + sum_j h_kj)``, and H
likewise. A sweep is one pass and the draws. The scale of a component enters neither WH nor its mass, so it is not drawn apart.
"""

from __future__ import annotations

import argparse
import time
import warnings

import jax
import jax.numpy as jnp
import numba
import numpy as np
import scipy.sparse

import bayesnmf as bn
from bayesnmf import convergence
from bayesnmf.arrays import floor_of
from bayesnmf.data import SparseMatrix
from bayesnmf.observed import observe
from bayesnmf.observed.sparse_ops import contract_ratio_both

#: Rows, columns, rank and stored cells, about.
PROBLEMS = {"2000x800x5": (2000, 800, 5, 40_000), "5000x2000x5": (5000, 2000, 5, 100_000)}
#: Sweeps of warm-up and draws of both chains of the sampler here; Gibbs makes so many times as many.
NUM_WARMUP, NUM_SAMPLES, NUM_CHAINS, MORE = 200, 200, 2, 10
CELLS = 400
#: Shape of the priors, which are exponential.
SHAPE = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--problem", nargs="*", choices=list(PROBLEMS), default=list(PROBLEMS))


def run(arguments: argparse.Namespace) -> None:
    """Print one table a problem."""
    warnings.simplefilter("ignore")
    for name in arguments.problem:
        V = simulate(*PROBLEMS[name])
        rank = PROBLEMS[name][2]
        with jax.enable_x64(True):
            seconds = _seconds_a_pass(V, rank)
        print(f"\n{name}: {V.nnz} stored cells, {1e3 * seconds:.2f} ms a pass")
        print(
            f"{'sampler':12s}{'seconds':>9s}{'sweeps':>8s}{'passes':>9s}{'WH':>7s}{'mass':>7s}",
            end="",
        )
        print(f"{'WH/1000':>9s}{'mass/1000':>10s}{'R-hat':>7s}")
        for sampler, draw in (("structured", _structured), ("gibbs", _gibbs)):
            began = time.perf_counter()
            W, H, sweeps, spent = draw(V, rank)
            took = time.perf_counter() - began if spent is None else spent
            passes = took / seconds
            ess_WH, ess_mass, rhat = _effective(W, H)
            print(
                f"{sampler:12s}{took:9.1f}{sweeps:8d}{passes:9.0f}{ess_WH:7.0f}{ess_mass:7.0f}"
                f"{1e3 * ess_WH / passes:9.1f}{1e3 * ess_mass / passes:10.1f}{rhat:7.3f}",
                flush=True,
            )


def simulate(n_rows: int, n_columns: int, rank: int, stored: int) -> scipy.sparse.csr_array:
    """Draw counts of about so many stored cells, whose components overlap."""
    rng = np.random.default_rng(0)
    W, H = rng.gamma(0.5, size=(n_rows, rank)), rng.gamma(0.3, size=(rank, n_columns))
    mean = W @ H
    return scipy.sparse.csr_array(rng.poisson(mean * (1.3 * stored / mean.sum())).astype(float))


def _seconds_a_pass(V: scipy.sparse.csr_array, rank: int) -> float:
    """Return the median time of one visit of all stored cells."""
    model = bn.NMF(rank, "poisson", prior_W=bn.priors.Gamma(SHAPE), prior_H=bn.priors.Gamma(SHAPE))
    matrix = SparseMatrix.of(V)
    data = observe(model.resolve(matrix), matrix)
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.gamma(1.0, size=(rank, n))) for n in V.shape)
    visit = jax.jit(lambda x, y: contract_ratio_both(data.rows, x, y, floor_of(x.dtype)))
    jax.block_until_ready(visit(x, y))
    times = []
    for _ in range(51):
        began = time.perf_counter()
        jax.block_until_ready(visit(x, y))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def _structured(V: scipy.sparse.csr_array, rank: int) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Return draws of W and H; the time is that of a second run, whose programs are compiled."""
    model = bn.NMF(rank, "poisson", prior_W=bn.priors.Gamma(SHAPE), prior_H=bn.priors.Gamma(SHAPE))
    method = bn.MCMC(num_warmup=NUM_WARMUP, num_samples=NUM_SAMPLES, num_chains=NUM_CHAINS)
    for _ in range(2):
        began = time.perf_counter()
        fit = bn.fit(V, model, method, seed=0, progress=False)
        took = time.perf_counter() - began
    W, H = (fit.tree[f"posterior/{name}"].to_numpy() for name in "WH")
    return W, H, NUM_CHAINS * (NUM_WARMUP + NUM_SAMPLES), took


def _gibbs(V: scipy.sparse.csr_array, rank: int) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Return draws of W and H, H summing to one; both chains start at a MAP estimate."""
    model = bn.NMF(rank, "poisson", prior_W=bn.priors.Gamma(SHAPE), prior_H=bn.priors.Gamma(SHAPE))
    model = model.resolve(SparseMatrix.of(V))
    rates = float(model.prior_W.rate), float(model.prior_H.rate)
    start = bn.fit(V, model, bn.MAP(space="log"), seed=0, progress=False)
    csr = V.indptr.astype(np.int64), V.indices.astype(np.int64), V.data.astype(np.int64)
    Ws, Hs, spent = [], [], 0.0
    for chain in range(NUM_CHAINS):
        scale = start.tree["sample_stats/scale"].to_numpy()[0, 0]
        W, H = start.W.to_numpy() / scale, (start.H.to_numpy() * scale[:, None]).T.copy()
        if chain == 0:
            _sweeps(csr, W.copy(), H.copy(), SHAPE, rates, 1, 1, 0)  # compiles
        began = time.perf_counter()
        total, thin = MORE * (NUM_WARMUP + NUM_SAMPLES), MORE
        draws_W, draws_H = _sweeps(csr, W, H, SHAPE, rates, total, thin, chain)
        spent += time.perf_counter() - began
        Ws.append(draws_W[NUM_WARMUP:]), Hs.append(draws_H[NUM_WARMUP:])
    W, H = np.array(Ws), np.swapaxes(np.array(Hs), -1, -2)
    total = H.sum(axis=-1)
    sweeps = NUM_CHAINS * MORE * (NUM_WARMUP + NUM_SAMPLES)
    return W * total[:, :, None, :], H / total[..., None], sweeps, spent


@numba.njit(nogil=True)
def _sweeps(csr, W, H, shape, rates, n_sweeps, thin, seed):  # type: ignore[no-untyped-def]
    """Return every `thin`-th W and H, row-major."""
    np.random.seed(seed)  # noqa: NPY002  # Numba's own generator
    starts, indices, values = csr
    n_components = W.shape[1]
    draws_W = np.empty((n_sweeps // thin, *W.shape))
    draws_H = np.empty((n_sweeps // thin, *H.shape))
    share = np.empty(n_components)
    for sweep in range(n_sweeps):
        of_W, of_H = np.zeros_like(W), np.zeros_like(H)
        for i in range(len(W)):
            for j in range(starts[i], starts[i + 1]):
                other, left, total = indices[j], values[j], 0.0
                for k in range(n_components):
                    share[k] = W[i, k] * H[other, k]
                    total += share[k]
                for k in range(n_components - 1):
                    if left == 0:
                        break
                    n = np.random.binomial(left, min(share[k] / total, 1.0)) if total > 0 else 0  # noqa: NPY002
                    of_W[i, k] += n
                    of_H[other, k] += n
                    left, total = left - n, total - share[k]
                of_W[i, -1] += left
                of_H[other, -1] += left
        _draw_given_counts(W, of_W, shape, rates[0] + H.sum(axis=0))
        _draw_given_counts(H, of_H, shape, rates[1] + W.sum(axis=0))
        if (sweep + 1) % thin == 0:
            draws_W[sweep // thin], draws_H[sweep // thin] = W, H
    return draws_W, draws_H


@numba.njit(nogil=True)
def _draw_given_counts(factor, counts, shape, rate):  # type: ignore[no-untyped-def]
    """Draw every entry of a factor given the counts that are allocated to it."""
    for i in range(len(factor)):
        for k in range(factor.shape[1]):
            factor[i, k] = np.random.gamma(shape + counts[i, k], 1.0) / rate[k]  # noqa: NPY002


def _effective(W: np.ndarray, H: np.ndarray) -> tuple[float, float, float]:
    """Return the least bulk ESS over cells of WH and over masses, and the largest R-hat of both.

    H sums to one, so that sums of W are masses.
    """
    rng = np.random.default_rng(1)
    rows, columns = (rng.integers(n, size=CELLS) for n in (W.shape[2], H.shape[3]))
    cells = np.einsum("cdnk,cdkn->cdn", W[:, :, rows], H[:, :, :, columns])
    found = [convergence.convergence(x) for x in (cells, W.sum(axis=2))]
    ess = [float(np.min(x.ess_bulk)) for x in found]
    return ess[0], ess[1], float(max(np.max(x.rhat) for x in found))
