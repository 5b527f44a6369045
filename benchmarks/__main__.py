"""Run one benchmark: ``python -m benchmarks NAME [--problem NAME] [--repeats N]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import (
    agreement,
    alarms,
    calibration,
    cold,
    comparison,
    gpu,
    mcmc,
    new_rows,
    passes,
    rank,
    refit,
    single_cell,
    sparse,
    vi,
)
from benchmarks import map as dense


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the median counts")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    command = commands.add_parser("map", help="the MAP estimate of dense matrices")
    command.add_argument("--problem", nargs="*", choices=list(dense.PROBLEMS))
    command.add_argument("--plot", help="write objective against time to this image")
    command = commands.add_parser("sparse", help="the MAP estimate of sparse counts")
    command.add_argument("--problem", nargs="*", choices=list(sparse.PROBLEMS))
    commands.add_parser("agreement", help="whether fast and slow solvers find the same optimum")
    command = commands.add_parser("mcmc", help="draws, against a hand-written NUTS")
    command.add_argument("--problem", nargs="*", choices=list(mcmc.PROBLEMS))
    command.add_argument("--sampler", nargs="*", choices=list(mcmc.SAMPLERS))
    command.add_argument("--warm", action="store_true", help="time a second run, of draws alone")
    passes.add_arguments(
        commands.add_parser("passes", help="draws of sparse counts, in passes over the data")
    )
    command = commands.add_parser("calibration", help="whether posteriors are right")
    command.add_argument("--likelihood", nargs="*", choices=calibration.LIKELIHOODS)
    command.add_argument("--part", nargs="*", choices=calibration.PARTS)
    command.add_argument("--size", type=int, default=1000, help="small data sets")
    command.add_argument("--fits", type=int, default=20, help="larger data sets")
    command.add_argument("--folder", default="calibration", help="where ranks and plot go")
    command = commands.add_parser("rank", help="how often the rank is found")
    command.add_argument("--truth", nargs="*", type=int, default=list(rank.TRUTHS))
    command.add_argument("--datasets", nargs="*", type=int, default=list(range(10)))
    noises = ["poisson", "negative_binomial"]
    command.add_argument("--noise", nargs="*", choices=noises, default=noises)
    command.add_argument("--out", type=Path, default=Path("rank.jsonl"), help="file to append to")
    command.add_argument("--plot", help="write the rates to this image")
    command = commands.add_parser("alarms", help="how often the residual check is wrong")
    command.add_argument("--likelihood", nargs="*", default=list(alarms.LIKELIHOODS))
    command.add_argument("--datasets", nargs="*", type=int, default=list(range(200)))
    command.add_argument("--out", type=Path, default=Path("alarms.jsonl"), help="to append to")
    command = commands.add_parser("comparison", help="how often the right likelihood is preferred")
    families = list(comparison.SETTINGS)
    command.add_argument("--family", nargs="*", choices=families, default=families)
    command.add_argument("--datasets", nargs="*", type=int, default=list(range(20)))
    command.add_argument("--escalated", type=int, default=2, help="data sets to escalate")
    command.add_argument("--folded", type=int, default=1, help="data sets to cross-validate")
    command.add_argument("--out", type=Path, default=Path("comparison.jsonl"), help="to append to")
    refit.add_arguments(commands.add_parser("refit", help="exposures to known signatures"))
    new_rows.add_arguments(commands.add_parser("new_rows", help="intervals of rows not seen"))
    cold.add_arguments(commands.add_parser("cold", help="a new process, stage by stage"))
    single_cell.add_arguments(
        commands.add_parser("single_cell", help="MCMC of 2.7 million stored counts, about an hour")
    )
    vi.add_arguments(commands.add_parser("vi", help="variational inference of counts"))
    gpu.add_arguments(commands.add_parser("gpu", help="a GPU against the processors beside it"))
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    match arguments.benchmark:
        case "map":
            names = arguments.problem or list(dense.PROBLEMS)
            dense.run(names, arguments.repeats, arguments.plot)
        case "sparse":
            sparse.run(arguments.problem or list(sparse.PROBLEMS), arguments.repeats)
        case "agreement":
            agreement.run()
        case "mcmc":
            samplers = arguments.sampler or list(mcmc.SAMPLERS)
            problems = arguments.problem or list(mcmc.PROBLEMS)
            mcmc.run(problems, samplers, arguments.repeats, arguments.warm)
        case "calibration":
            calibration.run(
                arguments.likelihood or calibration.LIKELIHOODS,
                arguments.part or calibration.PARTS,
                arguments.size,
                arguments.fits,
                arguments.folder,
            )
        case "rank":
            rank.run(
                arguments.truth, arguments.datasets, arguments.noise, arguments.out, arguments.plot
            )
        case "cold":
            cold.run(arguments, arguments.repeats)
        case "gpu" | "new_rows" | "passes" | "refit" | "single_cell" | "vi" as name:
            modules = (gpu, new_rows, passes, refit, single_cell, vi)
            next(x for x in modules if x.__name__.endswith(f".{name}")).run(arguments)
        case "alarms":
            alarms.run(arguments.likelihood, arguments.datasets, arguments.out)
        case "comparison":
            comparison.run(
                arguments.family,
                arguments.datasets,
                arguments.escalated,
                arguments.folded,
                arguments.out,
            )


if __name__ == "__main__":
    main()
