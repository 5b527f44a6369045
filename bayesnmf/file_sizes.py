"""How much memory a data file takes when read, found before it is expanded.

A file can be small and still hold gigabytes: compressed archives, dictionaries, or a header that
announces more than there is. Sizes are read from headers, and refused above a budget.
"""

from __future__ import annotations

import gzip
import math
import os
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
    bayesnmf.file_sizes.TooLarge: counts.npz would take 24 GiB of memory when read, above the budget of 4 GiB. If the machine has it, raise bayesnmf.files.READ_BUDGET, in bytes (--read-budget in the shell, in GiB)
    """
    if size > budget:
        raise TooLarge(
            f"{path} would take {size / 2**30:.3g} GiB of memory when read, above the budget of "
            f"{budget / 2**30:.3g} GiB. If the machine has it, raise bayesnmf.files.READ_BUDGET, in "
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
        (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)  # fmt: skip
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


def require_mtx(path: Path, file: IO[bytes], size: int, budget: int) -> None:
    """Check the size line of a Matrix Market file against its bytes and against the budget."""
    banner = file.readline(2**16).lower().split()
    line = b"%"
    while line.startswith(b"%") or (line and not line.strip()):
        line = file.readline(2**16)
    try:
        sides = [int(word) for word in line.split()]
    except ValueError:
        return  # SciPy says what is wrong with it
    if len(sides) == 3 and b"coordinate" in banner:
        rows, _, entries = sides
        times = 1 if b"general" in banner else 2
        needed, least = 16 * times * entries + 8 * rows, _SHORTEST_ENTRY * entries
    elif len(sides) == 2 and b"array" in banner:
        needed = 8 * sides[0] * sides[1]
        least = sides[0] * sides[1]  # two bytes a number, but only half of a symmetric matrix
    else:
        return
    if least > size + _SHORTEST_ENTRY:
        raise Damaged(
            f"{path} is damaged: its size line announces {line.decode(errors='replace').strip()}, "
            f"but the file has only {size} bytes"
        )
    require_size(path, needed, budget)


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
