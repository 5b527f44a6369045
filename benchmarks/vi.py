"""Variational inference of counts: Newton steps against plain coordinate ascent, and against hpfrec.

The first part takes plain steps and the package's own from one start, and prints how long each takes to come within a
share of the best bound. The second, where ``hpfrec`` is installed, prints how long both take to the same
training log likelihood, that of Poisson counts at the factors' means.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.methods.optimise import acceleration
from bayesnmf.methods.optimise.initial import random_start
from bayesnmf.methods.variational import coordinate_ascent as ascent
from bayesnmf.methods.variational.gamma_factors import means_of
from bayesnmf.observed import dense_cells_of, observe
from benchmarks import single_cell

#: Gaps to the best bound, as shares of it.
GAPS = (1e-4, 1e-5, 1e-6, 1e-7)
PARTS = ("ascent", "hpfrec")
#: Shape of the entries' priors in hpfrec, which both get.
HPF_SHAPE = 0.3
#: Steps of hpfrec, each a run of its own.
HPF_STEPS = (10, 20, 50, 100, 200, 400)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))


def run(arguments: argparse.Namespace) -> None:
    """Print what is asked for."""
    warnings.simplefilter("ignore")
    with jax.enable_x64(True):
        if "ascent" in arguments.part:
            for name, (V, rank) in problems().items():
                compare_steps(name, V, rank)
        if "hpfrec" in arguments.part:
            if find_spec("hpfrec") is None:
                print("hpfrec is not installed: pip install hpfrec")
            else:
                compare_with_hpfrec()


def problems() -> dict[str, tuple[Any, int]]:
    """Return counts and the rank to fit, by name."""
    rng = np.random.default_rng(0)

    def counts(n_rows: int, n_columns: int, rank: int, scale: float) -> np.ndarray:
        W, H = rng.gamma(0.5, size=(n_rows, rank)), rng.gamma(0.5, size=(rank, n_columns))
        return rng.poisson(scale * W @ H).astype(float)

    return {
        "breast21, rank 4": (bn.datasets.breast21().to_numpy(float), 4),
        "100 x 96, rank 5": (counts(100, 96, 5, 4.0), 5),
        "2000 x 1000, rank 20": (counts(2000, 1000, 20, 1.0), 20),
    }


def compare_steps(name: str, V: Any, rank: int) -> None:
    """Print seconds to each gap of both kinds of steps."""
    setting = _setting(V, rank)
    curves = {}
    for kind, steps in (("plain", _plain), ("newton", _own)):
        for _ in range(2):  # the first compiles
            curves[kind] = list(steps(*setting))
    best = max(bound for curve in curves.values() for _, bound, _ in curve)
    print(f"\n{name}: seconds to a gap of the bound\n{'':10s}", end="")
    print("".join(f"{gap:>10.0e}" for gap in GAPS), flush=True)
    for kind, curve in curves.items():
        times = [
            next((t for t, bound, _ in curve if best - bound <= gap * abs(best)), np.nan)
            for gap in GAPS
        ]
        print(f"{kind:10s}" + "".join(f"{t:10.3f}" for t in times), flush=True)


def _setting(V: Any, rank: int, shape: float = 1.0) -> tuple[Any, Any, Any]:
    sparse = scipy.sparse.issparse(V)
    matrix = SparseMatrix.of(V) if sparse else Matrix.of(V)
    priors = bn.priors.Gamma(shape), bn.priors.Gamma(shape)
    model = bn.NMF(rank, "poisson", *priors).resolve(matrix)
    data = observe(model, matrix) if sparse else dense_cells_of(model, matrix)
    W, H = random_start(model, matrix, np.random.default_rng(0))
    return model, data, ascent.first(model, data, jnp.asarray(W.T), jnp.asarray(H))


type Curve = Iterator[tuple[float, float, Any]]


def _plain(model: Any, data: Any, point: Any, most: int = 4000) -> Curve:
    """Yield seconds, bound and point of plain coordinate ascent, whose bound is looked at every step."""
    step, spent, done = jax.jit(ascent._map), 0.0, 0
    last = -np.inf
    while done < most:
        began = time.perf_counter()
        for _ in range(10):
            point, bound = step(model, data, point)
        bound = float(bound)
        spent, done = spent + time.perf_counter() - began, done + 10
        yield spent, bound, point
        if bound - last < 1e-10 * abs(bound):
            return
        last = bound


def _own(model: Any, data: Any, point: Any) -> Curve:
    """Yield the same of accelerated steps and Newton steps, as :func:`coordinate_ascent.ascend` takes them."""
    begin = jax.tree.map(jnp.copy, point)
    infinite = jnp.asarray(np.inf, point.W.dtype)
    state = acceleration.first_state(begin, infinite, ascent.MEMORY)
    n_cells, spent, n, bound, gain = float(data.n_cells), 0.0, 0, -np.inf, np.inf
    while n < ascent.PATIENCE and gain > ascent.NEAR * n_cells:
        began, n = time.perf_counter(), n + ascent.CHUNK
        state = ascent.accelerated(model, data, state, np.asarray(n))
        gain, bound = -float(state.objective) - bound, -float(state.objective)
        spent += time.perf_counter() - began
        yield spent, bound, jax.tree.map(jnp.copy, state.accepted)
    at, gain = ascent.start_at(state.accepted), np.inf
    while gain > 1e-7 * n_cells:
        began, before = time.perf_counter(), float(at.bound)
        at = ascent.newton_step(model, data, at)
        gain = float(at.bound) - before
        spent += time.perf_counter() - began
        yield spent, float(at.bound), at.point


def compare_with_hpfrec() -> None:
    """Print training log likelihoods and seconds of both."""
    import pandas as pd
    from hpfrec import HPF

    V = single_cell.simulate()
    cells = V.tocoo()
    table = pd.DataFrame(
        {"UserId": cells.coords[0], "ItemId": cells.coords[1], "Count": cells.data.astype(float)}
    )
    print(f"\n{V.shape[0]} x {V.shape[1]}, {V.nnz} stored, rank {single_cell.RANK}", flush=True)
    for steps in HPF_STEPS:
        began = time.perf_counter()
        peer = HPF(
            k=single_cell.RANK,
            maxiter=steps,
            stop_crit="maxiter",
            reindex=False,
            ncores=2,
            random_seed=0,
            verbose=False,
            keep_all_objs=False,
        )
        peer.fit(table)
        took = time.perf_counter() - began
        likelihood = log_likelihood(
            V, np.asarray(peer.Theta, float), np.asarray(peer.Beta, float).T
        )
        print(f"hpfrec, {steps:4d} steps {took:8.2f} s  {likelihood:15.1f}", flush=True)
    setting = _setting(V.astype(float), single_cell.RANK, HPF_SHAPE)
    list(_own(*setting))  # compiles
    for spent, _, point in _own(*setting):
        means = means_of(setting[0], point)
        likelihood = log_likelihood(V, np.asarray(means.W).T, np.asarray(means.H))
        print(f"bayesnmf {spent:19.2f} s  {likelihood:15.1f}", flush=True)


def log_likelihood(V: scipy.sparse.csr_array, W: np.ndarray, H: np.ndarray) -> float:
    """Return ``sum v log L - L`` of all cells."""
    cells = V.tocoo()
    mean = np.einsum("nk,kn->n", W[cells.coords[0]], H[:, cells.coords[1]])
    return float(np.sum(cells.data * np.log(mean)) - W.sum(axis=0) @ H.sum(axis=1))
