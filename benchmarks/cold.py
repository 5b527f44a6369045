"""A new process from its first line to its verdict, stage by stage, with JAX's compilation cache off and on.

Every run is a fresh Python. Stages are those of the progress bar; compilation is what JAX reports of it, in all
threads together, so it overlaps with the stages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from time import perf_counter
from typing import Any

BEGAN = perf_counter()

#: Data, likelihood, rank and method by name.
CASES = {
    "breast21": ("breast21", "poisson", 4, {}),
    "breast21, min_ess=400": ("breast21", "poisson", 4, {"min_ess": 400}),
    "100x96": ((100, 96), "poisson", 5, {}),
    "500x200, min_ess=400": ((500, 200), "poisson", 8, {"min_ess": 400}),
    "breast21, MAP": ("breast21", "poisson", 4, None),
}
#: Kinds of run: without a cache, the first with an empty cache, the second with it, and again in the same process.
KINDS = ("no cache", "fills cache", "from cache", "warm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--alone", nargs=2, help="run a case here, with a cache in a folder or 'none'"
    )


def run(options: argparse.Namespace, repeats: int) -> None:
    import pandas as pd

    for case in options.case:
        runs = [_round(case) for _ in range(repeats)]
        stages = list(
            dict.fromkeys(stage for found in runs for kind in found for stage in found[kind])
        )
        table = {
            kind: {
                stage: pd.Series([found[kind].get(stage, 0.0) for found in runs]).median()
                for stage in stages
            }
            for kind in KINDS
        }
        print(f"\n{case}: seconds, medians of {repeats}")
        print(pd.DataFrame(table).to_string(float_format="{:.2f}".format), flush=True)


def _round(case: str) -> dict[str, dict[str, float]]:
    """Return stages and their seconds of every kind of run."""
    with tempfile.TemporaryDirectory() as folder:
        found = [_child(case, cache) for cache in ("none", folder, folder)]
    cold = [{k: x for k, x in run.items() if not k.startswith("warm ")} for run in found]
    warm = {k.removeprefix("warm "): x for k, x in found[0].items() if k.startswith("warm ")}
    return dict(zip(KINDS, [*cold, warm], strict=True))


def _child(case: str, cache: str) -> dict[str, float]:
    began = perf_counter()
    command = [sys.executable, "-m", "benchmarks.cold", case, cache]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    # Python itself, and what is imported before this file.
    return {"python": perf_counter() - began - found.pop("spent"), **found}


def _measured(case: str, cache: str) -> dict[str, float]:
    """Return the seconds of each stage of a fit and its check, here and now."""
    import jax

    import bayesnmf as bn
    from bayesnmf.progress import Progress

    found = {"import": perf_counter() - BEGAN}
    if cache != "none":
        bn.enable_compilation_cache(cache)
    warnings.simplefilter("ignore")
    source, likelihood, rank, options = CASES[case]
    if source == "breast21":
        V = bn.datasets.breast21()
    else:
        V, _, _ = bn.datasets.make_nmf(*source, rank, likelihood, seed=0)
    seconds: dict[str, float] = {}
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, spent, **_: seconds.update(
            {event: seconds.get(event, 0.0) + spent} if "backend_compile" in event else {}
        )
    )

    class Stages(Progress):
        """Seconds from one stage to the next."""

        def __init__(self) -> None:
            self.found: dict[str, float] = {}
            self.stage("preparation")

        def stage(self, name: str, total: int = 0, done: int = 0) -> None:
            now = perf_counter()
            if self.found:
                self.found[self._name] += now - self._since
            self._name, self._since = name, now
            self.found.setdefault(name, 0.0)

        def advance(self, number: int = 1) -> None:
            """Count nothing."""

        def note(self, text: str) -> None:
            """Show nothing."""

    method = "map" if options is None else bn.MCMC(**options)
    for prefix in ("", "warm "):
        began, stages = perf_counter(), Stages()
        seconds.clear()
        shown: Any = stages  # which `fit` takes, though it promises only to take True and False
        fit = bn.fit(V, bn.NMF(rank, likelihood), method=method, seed=0, progress=shown)
        stages.stage("check")
        bn.check(fit)
        stages.stage("end")
        own = {name: x for name, x in stages.found.items() if name != "end"}
        own["total"] = perf_counter() - (began if prefix else BEGAN)
        own["(compilation)"] = sum(seconds.values())
        found |= {f"{prefix}{name}": x for name, x in own.items()}
    return {**found, "spent": perf_counter() - BEGAN}


if __name__ == "__main__":
    print(json.dumps(_measured(*sys.argv[1:])))
