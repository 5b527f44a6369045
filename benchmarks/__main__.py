"""Run one benchmark: ``python -m benchmarks map [--problem NAME] [--plot FILE]``."""

from __future__ import annotations

import argparse

from benchmarks import map as map_benchmark


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("benchmark", choices=["map"])
    parser.add_argument("--problem", nargs="*", choices=list(map_benchmark.PROBLEMS))
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--plot", help="write objective against time to this image")
    arguments = parser.parse_args()
    names = arguments.problem or list(map_benchmark.PROBLEMS)
    map_benchmark.run(names, arguments.repeats, arguments.plot)


if __name__ == "__main__":
    main()
