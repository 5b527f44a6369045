"""Kill processes while they save: afterwards there is always the old result or the new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import bayesnmf as bn
from fuzz import results
from fuzz.worker import TESTS

#: A child is killed within this many times the duration of its first save.
SAVES = 2.5


def run(n: int, seed: int) -> list[str]:
    """Kill `n` processes that save at random moments, and return a line for each lost result."""
    failures = []
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        fits = [results.fit(1), results.fit(2)]
        for number, fit in enumerate(fits):
            fit.save(Path(folder, f"source{number}.nc"))
        paths = [Path(folder, f"target{ending}") for ending in results.FORMATS]
        for path in paths:
            fits[0].save(path)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",  # threads do not survive a fork
        }
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "fuzz.kills", folder],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as parent:
            for case in range(n):
                path = paths[case % len(paths)]
                _kill_one(parent, path, rng.uniform(0, SAVES))
                try:
                    loaded = bn.load(path)
                except Exception as error:
                    failures.append(f"case {case} of seed {seed}, {path.name}: {error}")
                    fits[0].save(path)
                    continue
                if not any(results.same(loaded, fit) for fit in fits):
                    failures.append(f"case {case} of seed {seed}, {path.name}: other numbers")
            parent.stdin.close()  # type: ignore[union-attr]
    return failures


def _kill_one(parent: subprocess.Popen[str], path: Path, moment: float) -> None:
    """Let a child save again and again, kill it at some moment, and wait for its end."""
    print(path, file=parent.stdin, flush=True)
    child, seconds = parent.stdout.readline().split()  # type: ignore[union-attr]
    time.sleep(moment * float(seconds))

    os.kill(int(child), signal.SIGKILL)
    assert parent.stdout.readline() == "gone\n"  # type: ignore[union-attr]


# -- in the child -----------------------------------------------------------------------------------


def _save_for_ever(fits: list[bn.Fit], path: str) -> None:
    """Say how long the first save took, then save one result and the other in turn."""
    begin = time.perf_counter()
    fits[0].save(path)
    print(os.getpid(), time.perf_counter() - begin, flush=True)
    while True:
        for fit in reversed(fits):
            fit.save(path)


def main() -> None:
    """Fork a process for each path on standard input, which saves there until it is killed.

    Nothing here has started a thread, of JAX or of Zarr, so it can be forked.
    """
    import zarr  # noqa: F401  # once, and not in every fork

    fits = [bn.load(Path(sys.argv[1], f"source{number}.nc")) for number in range(2)]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _save_for_ever(fits, line.rstrip("\n"))
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
