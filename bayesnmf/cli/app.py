"""The command line: one verb for each thing that the library does with a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.main import get_command

from bayesnmf.cli import check, compare, demo, export, fit, plot, rank, report
from bayesnmf.cli.signals import (
    INTERRUPTED,
    complain,
    sentence,
    stopping_on_signals,
    usage,
    warnings_in_one_line,
)

#: What bad input raises. Anything else is a fault of the package and keeps its traceback.
EXPECTED = (ValueError, TypeError, OSError, MemoryError, ImportError)


# Since 0.26 Typer contains its own Click, so the class of usage errors is taken from Typer.
UsageError: Any = typer.BadParameter.__base__


app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 not converged (fit and check); 2 an error, which is one line on "
    "standard error; 130 interrupted.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name. None: those that the shell gave.

    Returns
    -------
    int
        0; 1 when ``fit`` or ``check`` found no convergence; 2 after an error, which is one line on
        standard error; 130 after Ctrl-C, before which ``fit`` saves the draws that it has.

    Examples
    --------
    >>> main(["fit", "absent.csv", "--rank", "2", "--out", "fit.nc"])
    2
    """
    with warnings_in_one_line():
        try:
            with stopping_on_signals():
                run = get_command(app).main
                status = run(arguments, prog_name="bayesnmf", standalone_mode=False)
        except UsageError as error:
            return complain(usage(error))
        except EXPECTED as error:
            return complain(sentence(error))
        except (KeyboardInterrupt, typer.Abort):
            status = INTERRUPTED
        if status == INTERRUPTED:
            complain("interrupted")
        return status or 0


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Non-negative matrix factorisation as Bayesian inference."""
    if version:
        typer.echo(f"bayesnmf {installed_version('bayesnmf')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


#: Each verb: its function, and the examples below its help.
VERBS: dict[str, tuple[Callable[..., None], str]] = {
    "fit": (fit.run_fit, fit.EXAMPLES),
    "compare": (compare.run_compare, compare.EXAMPLES),
    "rank": (rank.run_rank, rank.EXAMPLES),
    "check": (check.run_check, check.EXAMPLES),
    "plot": (plot.run_plot, plot.EXAMPLES),
    "report": (report.run_report, report.EXAMPLES),
    "export": (export.run_export, export.EXAMPLES),
    "demo": (demo.run_demo, demo.EXAMPLES),
}


for _verb, (_function, _examples) in VERBS.items():
    app.command(_verb, epilog=_examples)(_function)
