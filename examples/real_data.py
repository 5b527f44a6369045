"""Where the examples find matrices that are not part of the project."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Where figures of the documentation are.
FIGURES = ROOT / "docs" / "_static"


def find(name: str) -> Path:
    """Return the path of a file in ``shared/data`` beside the repository, or exit."""
    for folder in (ROOT.parent / "shared" / "data", ROOT / "shared" / "data"):
        if (folder / name).exists():
            return folder / name
    sys.exit(
        f"{name} is not in ../shared/data beside the repository, and it is not part of the "
        "project: get the file, or run an example that needs none"
    )
