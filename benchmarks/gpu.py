"""A GPU against the processors of its machine: MAP of dense and of sparse counts, and MCMC.

Every measurement is a process of its own, since JAX chooses its platform at the start: sparse data are met by native
code on a processor, and by XLA on an accelerator. A first run compiles; the second one is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

#: Seconds after which a measurement is given up.
LIMIT = 120
PLATFORMS = ("cuda", "cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--alone", action="store_true", help="run one case here, on JAX's platform")


def run(options: argparse.Namespace) -> None:
    if options.alone:
        print(json.dumps(_measured(options.case[0])))
        return
    probe = "import jax; print(jax.devices('cuda')[0].device_kind)"
    found = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    if found.returncode:
        print(
            "This benchmark needs a GPU, and JAX finds none: install jax[cuda13] on a machine with one."
        )
        return
    print(f"{found.stdout.strip()} against {os.cpu_count()} cores; seconds of a second run")
    rows = [_row(case, {name: _child(case, name) for name in PLATFORMS}) for case in options.case]
    print(pd.DataFrame(rows).to_string(index=False))


def _row(case: str, by_platform: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case}
    for name, found in by_platform.items():
        row[f"{name}: first"] = found.get("first", found.get("error", ""))
        row[f"{name}: second"] = found.get("second", "")
    seconds = [found.get("second") for found in by_platform.values()]
    row["ratio"] = round(seconds[1] / seconds[0], 1) if all(seconds) else ""
    return row


def _child(case: str, platform: str) -> dict[str, Any]:
    """Measure one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "gpu", "--alone", "--case", case]
    environment = os.environ | {"JAX_PLATFORMS": "cuda,cpu" if platform == "cuda" else platform}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"> {LIMIT}"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        print(done.stderr.strip()[-2000:], file=sys.stderr)
        return {"error": "failed"}
    print(case, platform, lines[-1], flush=True)
    return json.loads(lines[-1])


def _measured(case: str) -> dict[str, Any]:
    """Return the seconds of a first and of a second run, and where they ended."""
    import bayesnmf as bn

    V, model, method = CASES[case]()
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("first", "second"):
            begin = perf_counter()
            fit = bn.fit(V, model, method, progress=False)
            found[name] = round(perf_counter() - begin, 2)
    if fit.method == "map":
        found["objective"] = float(fit.tree.attrs["objective"])
    return found


def _dense() -> tuple[Any, Any, Any]:
    """20,000 × 5,000 counts, rank 20: five steps of the default search from one start."""
    import bayesnmf as bn

    rng = np.random.default_rng(0)
    W, H = (rng.gamma(0.5, 1.0, shape).astype(np.float32) for shape in ((20_000, 20), (20, 5_000)))
    V = rng.poisson(W @ H).astype(np.float32)
    return V, bn.NMF(20), bn.MAP(n_init=1, init="random", max_iter=40)


def _sparse() -> tuple[Any, Any, Any]:
    """5,000 × 40,000 with 33 million stored counts, rank 20: 20 steps."""
    import bayesnmf as bn

    rng = np.random.default_rng(0)
    stored, n_columns = 6_600, 40_000
    columns = [np.unique(rng.integers(0, n_columns, stored + 620)) for _ in range(5_000)]
    starts = np.concatenate([[0], np.cumsum([len(x) for x in columns])])
    values = (1 + rng.poisson(1.0, starts[-1])).astype(np.float32)
    shape = (5_000, n_columns)
    V = scipy.sparse.csr_array((values, np.concatenate(columns), starts), shape=shape)
    return V, bn.NMF(20), bn.MAP(n_init=1, init="random", max_iter=50)


def _chains(number: int) -> tuple[Any, Any, Any]:
    """500 × 200 counts, rank 8: 50 warm-up steps and 50 draws a chain."""
    import bayesnmf as bn

    V, _, _ = bn.datasets.make_nmf(500, 200, 8, "poisson", seed=0)
    return V, bn.NMF(8), bn.MCMC(num_warmup=50, num_samples=50, num_chains=number)


CASES = {
    "MAP dense": _dense,
    "MAP sparse": _sparse,
    "MCMC 4 chains": lambda: _chains(4),
    "MCMC 64 chains": lambda: _chains(64),
}
