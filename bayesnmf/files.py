"""Reading a data matrix from a file, with one sentence for everything that can be wrong."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

#: Cells that mean missing; case does not matter.
MISSING = ("", "na", "nan")


def read(path: str | os.PathLike[str]) -> Any:
    r"""Read the data matrix that a file holds.

    The ending of the file's name, in either case, says how it is read:

    - ``csv``, ``tsv``: UTF-8 text separated by commas or tabs; see Notes.
    - ``npy``: a NumPy array.
    - ``npz``: a SciPy sparse array as ``scipy.sparse.save_npz`` writes it, or a NumPy archive
      that holds exactly one array.
    - ``mtx``: a Matrix Market file.
    - ``parquet``: a table; its first column becomes the row names when it is not numeric.

    Parameters
    ----------
    path : str or path
        The file. Rows are samples and columns are features.

    Returns
    -------
    DataFrame, ndarray or scipy.sparse.csr_array of shape (n_rows, n_columns)
        A labelled float64 table from csv and tsv, a table from parquet, an array from npy and
        dense npz and mtx, and a sparse array from sparse npz and mtx. Whether the numbers suit a
        model is checked later, by :class:`bayesnmf.data.Matrix`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the ending is not known (the message lists those that are), the file is empty or
        damaged, an npz holds several arrays (it lists them), an array holds pickled Python
        objects, or a text file has a line with too few or too many cells, an open quote, or
        text among its numbers (it names the line, the column and the text).

    Notes
    -----
    Rules for csv and tsv, in this order:

    1. Blank lines are skipped. A cell is missing when it is empty or reads NA or NaN.
    2. The first line holds the column names, unless each of its cells is a number or missing:
       such a file has no header. An empty first cell makes the first line a header in any case,
       because an empty corner is how tables with row names are written.
    3. The first column holds row names when the header's corner is empty, or when at least half
       of its cells are text. A header that is one cell shorter than the lines below, as R
       writes it, has no corner, and counts as empty there.
    4. Everything else must be a number.

    A text file is held in memory as a whole while it is read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "counts.csv"
    ...     _ = path.write_text(",A,B\ns1,3,NA\ns2,0,5\n")
    ...     read(path)
          A    B
    s1  3.0  NaN
    s2  0.0  5.0
    """
    path = Path(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    reader = READERS.get(path.suffix.lower().removeprefix("."))
    if reader is None:
        raise ValueError(
            f"{path} has the ending {path.suffix!r}, which is not known; valid endings: "
            f"{', '.join(READERS)}"
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    try:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty")
        return reader(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


# -- text -------------------------------------------------------------------------------------


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    """Read separated text; the first column is kept as text until the whole of it is known."""
    records = _records(path, separator)
    top = next(records, None)
    if top is None:
        raise ValueError(f"{path} is empty: it holds nothing but blank lines")
    header = _header(path, top[0], [cell.strip() for cell in top[1]])
    body = records if header else itertools.chain([top], records)
    lines: list[int] = []
    heads: list[str] = []
    rows: list[list[float]] = []
    for line, cells in body:
        if not lines:
            header = _with_corner(header, cells)
            width = len(header or cells)
        if len(cells) != width:
            raise ValueError(
                f"{path}, line {line} has {len(cells)} cell(s), but line "
                f"{lines[0] if lines else top[0]} has {width}"
            )
        lines.append(line)
        heads.append(cells[0].strip())
        rows.append(_numbers(path, line, header, cells[1:], first=1))
    if not lines:
        raise ValueError(f"{path} has a header (line {top[0]}) but no line of numbers below it")
    return _table(path, header, lines, heads, rows)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every record that is not blank, with the line of the file on which it starts."""
    text = _decode(path)
    _refuse_other_separator(path, text, separator)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {line} cannot be split into cells ({error}); check its quotes"
            ) from error
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield line, cells


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line} holds the byte {raw[error.start]:#04x}, which is not UTF-8 "
            "text; save the file as UTF-8"
        ) from error


def _refuse_other_separator(path: Path, text: str, separator: str) -> None:
    """Raise when the first line is evidently separated by something else."""
    first = text.lstrip("\r\n").partition("\n")[0]
    names = {",": "commas", "\t": "tabs", ";": "semicolons"}
    others = [name for other, name in names.items() if other != separator and other in first]
    if separator not in first and others:
        raise ValueError(
            f"{path}, line 1 has {others[0]} but no {names[separator]}; a file with this ending "
            f"is separated by {names[separator]}"
        )


def _number(cell: str) -> float | None:
    """Return the number in a cell, NaN where it is missing, None where it is text."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan if cell.strip().casefold() in MISSING else None
    # Python reads 10_1 as 101, but in a data file it is somebody's sample name.
    return None if "_" in cell else value


def _numbers(
    path: Path, line: int, header: list[str] | None, cells: list[str], first: int
) -> list[float]:
    """Convert the cells of one line, of which the leftmost is in column `first` of the file."""
    with contextlib.suppress(ValueError):  # most lines hold plain numbers, and this is quick
        if "_" not in "".join(cells):
            return list(map(float, cells))
    values = [_number(cell) for cell in cells]
    if None in values:
        column = values.index(None)
        text = cells[column].strip()
        name = repr(header[first + column]) if header else str(first + column + 1)
        raise ValueError(
            f"{path}, line {line}, column {name}: {text!r} is not a number. Write a number, or "
            "leave the cell empty if it is missing; row names belong in the first column"
        )
    return values  # type: ignore[return-value]


def _header(path: Path, line: int, cells: list[str]) -> list[str] | None:
    """Return the column names if this first record holds them."""
    empty_corner = len(cells) > 1 and not cells[0]
    if not empty_corner and all(_number(cell) is not None for cell in cells):
        return None
    numbers = Counter(cell for cell in cells if cell and _number(cell) is not None)
    twice = [name for name, times in numbers.items() if times > 1]
    if twice:
        raise ValueError(
            f"{path}, line {line}: the column name {twice[0]!r} stands there more than once. If "
            "this line holds data, put a line of column names above it"
        )
    return cells


def _with_corner(header: list[str] | None, cells: list[str]) -> list[str] | None:
    """Give R's short header its corner, when the first line below starts with a name."""
    if header and len(cells) == len(header) + 1 and _number(cells[0]) is None:
        return ["", *header]
    return header


def _table(
    path: Path,
    header: list[str] | None,
    lines: list[int],
    heads: list[str],
    rows: list[list[float]],
) -> pd.DataFrame:
    """Decide what the first column holds, and put the table together."""
    texts = sum(_number(head) is None for head in heads)
    filled = sum(bool(head) for head in heads)
    named = header is not None and ((len(header) > 1 and not header[0]) or 2 * texts >= filled > 0)
    values = np.array(rows, dtype=float).reshape(len(rows), -1)
    if named:
        assert header is not None
        if values.shape[1] == 0:
            raise ValueError(f"{path} holds no numbers: its only column, {header[0]!r}, is text")
        return pd.DataFrame(values, pd.Index(heads, name=header[0] or None), header[1:])
    first = [
        _numbers(path, line, header, [head], 0) for line, head in zip(lines, heads, strict=True)
    ]
    return pd.DataFrame(np.hstack([np.array(first), values]), columns=header)


# -- binary -----------------------------------------------------------------------------------


def _translated(read_file: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Make every failure of another library one ``ValueError`` that names the file."""

    def reader(path: Path) -> Any:
        try:
            return read_file(path)
        except _Explained:
            raise
        except Exception as error:
            # NumPy recommends allow_pickle=True here, which would run whatever the file says.
            if "allow_pickle" in str(error):
                raise ValueError(
                    f"{path} is no plain numeric array: it holds pickled Python objects, which "
                    "are not loaded because that could run code, or is damaged"
                ) from error
            kind = path.suffix.lower().removeprefix(".")
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise ValueError(f"{path} cannot be read as {kind}: {reason}") from error

    return reader


class _Explained(ValueError):
    """A failure that says already what is wrong."""


def _read_numpy(path: Path) -> Any:
    # Opened here, because NumPy leaves the file open where an archive is damaged.
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        names = loaded.files
        if {"format", "shape"} <= set(names):
            file.seek(0)
            return scipy.sparse.csr_array(scipy.sparse.load_npz(file))
        if len(names) == 1:
            return loaded[names[0]]
    holds = f"{len(names)} arrays ({', '.join(names)})" if names else "no array"
    raise _Explained(
        f"{path} holds {holds}, but a data file holds one; save it alone with "
        "numpy.savez(path, V=V)"
    )


def _read_mtx(path: Path) -> Any:
    from scipy.io import mmread

    with warnings.catch_warnings():
        # SciPy 1.18 announces that arrays replace matrices; both are converted below.
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = mmread(path)
    return scipy.sparse.csr_array(loaded) if scipy.sparse.issparse(loaded) else loaded


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    unnamed = isinstance(frame.index, pd.RangeIndex) and frame.shape[1] > 1
    if unnamed and not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[0]):
        return frame.set_index(frame.columns[0])
    return frame


#: How each ending is read.
READERS: dict[str, Callable[[Path], Any]] = {
    "csv": partial(_read_text, separator=","),
    "tsv": partial(_read_text, separator="\t"),
    "npy": _translated(_read_numpy),
    "npz": _translated(_read_numpy),
    "mtx": _translated(_read_mtx),
    "parquet": _translated(_read_parquet),
}
