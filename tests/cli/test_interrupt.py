"""Ctrl-C at any moment: one line, status 130 and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import synthetic
from cli.command import run

import bayesnmf as bn
from bayesnmf.cli import startup

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows sends no SIGINT to one process"
)
INTERRUPTED = (130, "bayesnmf: interrupted\n")
#: Says that a module is about to be imported: a moment that does not depend on the machine.
MARK = """
import importlib.abc, signal, sys

# A shell's background jobs, and their children, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Marker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            print("begun", flush=True)

sys.meta_path.insert(0, Marker())
"""


def interrupted(arguments, tmp_path, module, delay=0.0):
    """Start Python, interrupt when it imports a module; return status and standard error."""
    (tmp_path / "sitecustomize.py").write_text(MARK.format(module=module))
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, err


@pytest.mark.parametrize("way", ["module", "script"])
@pytest.mark.parametrize("delay", [0.0, 0.15, 0.5])
def test_start_up_can_be_interrupted(way, delay, tmp_path):
    arguments = ["-m", "bayesnmf"]
    if way == "script":  # as installers write it
        script = tmp_path / "bayesnmf"
        script.write_text("import sys\nfrom bayesnmf.__main__ import main\nsys.exit(main())\n")
        arguments = [str(script)]
    # numpyro is what the package imports first, after its own guard.
    assert interrupted([*arguments, "demo"], tmp_path, "numpyro", delay) == INTERRUPTED


@pytest.mark.parametrize(
    ("verb", "module"),
    [("check", "h5netcdf"), ("report", "matplotlib.figure")],
)
def test_verbs_that_read_a_fit_can_be_interrupted(verb, module, tmp_path):
    """While they import what they need, and while they work."""
    synthetic.assembled(*synthetic.draws()).save(tmp_path / "fit.nc")
    assert interrupted(["-m", "bayesnmf", verb, "fit.nc"], tmp_path, module, 0.1) == INTERRUPTED
    assert {path.suffix for path in tmp_path.iterdir()} <= {".nc", ".py"}


#: Runs the command line, and says when there are draws, or when a search has made steps.
ANNOUNCED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from bayesnmf.cli import app
from bayesnmf.methods.optimise import accelerated_search
from bayesnmf.methods.sampler import chains
draw, advance = chains.draw_chunks, accelerated_search.advance

def drawn(*arguments):
    silent = True
    for chunk in draw(*arguments):
        yield chunk
        if silent and chunk.stats["log_joint"].shape[1]:  # no warm-up, and kept by now
            print("drawn", flush=True)
            silent = False

def advanced(*arguments, **options):
    result = advance(*arguments, **options)
    print("searched", flush=True)
    return result

chains.draw_chunks, accelerated_search.advance = drawn, advanced
sys.exit(app.main(sys.argv[1:]))
"""


def stopped(arguments, counts, begun, number):
    """Send a signal when a line says so; return the outcome and the seconds that it took."""
    with subprocess.Popen(
        [sys.executable, "-c", ANNOUNCED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=counts.parent,
    ) as process:
        try:
            assert any(line == f"{begun}\n" for line in process.stdout)
            process.send_signal(number)
            begin = time.perf_counter()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, err, time.perf_counter() - begin


def test_interrupted_sampling_saves_its_draws(counts):
    options = ("--chains", 1, "--warmup", 25, "--samples", 10**7, "--out", "fit.nc")
    status, out, err, _ = stopped(
        ("fit", counts, "--rank", 1, *options), counts, "drawn", signal.SIGINT
    )
    assert (status, err.splitlines()[-1]) == (130, "bayesnmf: interrupted")
    assert "Saved to fit.nc" in out
    result = bn.load(counts.with_name("fit.nc"))
    assert result.interrupted
    assert 0 < result.tree["posterior"].sizes["draw"] < 10**7


def test_an_interrupted_search_ends_soon(counts):
    """Of MAP there is nothing to save."""
    options = ("--method", "map", "--starts", 100, "--tol", 0, "--max-iter", 10**8)
    arguments = ("fit", counts, "--rank", 2, *options, "--out", "fit.nc", "--quiet")
    status, _, err, seconds = stopped(arguments, counts, "searched", signal.SIGTERM)
    assert (status, err) == INTERRUPTED
    assert not counts.with_name("fit.nc").exists()
    assert seconds < 20  # a few, on a machine with nothing else to do


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "bayesnmf", "--version"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (run("--version").out, "")


@pytest.mark.parametrize(
    ("arguments", "original", "expected"),
    [
        (["/usr/bin/bayesnmf", "fit"], ["python", "/usr/bin/bayesnmf", "fit"], True),
        (["C:\\bin\\bayesnmf.exe"], ["C:\\bin\\bayesnmf.exe"], sys.platform == "win32"),
        (["-m", "demo"], ["python", "-m", "bayesnmf", "demo"], True),
        (["-m"], ["python", "-Im", "bayesnmf"], True),
        (["-m"], ["python", "-m", "other", "bayesnmf"], False),
        (["analysis.py", "bayesnmf"], ["python", "analysis.py", "bayesnmf"], False),
        (["-c"], ["python", "-c", "import bayesnmf"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_only_the_command_is_guarded(arguments, original, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "orig_argv", original)
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        startup.guard()
        assert (signal.getsignal(signal.SIGINT) is startup.leave) == expected
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        startup.guard()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
