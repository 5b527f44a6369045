"""The command line: one verb for each thing that the library does with a file."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.main import get_command

from bayesnmf import (
    checks,
    cli_data,
    cli_demo,
    cli_rank,
    cli_report,
    comparison,
    endings,
    files,
    fitting,
    multimodality,
    plots,
    posterior,
    startup,
)
from bayesnmf.cli_data import listed
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.likelihoods import as_likelihood
from bayesnmf.methods import MAP, MCMC, METHODS, SVI, as_method
from bayesnmf.model import NMF
from bayesnmf.priors import REGISTRY as PRIORS
from bayesnmf.priors import as_prior
from bayesnmf.targets import IMAGES, RESULTS, require_target, save_or_rescue, write_figure

#: What the shell sees: `fit` or `check` found no convergence; an error; Ctrl-C.
NOT_CONVERGED, ERROR, INTERRUPTED = 1, 2, startup.INTERRUPTED
#: What bad input raises. Anything else is a fault of the package and keeps its traceback.
EXPECTED = (ValueError, TypeError, OSError, MemoryError, ImportError)
#: Seconds that compiled code has to come to an end after Ctrl-C.
GRACE = 5.0
#: Signals that end a run with what it has: from the keyboard, and from a batch system.
STOPPING = (signal.SIGINT, signal.SIGTERM)
CRITERIA = get_args(comparison.Criterion.__value__)
PLOTS = {"components": plots.components, "reconstruction": plots.reconstruction}

# Typer carries a Click of its own since 0.26, so its class of usage errors is taken from here.
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
    with _warnings_in_one_line(), _prompt_interrupt():
        try:
            status = get_command(app).main(arguments, prog_name="bayesnmf", standalone_mode=False)
        except UsageError as error:
            return _complain(_usage(error))
        except EXPECTED as error:
            return _complain(_sentence(error))
        except (KeyboardInterrupt, typer.Abort):
            status = INTERRUPTED
        if status == INTERRUPTED:
            _complain("interrupted")
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


@app.command(
    epilog="\b\nExamples:\n"
    "  bayesnmf fit counts.csv --rank 5 --out fit.nc\n"
    "  bayesnmf fit counts.csv --rank 5 --method map --starts 10 --out mode.nc\n"
    "  bayesnmf fit spectra.npy --rank 3 --likelihood gaussian --method svi --out fit.nc"
)
def fit(
    data: cli_data.Data,
    rank: Annotated[int, typer.Option(min=1, help="Number of components.")],
    out: Annotated[Path, typer.Option(help="Result to write: .nc or .zarr.")],
    likelihood: Annotated[str, typer.Option(help=f"{listed(LIKELIHOODS)}.")] = "poisson",
    method: Annotated[str, typer.Option(help=f"{listed(METHODS)}.")] = "mcmc",
    prior_w: Annotated[str, typer.Option(help=f"{listed(PRIORS)}.")] = "gamma",
    prior_h: Annotated[str, typer.Option(help="As --prior-w.")] = "gamma",
    sigma: cli_data.Sigma = None,
    exposure: cli_data.Exposure = None,
    names: cli_data.Names = None,
    header: cli_data.Header = None,
    read_budget: cli_data.ReadBudget = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    warmup: Annotated[
        int | None, typer.Option(min=0, help="mcmc: steps of each chain that are dropped.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="mcmc: draws of each chain; svi: draws in all.")
    ] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="mcmc: independent chains.")] = None,
    kernel: Annotated[str | None, typer.Option(help=f"mcmc: {listed(MCMC._kernels)}.")] = None,
    algorithm: Annotated[str | None, typer.Option(help=f"svi: {listed(SVI._algorithms)}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="svi: gradient steps at most.")] = None,
    solver: Annotated[
        str | None, typer.Option(help=f"map: {listed(MAP._options['solver'])}.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="map: random or nndsvd.")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="map: random starts.")] = None,
    max_iter: Annotated[int | None, typer.Option(min=1, help="map: iterations at most.")] = None,
    tol: Annotated[float | None, typer.Option(min=0, help="map, svi: when to stop.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Fit a factorisation to a data file, and save its posterior.

    Options whose help begins with the name of a method belong to that method.

    Exit status 0 when the fit has converged, 1 when it has not, 2 after an error, and 130 when it
    was interrupted. With 1 the result is saved, and with 130 where there is one.
    """
    require_target(out, RESULTS)
    options = {
        "--warmup": ("num_warmup", warmup), "--samples": ("num_samples", samples),
        "--chains": ("num_chains", chains), "--kernel": ("kernel", kernel),
        "--algorithm": ("algorithm", algorithm), "--steps": ("num_steps", steps),
        "--solver": ("solver", solver), "--init": ("init", init), "--starts": ("n_init", starts),
        "--max-iter": ("max_iter", max_iter), "--tol": ("tol", tol),
    }  # fmt: skip
    record = _method(method, {flag: pair for flag, pair in options.items() if pair[1] is not None})
    priors = as_prior(prior_w, "--prior-w"), as_prior(prior_h, "--prior-h")
    as_likelihood(likelihood)  # refuses an unknown name before files are read
    layout = cli_data.Layout(names, header, read_budget)
    known = layout.read_known(sigma, exposure)
    model = NMF(rank, cli_data.likelihoods_of(likelihood, known)[likelihood], *priors)
    table = layout.read(data)
    V = fitting.matrix_for(table, model, record)
    missing = V.n_rows * V.n_columns - V.n_observed
    say = (lambda text: None) if quiet else typer.echo
    say(f"{data}: {V.n_rows} rows x {V.n_columns} columns, missing cells: {missing}")
    say(f"{files.describe(table)}\n")
    progress = sys.stderr.isatty() and not quiet
    result = fitting.fit_silently(V, model, record, seed=seed, progress=progress)
    endings.warn_of_empty(result)
    save_or_rescue(result, out)
    say(f"{_tables(result)}\n\n{result.message}\nSaved to {out}")
    if result.interrupted or not result.converged:
        raise typer.Exit(INTERRUPTED if result.interrupted else NOT_CONVERGED)


@app.command(
    epilog="\b\nExample:\n"
    "  bayesnmf compare counts.csv --rank 4 --likelihoods poisson,negative_binomial,gaussian"
)
def compare(
    data: cli_data.Data,
    rank: Annotated[int, typer.Option(min=1, help="Number of components.")],
    likelihoods: Annotated[
        str, typer.Option(help=f"Names, separated by commas: {', '.join(LIKELIHOODS)}.")
    ] = "poisson,negative_binomial",
    method: Annotated[str, typer.Option(help="mcmc or svi.")] = "mcmc",
    ic: Annotated[str, typer.Option(help=f"{listed(CRITERIA)}.")] = "loo",
    escalate: Annotated[
        bool, typer.Option(help="Replace bad estimates by dearer ones, refits at last.")
    ] = True,
    sigma: cli_data.Sigma = None,
    exposure: cli_data.Exposure = None,
    names: cli_data.Names = None,
    header: cli_data.Header = None,
    read_budget: cli_data.ReadBudget = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Plot to write: .png, .pdf or .svg.")] = None,
) -> None:
    """Compare likelihoods by the density that they give to cells left out."""
    if out is not None:
        require_target(out, IMAGES)
    if ic not in CRITERIA:  # found now, rather than after the fits
        raise ValueError(f"unknown --ic {ic!r}; valid: {', '.join(CRITERIA)}")
    record, progress = as_method(method), sys.stderr.isatty()
    for name in likelihoods.split(","):
        as_likelihood(name)  # refuses an unknown name before files are read
    layout = cli_data.Layout(names, header, read_budget)
    known = layout.read_known(sigma, exposure)
    chosen = cli_data.likelihoods_of(likelihoods, known)
    models = {name: NMF(rank, likelihood) for name, likelihood in chosen.items()}
    V = layout.read(data)
    matrices = {name: fitting.matrix_for(V, model, record) for name, model in models.items()}
    for name, model in models.items():
        model.check(matrices[name], draws=True)  # before minutes are spent on the others
    typer.echo(f"{data}: {files.describe(V)}\n")
    fits = {
        name: posterior.require_whole(
            fitting.fit_silently(matrices[name], model, record, seed=seed, progress=progress)
        )
        for name, model in models.items()
    }
    for name, result in fits.items():
        if not result.converged:
            warnings.warn(f"{name}: {result.message}", endings.ConvergenceWarning, stacklevel=1)
    table = comparison.compare(fits, ic, escalate=escalate, seed=seed, progress=progress)  # type: ignore[arg-type]
    shown = ["elpd", "elpd_diff", "dse", "p", "weight", "bad_k", "estimator", "note"]
    typer.echo(table[shown].to_string(float_format="{:.4g}".format))
    if out is not None:
        write_figure(plots.compare(table), out)


app.command(epilog=cli_rank.EXAMPLES)(cli_rank.rank)


@app.command(epilog="\b\nExample:\n  bayesnmf check fit.nc && bayesnmf plot fit.nc")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A result of bayesnmf fit.")],
) -> None:
    """Judge whether a fit has converged.

    Exit status 0 when it has, 1 when it has not or that cannot be judged, and 2 after an error.
    """
    verdict = checks.check(posterior.load(file))
    typer.echo(verdict.message if verdict.table.empty else str(verdict))
    if not verdict.converged:
        raise typer.Exit(NOT_CONVERGED)


@app.command(
    epilog="\b\nExamples:\n"
    "  bayesnmf plot fit.nc\n"
    "  bayesnmf plot fit.nc --kind reconstruction --out residuals.pdf"
)
def plot(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A result of bayesnmf fit.")],
    kind: Annotated[str, typer.Option(help=f"{listed(PLOTS)}.")] = "components",
    out: Annotated[
        Path | None,
        typer.Option(help="Image to write: .png, .pdf or .svg.", show_default="FILE-KIND.png"),
    ] = None,
    mode: Annotated[
        int | None, typer.Option(min=0, help="Which mode, if the chains are in several.")
    ] = None,
) -> None:
    """Draw the components of a fit, or its residuals.

    Components are drawn with their 90 % intervals; a reconstruction shows the data, what the fit
    expects of them, and the difference in standard deviations.
    """
    if kind not in PLOTS:
        raise ValueError(f"unknown --kind {kind!r}; valid: {', '.join(PLOTS)}")
    result = posterior.load(file)
    modes = multimodality.modes(result)
    if mode is None and len(modes) > 1:
        raise ValueError(f"the chains are in {modes.message}: choose one with --mode")
    if mode is not None and mode >= len(modes):
        raise ValueError(f"--mode {mode}: the chains are in {modes.message}")
    result = modes[mode or 0]
    out = file.with_name(f"{file.stem}-{kind}.png") if out is None else out
    require_target(out, IMAGES)
    _draw(kind, result, out)
    typer.echo(out)


app.command(epilog=cli_report.EXAMPLES)(cli_report.report)
app.command("demo", epilog=cli_demo.EXAMPLES)(cli_demo.run_demo)


def _draw(kind: str, result: posterior.Fit, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # a window is neither wanted nor, on a server, to be had
    write_figure(PLOTS[kind](result), out)


def _method(name: str, options: dict[str, tuple[str, Any]]) -> Any:
    """Return the method's record, or say which option is another method's."""
    as_method(name)  # refuses an unknown name
    names = {other: {field.name for field in fields(cls)} for other, cls in METHODS.items()}
    for flag, (field, _) in options.items():
        if field not in names[name]:
            owners = " or ".join(other for other in names if field in names[other])
            raise ValueError(f"{flag} belongs to --method {owners}, not to --method {name}")
    return METHODS[name](**dict(options.values()))


def _tables(result: posterior.Fit) -> str:
    """Write the summary of each mode of the chains, of which there is one as a rule."""
    modes = multimodality.modes(result)
    if len(modes) == 1:
        return _table(result)
    return "\n\n".join(f"Mode {m}\n{_table(fit)}" for m, fit in enumerate(modes))


def _table(result: posterior.Fit) -> str:
    """Write the summary as text, without the columns that say nothing of a single draw."""
    summary = result.summary()
    if result.method == "map":
        summary = summary.drop(columns=summary.columns[1:4])
    numbers = summary.columns.difference(["share", "leading columns"])
    text = {name: summary[name].map(plots.format_number) for name in numbers}
    text["share"] = summary["share"].map("{:.1%}".format)
    last = summary["leading columns"]
    width = max(15, last.str.len().max())
    written = summary.assign(**text, **{"leading columns": last.str.ljust(width)})
    written.columns = [*written.columns[:-1], "leading columns".ljust(width)]
    lines = written.rename_axis(None).to_string().splitlines()
    return "\n".join(line.rstrip() for line in lines)


# -- what goes to standard error ---------------------------------------------------------------


def _complain(sentence: str) -> int:
    print(f"bayesnmf: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    return ERROR


def _usage(error: Any) -> str:
    text = error.format_message().rstrip(".")
    where = error.ctx.command_path if error.ctx else "bayesnmf"
    return f"{text[:1].lower()}{text[1:]} (see {where} --help)"


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or ("out of memory" if isinstance(error, MemoryError) else repr(error))


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show each warning that is meant for users as one line on standard error."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=UserWarning)
        warnings.showwarning = show
        yield


@contextmanager
def _prompt_interrupt() -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end a run within moments, with what it has made where it can.

    Python hands them to the main thread, which compiled code keeps until a chunk is done. Its
    wakeup descriptor is written to at once, so a thread that reads it can end the process when
    the main thread has not heard of it in time; once it has, it may take its time to save.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    (reader, writer), heard = os.pipe(), threading.Event()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handlers = {number: signal.getsignal(number) for number in STOPPING}

    def hear(number: int, frame: Any) -> None:
        heard.set()
        signal.default_int_handler(number, frame)

    for number, handler in handlers.items():
        # Whoever has been told to ignore a signal, or has a handler of its own, keeps to that.
        if handler in (signal.default_int_handler, signal.SIG_DFL, startup.leave):
            signal.signal(number, hear)
    watch = threading.Thread(target=_end_when_unheard, args=(reader, heard), daemon=True)
    watch.start()
    before_hook = sys.unraisablehook

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        """Raise an interrupt again that Python dropped in a finaliser or a callback."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = threading.Timer(0.1, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            before_hook(unraisable)

    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = before_hook
        heard.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_when_unheard(reader: int, heard: threading.Event) -> None:
    while received := os.read(reader, 1):
        if received[0] not in STOPPING:
            continue
        if not heard.wait(GRACE):
            if sys.stderr.isatty():
                print(file=sys.stderr)  # below the progress bar
            _complain("interrupted")
            os._exit(INTERRUPTED)
        heard.clear()
    os.close(reader)
