"""Files that are written: checked before, complete or absent, and no other file is touched."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic

import bayesnmf as bn
from bayesnmf.posterior import output_files
from bayesnmf.posterior.output_files import RESULTS, replacing, require_target, save_or_rescue

FIRST, SECOND = (synthetic.assembled(*synthetic.draws(2, 4, seed=seed)) for seed in (0, 5))
every_ending = pytest.mark.parametrize("ending", [".nc", ".zarr"])


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# -- replacing ----------------------------------------------------------------------------------


@every_ending
def test_files_of_the_user_are_neither_followed_nor_removed(ending, tmp_path):
    """Names beside the target that a program could guess belong to somebody else."""
    victim, path = tmp_path / "victim", tmp_path / f"fit{ending}"
    victim.write_text("precious")
    guesses = [f"fit{ending}.partial", f"fit{ending}.tmp", f".fit{ending}.tmp"]
    for name in guesses:
        (tmp_path / name).symlink_to(victim)
    before = names(tmp_path)
    FIRST.save(path)
    assert names(tmp_path) == sorted([*before, path.name])
    assert victim.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@every_ending
def test_modes_are_those_that_the_system_gives_new_files(ending, tmp_path):
    path = tmp_path / f"fit{ending}"
    before = os.umask(0o027)
    try:
        FIRST.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == (0o640 if path.is_file() else 0o750)


def test_what_fails_leaves_nothing_behind(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def write_half():
        with replacing(path) as private:
            private.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert (names(tmp_path), path.read_text()) == (["page.html"], "old")


@pytest.mark.parametrize("exchanges", [True, False])
def test_folders_are_replaced_with_and_without_an_exchange(exchanges, tmp_path, monkeypatch):
    if not exchanges:
        monkeypatch.setattr(output_files, "_exchange", lambda a, b: False)
    path = tmp_path / "fit.zarr"
    for fit in (FIRST, SECOND):
        fit.save(path)
        assert bn.load(path).tree.identical(fit.tree)
        assert names(tmp_path) == ["fit.zarr"]


class Killed(BaseException):
    """Stands for a signal after which no code runs."""


def test_a_kill_between_two_names_loses_nothing(tmp_path, monkeypatch):
    """If two folders cannot be exchanged, the earlier one has another name for a moment."""
    path = tmp_path / "fit.zarr"
    FIRST.save(path)
    rename = Path.rename

    def kill(self, target):
        if target == path:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(output_files, "_exchange", lambda a, b: False)
        patch.setattr(Path, "rename", kill)
        with pytest.raises(Killed):
            SECOND.save(path)
    assert not path.exists()
    assert bn.load(path).tree.identical(FIRST.tree)
    SECOND.save(path)
    assert bn.load(path).tree.identical(SECOND.tree)
    assert names(tmp_path) == ["fit.zarr"]


# -- what is asked before the work begins ----------------------------------------------------------


def of_the_user(path):
    path.mkdir()
    (path / "thesis.txt").write_text("precious")


def with_a_note(path):
    FIRST.save(path)
    (path / "thesis.txt").write_text("precious")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of_the_user, "is not a result of bayesnmf, so it is not replaced"),
        (with_a_note, r"holds thesis\.txt beside a result"),
    ],
)
def test_only_results_are_replaced(make, message, tmp_path):
    path = tmp_path / "out.zarr"
    make(path)
    for attempt in (lambda: require_target(path, RESULTS), lambda: SECOND.save(path)):
        with pytest.raises(ValueError, match=message):
            attempt()
    assert (path / "thesis.txt").read_text() == "precious"


def test_an_empty_folder_may_become_a_result(tmp_path):
    path = tmp_path / "out.zarr"
    path.mkdir()
    FIRST.save(path)
    assert bn.load(path).tree.identical(FIRST.tree)


@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("fit\0.nc", None, ValueError, "cannot hold a NUL character"),
        ("x" * 253 + ".nc", None, ValueError, "the name has 256 bytes, and 255 are allowed"),
        ("é" * 127 + ".nc", None, ValueError, "the name has 257 bytes"),
        ("fit\ud800.nc", None, ValueError, "no such characters"),
        ("fit.nc", Path.mkdir, ValueError, "that is a folder"),
        ("fit.zarr", Path.touch, ValueError, "is no folder"),
        (
            "fit.nc",
            os.mkfifo if hasattr(os, "mkfifo") else Path.mkdir,
            ValueError,
            "regular file|folder",
        ),
        ("nowhere/fit.nc", None, FileNotFoundError, "there is no folder"),
    ],
)
def test_names_that_cannot_be_written_are_refused_before_the_fit(
    name, make, error, message, tmp_path
):
    path = Path(tmp_path, name)
    if make is not None:
        make(path)
    with pytest.raises(error, match=message) as caught:
        require_target(path, RESULTS)
    assert "\n" not in str(caught.value)


def test_the_longest_name_can_be_saved(tmp_path):
    path = tmp_path / ("x" * 252 + ".nc")
    require_target(path, RESULTS)
    FIRST.save(path)
    assert names(tmp_path) == [path.name]


# -- disks that are full ------------------------------------------------------------------------------

FULL = """
import resource, sys
import bayesnmf as bn
fit = bn.load(sys.argv[1])
for ending, limits in ((".nc", (0, 1000, 5000, 20000)), (".zarr", (0, 300))):
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            fit.save(sys.argv[2] + ending)
        except OSError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            print(error.errno, error.filename)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_is_an_error_and_no_crash(tmp_path):
    """HDF5 itself crashes at the end of Python after a file that it could not write."""
    W, H = synthetic.draws(4, 100)
    synthetic.assembled(W, H).save(tmp_path / "large.nc")
    paths = [tmp_path / f"fit{ending}" for ending in (".nc", ".zarr")]
    for path in paths:
        FIRST.save(path)
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "large.nc", tmp_path / "fit"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == [*[f"27 {paths[0]}"] * 4, *[f"27 {paths[1]}"] * 2, ""]
    assert names(tmp_path) == ["fit.nc", "fit.zarr", "large.nc"]
    for path in paths:
        assert bn.load(path).tree.identical(FIRST.tree)


class Result:
    """A result that some folders do not take."""

    def __init__(self, refused: Path) -> None:
        self.refused = refused

    def save(self, path):
        if Path(path).is_relative_to(self.refused):
            raise OSError(28, "No space left on device")
        Path(path).write_text("numbers")


def test_a_result_that_cannot_be_saved_goes_to_the_temporary_folder(tmp_path, monkeypatch):
    full, other = tmp_path / "full", tmp_path / "other"
    full.mkdir()
    other.mkdir()
    monkeypatch.setattr(output_files.tempfile, "tempdir", str(other))
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_or_rescue(Result(full), full / "fit.nc")
    (rescue,) = other.glob("*/rescue.nc")
    assert str(rescue) in str(caught.value)
    assert rescue.read_text() == "numbers"
    with pytest.raises(OSError, match="either, so it is lost"):
        save_or_rescue(Result(tmp_path), full / "fit.nc")
