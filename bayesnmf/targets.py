"""Files that will be written, checked before the work begins."""

from __future__ import annotations

import tempfile
from pathlib import Path

RESULTS, IMAGES, PAGES = (".nc", ".zarr"), (".png", ".pdf", ".svg"), (".html", ".htm")


def require_target(path: Path, endings: tuple[str, ...], name: str = "--out") -> None:
    """Raise unless a file of this name can be written: better now than after a long fit."""
    if path.suffix not in endings:
        raise ValueError(f"{name} {path}: the name must end in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name} {path}: there is no folder {path.parent}")
    if path.is_dir() and path.suffix != ".zarr":
        raise ValueError(f"{name} {path}: that is a folder")
    try:
        # Permissions tell too little (root, read-only disks), so something is written.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"{name} {path}: cannot write there ({error.strerror})") from error
