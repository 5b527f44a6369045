"""The program around the verbs: help, exit status, failures, interrupts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cli.command import run

from bayesnmf.cli import app as cli


def test_version_and_help():
    assert run("--version") == (0, f"bayesnmf {version('bayesnmf')}\n", "")
    assert run().out == run("--help").out
    for verb in ("fit", "check", "plot", "demo"):
        assert verb in run("--help").out
        assert f"  bayesnmf {verb} " in run(verb, "--help").out  # an example


def test_other_failures_keep_their_traceback(counts, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.files, "read", fail)
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

    monkeypatch.setattr(cli.files, "read", fail)
    error = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc")).error()
    assert error.startswith(sentence)


def test_interrupt_is_one_line(counts, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
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
from bayesnmf import cli, demo
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.assembly import assemble
from bayesnmf.posterior import Fit

def run(progress):
    print("running", flush=True)
    jax.jit(lambda: jax.lax.while_loop(lambda x: x >= 0, lambda x: 0.5 * x, 1.0))().item()

demo.run = run
sys.exit(cli.main(["demo"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_compiled_code(number, tmp_path):
    """Python alone would deliver it when the compiled loop is done, which is never."""
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        try:
            assert any(line == "running\n" for line in process.stdout)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "bayesnmf: interrupted\n")
