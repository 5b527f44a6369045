"""Results of a study that runs in parts: a file of JSON, one line a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

type Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """Return all records, or none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, record: Record) -> None:
    """Add a record, so that an interruption loses at most the unfinished one."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
