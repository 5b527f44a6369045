"""``python -m tests.fuzz saved|kills|matrices [--n N] [--seed S]``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from time import perf_counter

#: Programs, and how many cases they try unless told otherwise.
PROGRAMMES = {"saved": 500, "kills": 100, "matrices": 500}


def main() -> int:
    """Run a program, print its failures, and return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("programme", choices=PROGRAMMES)
    parser.add_argument("--n", type=int, help="number of cases")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n = PROGRAMMES[options.programme] if options.n is None else options.n
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # helpers beside the tests
    run = importlib.import_module(f"fuzz.{options.programme}").run
    begin = perf_counter()
    failures = run(n, options.seed)
    print(*failures, sep="\n", end="\n" if failures else "")
    print(
        f"{options.programme}: {n} cases, {len(failures)} failures, {perf_counter() - begin:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
