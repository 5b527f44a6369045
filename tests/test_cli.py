"""The command line: what it prints, its exit status, and one line for whatever is wrong."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesnmf as bn
from bayesnmf import cli, demo, targets
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.posterior import Fit, assemble

COUNTS = "gene,alpha,beta,gamma,delta\ns1,3,0,5,1\ns2,10,2,8,4\ns3,0,1,,7\ns4,6,3,2,9\ns5,1,1,4,2\n"
PNG = b"\x89PNG\r\n\x1a\n"


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    def error(self) -> str:
        """Return the one line on standard error of a run that was refused."""
        assert self.status == 2
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("bayesnmf: ")
        return lines[0].removeprefix("bayesnmf: ")


def run(*arguments: object) -> Outcome:
    """Run the console script's function in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return path


@pytest.fixture
def mode(counts: Path) -> Path:
    """Return the file of a posterior mode."""
    path = counts.with_name("mode.nc")
    assert run("fit", counts, "--rank", 2, "--method", "map", "--out", path, "--quiet").status == 0
    return path


# -- the path that a user takes ---------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_fit_check_and_plot(counts, ending):
    fit_file = counts.with_name("fit" + ending)
    fitted = run("fit", counts, "--rank", 2, "--method", "map", "--out", fit_file)
    assert (fitted.status, fitted.err) == (0, "")
    assert "5 rows x 4 columns, missing cells: 1" in fitted.out
    assert "alpha 0." in fitted.out
    assert "converged after" in fitted.out
    assert fitted.out.endswith(f"Saved to {fit_file}\n")
    assert "nan" not in fitted.out.casefold()

    checked = run("check", fit_file)
    assert (checked.status, checked.err) == (0, "")
    assert "converged" in checked.out

    plotted = run("plot", fit_file)
    image = counts.with_name("fit-components.png")
    assert plotted == (0, f"{image}\n", "")
    assert image.read_bytes().startswith(PNG)


def test_plot_writes_the_kind_and_the_name_that_are_asked_for(mode):
    image = mode.with_name("fits.pdf")
    assert run("plot", mode, "--kind", "reconstruction", "--out", image) == (0, f"{image}\n", "")
    assert image.read_bytes().startswith(b"%PDF")


@pytest.mark.numpyro_promotion
def test_check_has_exit_status_1_where_it_cannot_judge(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--warmup", 10, "--samples", 10, "--chains", 1, "--seed", 3)
    fitted = run("fit", counts, "--rank", 1, *options, "--out", fit_file)
    assert (fitted.status, fitted.err) == (0, "")
    assert "95%" in fitted.out  # intervals, since there are draws
    result = bn.load(fit_file)
    assert (result.method, result.tree.attrs["seed"]) == ("mcmc", 3)
    assert dict(result.tree["posterior"].sizes)["draw"] == 10
    checked = run("check", fit_file)
    assert (checked.status, checked.err) == (1, "")
    assert checked.out.startswith("Cannot judge convergence")
    assert "log density" in checked.out


@pytest.fixture
def signatures(monkeypatch) -> Fit:
    """Put draws that cost nothing in the place of the demonstration's fit."""
    rng = np.random.default_rng(0)
    matrix = Matrix.of(bn.datasets.breast21())
    W = rng.gamma(1.0, 10.0, (2, 20, 21, 1)) * [8.0, 4.0, 2.0, 1.0]
    sites = {"W": W, "H": rng.dirichlet(np.ones(96), (2, 20, 4))}
    draws = Draws(sites, {"lp": rng.normal(size=(2, 20))}, None, "made up")
    result = assemble(draws, bn.NMF(4).resolve(matrix), matrix, {"method": "mcmc"})
    monkeypatch.setattr(demo, "run", lambda progress: result)
    return result


def test_demo_reports_intervals_convergence_and_plot(signatures, tmp_path):
    image = tmp_path / "signatures.png"
    shown = run("demo", "--out", image)
    assert (shown.status, shown.err) == (0, "")
    assert "21 tumours x 96 channels, 183,916 mutations" in shown.out
    blocks = shown.out.split("\ncomponent ")[1:]
    assert len(blocks) == 4
    for block in blocks:
        assert block.count("share of ") == demo.N_LEADING
        assert block.count(" to ") >= demo.N_LEADING + 2
    assert bn.check(signatures).message in shown.out
    assert f"Plot of the components: {image}\nTime in all: " in shown.out
    assert image.read_bytes().startswith(PNG)


def test_demo_gives_means_and_intervals_of_the_largest_weights(signatures):
    H = signatures.tree["posterior/H"].to_numpy()[:, :, 0].reshape(-1, 96)
    top = H.mean(axis=0).argmax()
    low, high = np.quantile(H[:, top], (0.05, 0.95))
    name = signatures.H["column"].values[top]
    line = next(x for x in demo.report(signatures).splitlines() if "share of" in x)
    assert line.split() == [
        "share",
        "of",
        name,
        f"{H[:, top].mean():.3f}",
        f"{low:.3f}",
        "to",
        f"{high:.3f}",
    ]


def test_quiet_prints_nothing(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--rank", 1, "--method", "map", "--out", fit_file, "--quiet")
    assert run("fit", counts, *options) == (0, "", "")


def test_method_options_reach_the_method(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--method", "map", "--max-iter", 3, "--starts", 2, "--solver", "mu", "--tol", 0)
    priors = ("--prior-w", "exponential", "--prior-h", "flat")
    assert run("fit", counts, "--rank", 2, *options, *priors, "--out", fit_file).status == 0
    result = bn.load(fit_file)
    assert result.tree.attrs["n_iter"] == 3
    assert len(result.tree.attrs["objectives"]) == 2
    assert (result.model.prior_W.name, result.model.prior_H.name) == ("exponential", "flat")


def test_rank_above_both_sides_is_a_warning(counts):
    fitted = run("fit", counts, "--rank", 6, "--method", "map", "--out", counts.with_name("fit.nc"))
    assert fitted.status == 0
    (line,) = fitted.err.splitlines()
    assert line.startswith("bayesnmf: warning: 6 components for a matrix of shape (5, 4)")


def test_map_accepts_fractions_and_says_that_it_is_a_quasi_likelihood(tmp_path):
    data = tmp_path / "fractions.csv"
    data.write_text("a,b,c\n0.5,1,2\n3,4,5\n1,1,2\n")
    fitted = run("fit", data, "--rank", 1, "--method", "map", "--out", tmp_path / "fit.nc")
    assert (fitted.status, fitted.err) == (0, "")
    assert "quasi-likelihood" in fitted.out


# -- bad data ---------------------------------------------------------------------------------

LABELLED = "x,A,B\ns1,{},2\ns2,3,4\n"


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        pytest.param(LABELLED.format(-3), "", ["V[0, 0] = -3", "'s1'", "'A'", "negative"],
                     id="negative"),
        pytest.param(LABELLED.format("inf"), "", ["V[0, 0] = inf", "'s1'", "'A'"], id="infinite"),
        pytest.param("x,A,B\ns1,,NA\ns2,3,4\n", "", ["row 's1'", "no observed cell"], id="row"),
        pytest.param("x,A,B\ns1,,1\ns2,,4\n", "", ["column 'A'", "no observed cell"], id="column"),
        pytest.param(LABELLED.format(1.5), "", ["V[0, 0] = 1.5", "'s1'", "not an integer"],
                     id="fraction-mcmc"),
        pytest.param(LABELLED.format(1.5), "--method svi", ["V[0, 0] = 1.5", "not an integer"],
                     id="fraction-svi"),
        pytest.param("x,A,B\ns1,0,0.2\ns2,0.3,0.4\n", "--likelihood beta",
                     ["V[0, 0] = 0", "'s1'", "between 0 and 1"], id="beta-0"),
        pytest.param("x,A,B\ns1,0.1,0.2\ns2,0.3,1\n", "--likelihood beta",
                     ["V[1, 1] = 1", "'s2'", "'B'"], id="beta-1"),
        pytest.param(LABELLED.format(0), "--likelihood gamma", ["V[0, 0] = 0", "'s1'", "gamma"],
                     id="gamma-0"),
        pytest.param("", "", ["data.csv is empty"], id="empty"),
        pytest.param("\n\n", "", ["data.csv is empty"], id="blank"),
        pytest.param("x,A,B\n", "", ["data.csv", "no line of numbers"], id="header-alone"),
        pytest.param("x,A,B\ns1,1,2\ns2,many,4\n", "", ["data.csv, line 3", "'A'", "'many'"],
                     id="text"),
        pytest.param("x,A,B\ns1,1,2\ns2,3\n", "", ["data.csv, line 3", "2 cell(s)"], id="short"),
        pytest.param('x,A,B\ns1,1,2\ns2,"3,4\n', "", ["data.csv, line 3", "quotes"], id="quote"),
    ],
)  # fmt: skip
def test_bad_data_are_refused_in_one_line(tmp_path, text, options, named):
    data = tmp_path / "data.csv"
    data.write_text(text)
    out = tmp_path / "fit.nc"
    error = run("fit", data, "--rank", 1, *options.split(), "--out", out).error()
    for part in named:
        assert part in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "array", "named"),
    [
        ("V.npy", np.empty((0, 3)), "V is empty: its shape is (0, 3)"),
        ("V.npy", np.array([["a", "b"]]), "V[0, 0] = "),
        ("V.npy", np.ones(3), "V has 1 dimension(s)"),
    ],
)
def test_bad_arrays_are_refused_in_one_line(tmp_path, name, array, named):
    np.save(tmp_path / name, array)
    error = run("fit", tmp_path / name, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert named in error


def test_text_column_of_a_table_is_named(tmp_path):
    path = tmp_path / "V.parquet"
    pd.DataFrame({"A": [1, 2], "B": ["few", "many"]}).to_parquet(path)
    error = run("fit", path, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert "V[0, 1] = 'few'" in error
    assert "column 'B'" in error


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("absent.csv", "there is no file"),
        ("notes.txt", "ending '.txt'"),
        ("V.npy", "or is damaged"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path, name, named):
    if not name.startswith("absent"):
        (tmp_path / name).write_text("These are words.")
    error = run("fit", tmp_path / name, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert named in error
    assert str(tmp_path / name) in error


# -- bad options ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--rank 0", ["--rank", "1"]),
        ("--rank few", ["--rank"]),
        ("--rank 2 --likelihood posson", ["unknown likelihood 'posson'", "poisson", "beta"]),
        ("--rank 2 --method em", ["unknown method 'em'", "map, svi, mcmc"]),
        ("--rank 2 --prior-w cauchy", ["unknown --prior-w 'cauchy'", "gamma, exponential, flat"]),
        ("--rank 2 --prior-h cauchy", ["unknown --prior-h 'cauchy'", "gamma, exponential, flat"]),
        ("--rank 2 --prior-h flat", ["prior_H is flat"]),
        ("--rank 2 --method map --solver simplex", ["unknown solver 'simplex'", "auto, newton"]),
        ("--rank 2 --method map --init zeros", ["unknown init 'zeros'", "random, nndsvd"]),
        ("--rank 2 --method svi --algorithm em", ["unknown algorithm 'em'", "guide"]),
        ("--rank 2 --kernel slice", ["unknown kernel 'slice'", "nuts"]),
        ("--rank 2 --method map --chains 4", ["--chains belongs to --method mcmc"]),
        ("--rank 2 --method map --samples 4", ["--samples belongs to --method svi or mcmc"]),
        ("--rank 2 --solver mu", ["--solver belongs to --method map, not to --method mcmc"]),
        ("--rank 2 --chains 0", ["--chains"]),
        ("--rank 2 --tol -1", ["--tol"]),
        ("--rank 2 --seed one", ["--seed"]),
        ("--rank 2 --ranks 3", ["--ranks"]),
        ("", ["--rank", "bayesnmf fit --help"]),
    ],
)
def test_bad_options_are_refused_in_one_line(counts, options, named):
    error = run("fit", counts, *options.split(), "--out", counts.with_name("fit.nc")).error()
    for part in named:
        assert part in error


@pytest.mark.parametrize(
    ("out", "named"),
    [("fit.pkl", "must end in .nc or .zarr"), ("fit", "must end in .nc or .zarr"),
     ("nowhere/fit.nc", "there is no folder"), ("folder.nc", "that is a folder")],
)  # fmt: skip
def test_fit_looks_at_its_target_before_anything_else(tmp_path, out, named):
    (tmp_path / "folder.nc").mkdir()
    error = run("fit", tmp_path / "absent.csv", "--rank", 2, "--out", tmp_path / out).error()
    assert named in error
    assert out in error


def test_target_that_cannot_be_written_is_refused(counts, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(targets.tempfile, "TemporaryFile", refuse)
    error = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc")).error()
    assert "fit.nc: cannot write there (Permission denied)" in error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["fot"], "'fot'"), (["check"], "FILE"), (["plot", "a.nc", "b.nc"], "b.nc")],
)
def test_usage_errors_are_one_line_that_points_to_the_help(arguments: Sequence[str], named):
    error = run(*arguments).error()
    assert named in error
    assert "--help)" in error


@pytest.mark.parametrize("verb", ["check", "plot"])
@pytest.mark.parametrize("content", ["absent", "words", "netcdf", "folder"])
def test_file_that_is_no_result_is_refused(tmp_path, verb, content):
    path = tmp_path / "other.nc"
    if content == "words":
        path.write_text("These are words.")
    elif content == "netcdf":
        xr.Dataset({"x": ("i", [1.0])}).to_netcdf(path, engine="h5netcdf")
    elif content == "folder":
        path.mkdir()
    error = run(verb, path).error()
    assert str(path) in error
    assert ("no file" if content == "absent" else "is not a bayesnmf result") in error


@pytest.mark.parametrize(
    ("options", "named"),
    [("--kind pie", "unknown --kind 'pie'; valid: components, reconstruction"),
     ("--out mode.jpg", "must end in .png or .pdf or .svg")],
)  # fmt: skip
def test_plot_refuses_what_it_cannot_draw(mode, options, named):
    assert named in run("plot", mode, *options.split()).error()


# -- the program around the verbs ---------------------------------------------------------------


def test_version_and_help():
    assert run("--version") == (0, f"bayesnmf {version('bayesnmf')}\n", "")
    assert run().out == run("--help").out
    for verb in ("fit", "check", "plot", "demo"):
        assert verb in run("--help").out
        assert f"  bayesnmf {verb} " in run(verb, "--help").out  # an example


def test_other_failures_keep_their_traceback(counts, monkeypatch):
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.files, "read", fail)
    with pytest.raises(ZeroDivisionError):
        run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc"))


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [(MemoryError(), "out of memory"), (OSError(28, "No space left", "fit.nc"), "fit.nc: No space"),
     (ImportError("needs zarr:\n pip install zarr"), "needs zarr: pip install zarr")],
)  # fmt: skip
def test_failures_of_the_machine_are_one_line(counts, monkeypatch, failure, sentence):
    def fail(_: object) -> None:
        raise failure

    monkeypatch.setattr(cli.files, "read", fail)
    error = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc")).error()
    assert error.startswith(sentence)


def test_interrupt_is_one_line(counts, monkeypatch):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.files, "read", interrupt)
    outcome = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc"))
    assert outcome == (130, "", "bayesnmf: interrupted\n")


def test_console_script_has_the_exit_status_and_no_traceback(tmp_path):
    script = shutil.which("bayesnmf", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("bayesnmf is not installed beside this Python")
    done = subprocess.run(
        [script, "check", tmp_path / "absent.nc"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"bayesnmf: no file {tmp_path / 'absent.nc'}\n"


NEVER_ENDS = """
import jax, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from bayesnmf import cli, demo, targets
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.posterior import Fit, assemble

def run(progress):
    print("running", flush=True)
    jax.jit(lambda: jax.lax.while_loop(lambda x: x >= 0, lambda x: 0.5 * x, 1.0))().item()

demo.run = run
sys.exit(cli.main(["demo"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_interrupt_ends_compiled_code(tmp_path):
    """Python alone would deliver it when the compiled loop is done, which is never."""
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDS],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        try:
            assert any(line == "running\n" for line in process.stdout)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "bayesnmf: interrupted\n")
