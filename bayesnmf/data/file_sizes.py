"""How much memory a data file takes when read, found before it is expanded.

A file can be small and still hold gigabytes: compressed archives, dictionaries, or a header that
announces more than there is. Sizes are read from headers, and refused above a budget.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

#: Bytes that are expanded at a time.
_CHUNK = 2**20


#: The shortest entry of a Matrix Market file is "1 1" and a line end.
_SHORTEST_ENTRY = 4


class TooLarge(MemoryError):
    """A file that would take more memory than the budget."""


class Damaged(ValueError):
    """A file that contradicts itself, with a sentence that names it."""


def require_size(path: Path, size: int, budget: int) -> None:
    """Raise :class:`TooLarge` when `size` bytes are above the budget.

    Examples
    --------
    >>> require_size(Path("counts.npz"), 3 * 2**33, 2**32)
    Traceback (most recent call last):
    bayesnmf.data.file_sizes.TooLarge: counts.npz would take 24 GiB of memory when read, above the budget of 4 GiB. If the machine has it, raise bayesnmf.data.files.READ_BUDGET, in bytes (--read-budget in the shell, in GiB)
    """
    if size > budget:
        raise TooLarge(
            f"{path} would take {size / 2**30:.3g} GiB of memory when read, above the budget of "
            f"{budget / 2**30:.3g} GiB. If the machine has it, raise bayesnmf.data.files.READ_BUDGET, in "
            "bytes (--read-budget in the shell, in GiB)"
        )


def contents(path: Path, budget: int) -> bytes:
    """Return the bytes of a file, expanded where its name ends in .gz, within the budget."""
    require_size(path, path.stat().st_size, budget)
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    parts, size = [], 0
    with gzip.open(path) as stream:
        while part := stream.read(_CHUNK):
            parts.append(part)
            size += len(part)
            # The size that the file itself states is modulo 4 GiB, so it is counted.
            require_size(path, size, budget)
    return b"".join(parts)


def require_npy(path: Path, file: IO[bytes], budget: int) -> None:
    """Check the header of a NumPy array against the file and the budget."""
    size = os.fstat(file.fileno()).st_size
    require_size(path, _array_size(path, path.name, file, size), budget)


def require_npz(path: Path, file: IO[bytes], budget: int) -> None:
    """Check every array of a NumPy archive against what is stored and against the budget."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        require_size(path, sum(member.file_size for member in members), budget)
        total = 0
        for member in members:
            with archive.open(member) as stream:
                total += _array_size(path, member.filename, stream, member.file_size)
    require_size(path, total, budget)


def _array_size(path: Path, name: str, stream: Any, size: int) -> int:
    """Return the memory that an array takes as floating-point numbers, from its header."""
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise Damaged(f"{path}: {name} is no array of numbers, or is damaged")
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        return 0  # NumPy refuses it without reading it
    cells, stored = math.prod(shape), size - stream.tell()
    if min(shape, default=0) < 0 or cells * dtype.itemsize > stored:
        raise Damaged(
            f"{path} is damaged: the header of {name} announces an array of shape {shape} and "
            f"dtype {dtype}, but {stored} bytes follow"
        )
    return cells * (dtype.itemsize if dtype == np.float32 else max(dtype.itemsize, 8))


def require_mtx(path: Path, raw: bytes, budget: int) -> None:
    """Check a Matrix Market file: its size line against the rest, and the form of every line.

    SciPy's reader crashes, or reads other numbers, where a line holds other bytes.
    """
    stream = io.BytesIO(raw)
    banner, line = stream.readline().lower().split(), b"%"
    while line.startswith(b"%") or (line and not line.strip()):
        line = stream.readline()
    form = next((form for form in _MTX_LINES if form in banner), None)
    if form is None or banner[0] != b"%%matrixmarket" or b"complex" in banner:
        raise Damaged(f"{path} is no Matrix Market file of real numbers")
    sides = [int(word) for word in line.split() if word.isdigit() and len(word) < 20]
    if len(sides) != (2 if form == b"array" else 3):
        raise Damaged(f"{path} is damaged: its size line reads {_shown(line)}")
    if form == b"array":
        needed = 8 * sides[0] * sides[1]
        least = sides[0] * sides[1]  # two bytes a number, but only half of a symmetric matrix
    else:
        times = 1 if b"general" in banner else 2
        needed, least = 16 * times * sides[2] + 8 * sides[0], _SHORTEST_ENTRY * sides[2]
    if least > len(raw) + _SHORTEST_ENTRY:
        raise Damaged(
            f"{path} is damaged: its size line announces {_shown(line)}, but the file has only "
            f"{len(raw)} bytes"
        )
    require_size(path, needed, budget)
    width = {b"array": sides[-1], b"coordinate": 2 if b"pattern" in banner else 3}[form]
    if _is_plain(raw, stream.tell(), width * (sides[0] if form == b"array" else sides[2])):
        return
    wrong = _MTX_LINES[b"pattern" if b"pattern" in banner else form].search(raw, stream.tell())
    if wrong:
        where = raw.count(b"\n", 0, wrong.start()) + 1
        held = raw[wrong.start() :].partition(b"\n")[0]
        raise Damaged(f"{path}, line {where}: {_shown(held)} is no entry of a Matrix Market file")


def _is_plain(raw: bytes, start: int, words: int) -> bool:
    """Return whether there are only the characters of numbers, in so many words.

    Then no line can be too long, since the reader refuses one that is too short. This is
    quicker than a look at every line.
    """
    if raw[start:].translate(None, b"0123456789+-.eE \t\r\n"):
        return False
    blank = np.frombuffer(raw, np.uint8, offset=start) <= ord(" ")
    begins = np.count_nonzero(blank[:-1] & ~blank[1:]) + int(blank.size and not blank[0])
    return bool(begins == words)


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("ascii", "replace").strip())


_NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf(?:inity)?|nan)(?:[eE][-+]?[0-9]+)?"


#: By the form that the banner names, what finds the start of a line that is no entry.
_MTX_LINES = {
    form: re.compile(rb"^(?![ \t]*(?:" + entry + rb")?[ \t]*\r?$)", re.MULTILINE | re.IGNORECASE)
    for form, entry in {
        b"array": _NUMBER,
        b"coordinate": rb"[0-9]+[ \t]+[0-9]+[ \t]+" + _NUMBER,
        b"pattern": rb"[0-9]+[ \t]+[0-9]+",
    }.items()
}


def require_parquet(path: Path, metadata: Any, budget: int) -> None:
    """Check the metadata of a Parquet file against the budget."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if metadata.num_rows < 0 or rows != metadata.num_rows:
        raise Damaged(
            f"{path} is damaged: it announces {metadata.num_rows} rows, but its parts hold {rows}"
        )
    chunks = [group.column(j) for group in groups for j in range(group.num_columns)]
    # Columns of numbers expand to one of eight bytes for each row, whatever their encoding.
    wide = 8 * rows * metadata.num_columns
    require_size(path, max(wide, sum(x.total_uncompressed_size for x in chunks)), budget)
