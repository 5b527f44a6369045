"""Files that will be written: checked before the work begins, and replaced as a whole."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

RESULTS, IMAGES, PAGES = (".nc", ".zarr"), (".png", ".pdf", ".svg"), (".html", ".htm")


#: How the names of private folders begin, in which files are written before they get their name.
PRIVATE = ".bayesnmf-"


#: How the attributes begin that mark a result of this package.
MARK = "bayesnmf_"


#: Files that desktops leave in every folder.
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


def require_target(
    path: str | os.PathLike[str], endings: tuple[str, ...], name: str = "--out"
) -> None:
    """Raise unless a file of this name can be written: better now than after a long fit.

    Parameters
    ----------
    path : path
        The file, or the ``.zarr`` folder.
    endings : tuple of str
        Endings that its name may have.
    name : str
        What the path is given for, which begins the error.

    Raises
    ------
    ValueError
        When the name ends in something else, cannot be a file's, or is that of a folder, or of a
        special file, that is no result of this package.
    OSError
        When the folder is missing (FileNotFoundError) or cannot be written to.
    ImportError
        For ``.zarr`` without the zarr package.
    """
    path = Path(path)
    require_name(path, name, endings)
    if path.is_dir():
        if path.suffix != ".zarr":
            raise ValueError(f"{name} {path}: that is a folder")
        _require_replaceable(path, name)
    elif path.exists() and (path.suffix == ".zarr" or not path.is_file()):
        kind = "folder" if path.suffix == ".zarr" else "regular file"
        raise ValueError(f"{name} {path}: what has that name is no {kind}: give another name")
    if path.suffix == ".zarr":
        require_zarr()
    require_writable(path.parent, f"{name} {path}")


def require_writable(folder: Path, what: str) -> None:
    """Raise ``OSError`` unless something can be written to a folder."""
    try:
        # Permissions tell too little (root, read-only disks), so something is written.
        with tempfile.TemporaryDirectory(prefix=PRIVATE, dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{what}: cannot write there ({error.strerror})") from error


def require_name(path: Path, name: str, endings: tuple[str, ...] = ()) -> None:
    """Raise unless the ending is one of some, the folder is there, and the system takes the name."""
    if "\0" in str(path):
        raise ValueError(f"{name} {str(path)!r}: the name of a file cannot hold a NUL character")
    if endings and path.suffix not in endings:
        raise ValueError(f"{name} {path}: the name must end in {' or '.join(endings)}")
    try:
        length = len(os.fsencode(path.name))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} {str(path)!r}: the system has no such characters in names"
        ) from error
    try:
        there = path.parent.is_dir()
        limit = os.pathconf(path.parent, "PC_NAME_MAX") if there else 255
    except (AttributeError, ValueError, OSError):  # Windows, and paths that are too long
        there, limit = path.parent.is_dir(), 255
    if not there:
        raise FileNotFoundError(f"{name} {path}: there is no folder {path.parent}")
    if length > limit:
        raise ValueError(
            f"{name} {path}: the name has {length} bytes, and {limit} are allowed there"
        )


def _require_replaceable(folder: Path, name: str) -> None:
    """Raise unless a folder is empty, or holds a result of this package and nothing else."""
    if not any(entry.name not in LITTER for entry in folder.iterdir()):
        return
    if not is_result(folder):
        raise ValueError(
            f"{name} {folder}: that folder is not a result of bayesnmf, so it is not replaced: give "
            "another name, or remove it"
        )
    for path in files_in(folder):
        if not is_zarr(path.relative_to(folder)):
            raise ValueError(
                f"{name} {folder}: that folder holds {path.relative_to(folder)} beside a result, so it "
                "is not replaced: give another name, or move that file"
            )


def is_result(folder: Path) -> bool:
    """Return whether a folder is a Zarr store whose root has the mark of this package."""
    try:
        attributes = json.loads((folder / "zarr.json").read_bytes())["attributes"]
        return any(str(key).startswith(MARK) for key in attributes)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def files_in(folder: Path) -> list[Path]:
    """Return all files in a folder, links included and never followed, in a fixed order."""
    found = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        found += [Path(root, name) for name in (*links, *names) if name not in LITTER]
    return sorted(found)


def is_zarr(relative: Path) -> bool:
    """Return whether a file belongs to a Zarr store: metadata, or a piece of an array."""
    return relative.name == "zarr.json" or "c" in relative.parts


def require_zarr() -> None:
    """Raise unless the zarr package is installed."""
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise ImportError(
            "saving to .zarr needs the zarr package: pip install 'bayesnmf[zarr]', or save to .nc"
        ) from None


# -- replacing ------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a private path to write to, and let what is written there replace `path` as a whole.

    The private path is in a folder that nobody else may enter, beside `path`, so no link or file
    of another is met. What was written reaches the disk before it gets its name. After an
    error nothing has changed; a process that is killed leaves its private folder behind.

    Parameters
    ----------
    path : path
        A file, or a folder.

    Yields
    ------
    Path
        Of the same ending.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(folder + "/page.html") as private:
    ...         _ = private.write_text("<p>")
    ...     os.listdir(folder)
    ['page.html']
    """
    path = Path(path)
    folder = Path(tempfile.mkdtemp(prefix=PRIVATE, dir=path.parent))
    try:
        private = folder / f"new{path.suffix}"
        yield private
        _flush(private)
        _put(private, path)
    finally:
        # What the user needs is in its place, or the error is on its way.
        shutil.rmtree(folder, ignore_errors=True)
    _flush_folder(path.parent)


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a Matplotlib figure: whole, or not at all."""
    with replacing(path) as private:
        figure.savefig(private, dpi=150)


def set_aside(path: Path) -> Path:
    """Return where an earlier folder waits while a new one takes its name.

    Only where the system cannot exchange two folders in one step. A process that is killed in that
    moment leaves the earlier folder there, and :func:`bayesnmf.load` finds it.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f"{PRIVATE}{digest}.old")


def _put(private: Path, path: Path) -> None:
    """Give what is at the private path its name; what had that name ends in the private folder."""
    waiting = set_aside(path)
    if not private.is_dir() or not os.path.lexists(path):
        private.replace(path)
    elif not _exchange(private, path):
        _discard(waiting)
        path.rename(waiting)
        private.rename(path)
    if private.suffix == ".zarr":
        _discard(waiting)


def _discard(waiting: Path) -> None:
    """Remove a folder that was set aside, by this save or by one that was killed."""
    if is_result(waiting) and not waiting.is_symlink():
        shutil.rmtree(waiting)


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders exchange their names in one step; return False where that cannot be done."""
    with suppress(AttributeError, OSError):  # Linux has it since 3.15, with glibc 2.28
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0
    return False


def _flush(path: Path) -> None:
    """Wait until a file, or all files of a folder, are on the disk."""
    for file in files_in(path) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    if path.is_dir():
        for root, _, _ in os.walk(path):
            _flush_folder(Path(root))
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system lets a folder be opened
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


# -- rescue ---------------------------------------------------------------------------------------


class Savable(Protocol):
    """A result with a method that writes it."""

    def save(self, path: str | os.PathLike[str]) -> None: ...  # noqa: D102


def save_or_rescue(result: Savable, path: Path) -> None:
    """Save a result; where that fails, save it to the temporary folder and say so in the error.

    Raises
    ------
    OSError
        When the file could not be written, whatever the reason: the message has it, and names the
        rescue file.
    """
    try:
        result.save(path)
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{error}".rstrip(".") or repr(error)
        raise OSError(f"could not save to {path} ({reason}). {_rescue(result)}") from error


def _rescue(result: Savable) -> str:
    """Save a result to the temporary folder, and say where it is."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="bayesnmf-"))
    except OSError as error:
        return f"There is no temporary folder for it either ({error.strerror})"
    for rescue in (folder / "rescue.nc", folder / "rescue.zarr"):  # Zarr holds what netCDF cannot
        with suppress(Exception):
            result.save(rescue)
            return f"The result is in {rescue}: move it to a better place"
    shutil.rmtree(folder, ignore_errors=True)
    return f"It could not be saved to {folder} either, so it is lost"
