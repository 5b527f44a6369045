"""The program around the verbs: help, exit status, failures, interrupts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from cli.command import run

from bayesnmf.cli.signals import stopping_on_signals
from bayesnmf.data import files


def test_version_and_help():
    assert run("--version") == (0, f"bayesnmf {version('bayesnmf')}\n", "")
    assert run().out == run("--help").out
    for verb in ("fit", "check", "plot", "export", "demo"):
        assert verb in run("--help").out
        assert f"  bayesnmf {verb} " in run(verb, "--help").out  # an example


def test_other_failures_keep_their_traceback(counts, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(files, "read", fail)
    with pytest.raises(ZeroDivisionError):
        run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc"))


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left", "fit.nc"), "fit.nc: No space"),
        (ImportError("needs zarr:\n pip install zarr"), "needs zarr: pip install zarr"),
    ],
)
def test_failures_of_the_machine_are_one_line(counts, monkeypatch, failure, sentence):
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(files, "read", fail)
    error = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc")).error()
    assert error.startswith(sentence)


def test_interrupt_is_one_line(counts, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "read", interrupt)
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_raise_and_are_given_back(number):
    before = signal.getsignal(number)
    try:
        signal.signal(number, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), stopping_on_signals():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with stopping_on_signals():
            signal.raise_signal(number)  # nohup has asked to ignore it
    finally:
        signal.signal(number, before)


def test_an_interrupt_in_a_finaliser_is_raised_again():
    """Python drops it there, and in JAX's callback of the garbage collector."""

    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        begin = time.perf_counter()
        with pytest.raises(KeyboardInterrupt), stopping_on_signals():
            time.sleep(60 if Interrupted() else 0)
        assert time.perf_counter() - begin < 30
    finally:
        signal.signal(signal.SIGINT, before)


def test_figures_need_no_display(map_file):
    """Neither a display nor a choice of Matplotlib's backend."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    program = "import sys; from bayesnmf.cli import app; sys.exit(app.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "plot", map_file],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    image = map_file.with_name("map-components.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{image}\n", "")
    assert image.stat().st_size > 0
