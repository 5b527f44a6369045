"""MAP on sparse counts against scikit-learn: seconds to its objective, per update, and memory.

The matrices are drawn component by component, so that no dense array is ever formed. The target
is the divergence that scikit-learn's multiplicative updates have after 100 iterations from the
same start. Memory is what the process holds at its peak beyond what it held before the fit, with
the data themselves and all code loaded.
"""

from __future__ import annotations

import threading
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from sklearn.decomposition import NMF as SklearnNMF

import bayesnmf as bn
from bayesnmf.data import SparseMatrix
from bayesnmf.methods.optimise import acceleration, descent, multiplicative
from bayesnmf.methods.optimise.accelerated_search import WARM_UP
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.observed import observe

#: Rows, columns, components, counts in all, and gamma shapes of the entries of W and H.
PROBLEMS = {
    "20000x5000x20": (20_000, 5_000, 20, 1_750_000, 0.3, 0.1),
    "4000x17000x6": (4_000, 17_000, 6, 2_900_000, 1.0, 0.1),
}
ITERATIONS = 100


def simulate(name: str) -> scipy.sparse.csr_array:
    """Draw Poisson counts: each component's counts fall on its rows and columns independently."""
    n_rows, n_columns, rank, total, shape_W, shape_H = PROBLEMS[name]
    rng = np.random.default_rng(0)
    W = rng.gamma(shape_W, size=(n_rows, rank))
    H = rng.gamma(shape_H, size=(rank, n_columns))
    mass = W.sum(axis=0) * H.sum(axis=1)
    where = []
    for k in range(rank):
        count = rng.poisson(total * mass[k] / mass.sum())
        rows = rng.choice(n_rows, count, p=W[:, k] / W[:, k].sum())
        where.append((rows, rng.choice(n_columns, count, p=H[k] / H[k].sum())))
    rows, columns = (np.concatenate(part) for part in zip(*where, strict=True))
    ones = np.ones(len(rows))
    counts = scipy.sparse.coo_array((ones, (rows, columns)), shape=(n_rows, n_columns)).tocsr()
    counts.indices, counts.indptr = counts.indices.astype(np.int32), counts.indptr.astype(np.int32)
    return counts


def run(names: list[str], repeats: int) -> None:
    """Print one paragraph for each problem."""
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn says that it has not converged, as asked
        for name in names:
            _compare(name, repeats)


def _compare(name: str, repeats: int) -> None:
    V, rank = simulate(name), PROBLEMS[name][2]
    rng = np.random.default_rng(0)
    scale = np.sqrt(V.sum() / V.shape[0] / V.shape[1] / rank)
    W = scale * np.abs(rng.normal(size=(V.shape[0], rank)))
    H = scale * np.abs(rng.normal(size=(rank, V.shape[1])))
    model = bn.NMF(rank, "poisson", "flat", "flat")
    _fit(scipy.sparse.csr_array(V[:500, :500]), model)  # loads and compiles all code
    peak, own = _peak(V, model), V.data.nbytes + V.indices.nbytes + V.indptr.nbytes
    factors = W.nbytes + H.nbytes
    reference, target = _sklearn(V, W, H, rank)
    first = _default(V, model, W, H, target)
    runs = [_default(V, model, W, H, target) for _ in range(repeats)]
    fast, update = (np.median(part) for part in zip(*runs, strict=True))
    print(f"\n{name}: {V.nnz:,} stored counts")
    print(
        f"scikit-learn mu: {reference:.1f} s for {ITERATIONS} iterations, divergence {target:.6g}"
    )
    print(
        f"to that divergence: {fast:.2f} s warm ({reference / fast:.3g} times as fast), "
        f"{first[0]:.2f} s with compilation ({reference / first[0]:.3g} times)"
    )
    print(f"one multiplicative update: {reference / ITERATIONS / update:.3g} times as fast")
    print(
        f"memory at the peak: {(peak - factors) / own:.2g} times the data ({own / 2**20:.0f} MiB), "
        "beyond data and factors"
    )


def _sklearn(
    V: scipy.sparse.csr_array, W: np.ndarray, H: np.ndarray, rank: int
) -> tuple[float, float]:
    reference = SklearnNMF(
        rank, init="custom", solver="mu", beta_loss="kullback-leibler", max_iter=ITERATIONS, tol=0.0
    )
    began = time.perf_counter()
    W = reference.fit_transform(V, W=W.copy(), H=H.copy())
    return time.perf_counter() - began, _divergence(V, W, reference.components_)


def _default(
    V: scipy.sparse.csr_array, model: bn.NMF, W: np.ndarray, H: np.ndarray, target: float
) -> tuple[float, float]:
    """Return seconds to the target, data preparation included, and seconds of one plain update."""
    began = time.perf_counter()
    matrix = SparseMatrix.of(V)
    model = model.resolve(matrix)
    data = observe(model, matrix)
    point = multiplicative.first_point(model, W, H, {})
    before = time.perf_counter()
    point = multiplicative.iterate(model, data, point, num_steps=WARM_UP, log_space=False)
    point.objective.block_until_ready()
    update = (time.perf_counter() - before) / WARM_UP
    state = acceleration.first_state(Factors(point.W.T, point.H, {}), point.objective, memory=3)
    state.n_iter.block_until_ready()
    seconds, value = time.perf_counter() - began, np.inf
    while value > target and int(state.n_iter) < 500:
        began = time.perf_counter()
        limit = jnp.asarray(int(state.n_iter) + 3)
        state = descent.advance(
            model, data, state, limit, jnp.asarray(0.0), algorithm="newton", log_space=False
        )
        state.n_iter.block_until_ready()
        seconds += time.perf_counter() - began
        value = _divergence(V, np.asarray(state.accepted.W).T, np.asarray(state.accepted.H))
    return seconds, update


def _divergence(V: scipy.sparse.csr_array, W: np.ndarray, H: np.ndarray) -> float:
    """Return the Kullback-Leibler divergence, by blocks of rows."""
    total = float(W.sum(axis=0) @ H.sum(axis=1))
    for first in range(0, V.shape[0], 500):
        block = V[first : first + 500].tocoo()
        mean = np.sum(W[first + block.row] * H.T[block.col], axis=1)
        mean = np.maximum(mean, 1e-150)
        total += float(np.sum(block.data * (np.log(block.data / mean) - 1.0)))
    return total


def _fit(V: scipy.sparse.csr_array, model: bn.NMF) -> bn.Fit:
    return bn.fit(V, model, bn.MAP(n_init=1, max_iter=40), progress=False)


def _peak(V: scipy.sparse.csr_array, model: bn.NMF) -> float:
    """Return by how many bytes the resident memory of the process rises during a fit."""
    highest, done = [_resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], _resident())

    before = _resident()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    _fit(V, model)
    done.set()
    thread.join()
    return highest[0] - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096.0
