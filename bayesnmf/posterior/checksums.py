"""Checksums of saved results, verified before any reader of HDF5 or Zarr sees a byte.

Readers trust what they read: one changed byte can give other numbers, an endless loop or an
allocation of terabytes. So a saved result carries a checksum of all its bytes. It tells damage, not
malice: nothing secret goes into it.

- ``.nc``: the last 48 bytes, a mark and the checksum of all that is before them. HDF5 knows where
  its own data end, and every reader of netCDF ignores what follows.
- ``.zarr``: an attribute of the root; the checksum of every file in the store, with its name, and of
  the root's metadata without that attribute.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Literal

from bayesnmf.posterior.output_files import files_in, is_zarr

#: Attribute of a Zarr root that holds the checksum.
ATTRIBUTE = "bayesnmf_checksum"


#: What stands before the checksum at the end of a netCDF file.
TRAILER = b"bayesnmf blake2b"


SIZE, PIECE = 32, 1 << 20


type State = Literal["whole", "changed", "absent"]


def seal(path: Path) -> None:
    """Write the checksum of a result that is complete.

    Parameters
    ----------
    path : path
        A ``.nc`` file or a ``.zarr`` folder.
    """
    if path.is_dir():
        root, _ = _root(path)
        root["attributes"][ATTRIBUTE] = _of_folder(path, root)
        (path / "zarr.json").write_text(json.dumps(root, indent=2), encoding="utf-8")
    else:
        checksum = _of_file(path, path.stat().st_size)
        with path.open("ab") as file:
            file.write(TRAILER + checksum)


def state(path: Path) -> State:
    """Return whether a result is as it was sealed, has changed since, or has no checksum.

    Parameters
    ----------
    path : path
        A file, or a folder.

    Returns
    -------
    {"whole", "changed", "absent"}

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fit.nc")
    ...     _ = path.write_bytes(b"numbers")
    ...     before = state(path)
    ...     seal(path)
    ...     before, state(path)
    ('absent', 'whole')
    """
    said, found = _folder_checksums(path) if path.is_dir() else _file_checksums(path)
    if said is None:
        return "absent"
    return "whole" if said == found else "changed"


def size_of(path: Path) -> int:
    """Return the bytes that a file, or all files of a folder, have on the disk."""
    files = files_in(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _is_regular(path: Path) -> bool:
    """Return whether a path is a file, no link, pipe or device: those may have no end."""
    return stat.S_ISREG(os.lstat(path).st_mode)


def _of_file(path: Path, length: int) -> bytes:
    """Return the checksum of the first bytes of a file."""
    checksum = hashlib.blake2b(digest_size=SIZE)
    with path.open("rb") as file:
        while length > 0 and (piece := file.read(min(PIECE, length))):
            checksum.update(piece)
            length -= len(piece)
    return checksum.digest()


def _file_checksums(path: Path) -> tuple[bytes | None, bytes]:
    """Return the checksum that a file holds, and the one that it has."""
    length = path.stat().st_size - len(TRAILER) - SIZE
    if length < 0 or not _is_regular(path.resolve()):
        return None, b""
    with path.open("rb") as file:
        file.seek(length)
        end = file.read()
    if not end.startswith(TRAILER):
        return None, b""
    return end[len(TRAILER) :], _of_file(path, length)


def _folder_checksums(folder: Path) -> tuple[str | None, str]:
    """Return the checksum that a store holds, and the one that it has; none where a link is in it."""
    try:
        root, said = _root(folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, ""
    if not isinstance(said, str):
        return None, ""
    regular = all(_is_regular(file) for file in files_in(folder))
    return said, _of_folder(folder, root) if regular else ""


def _root(folder: Path) -> tuple[dict[str, Any], Any]:
    """Return the metadata of a store's root, and the checksum that they hold."""
    file = folder / "zarr.json"
    if not _is_regular(file):
        raise ValueError("the metadata are no regular file")
    root = json.loads(file.read_bytes())
    return root, root["attributes"].pop(ATTRIBUTE, None)


def _of_folder(folder: Path, root: dict[str, Any]) -> str:
    checksum = hashlib.blake2b(json.dumps(root, sort_keys=True).encode(), digest_size=SIZE)
    for file in files_in(folder):
        name = file.relative_to(folder)
        # Names and sizes keep bytes from moving between files unseen.
        if is_zarr(name) and name != Path("zarr.json"):
            size = file.stat().st_size
            checksum.update(f"{name.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
            checksum.update(_of_file(file, size))
    return checksum.hexdigest()
