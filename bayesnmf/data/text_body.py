"""The lines below the header of a text file: a column of names as text, and numbers."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data.text_lines import Separated

#: Cells that mean missing; case does not matter.
MISSING = ("", "na", "nan")


#: The same in every case, as pandas needs them.
_SPELLINGS = [
    "".join(letters)
    for word in MISSING
    for letters in itertools.product(*({c, c.upper()} for c in word))
]


#: Lines from which on pandas reads a file. It spends a tenth of a millisecond on each column, in
#: which the loop over lines reads hundreds of cells.
TALL = 1000


#: Pandas before 3.1 rounds the last digit unless told otherwise; 3.1 warns about this option.
_EXACT: dict[str, Any] = (
    {}
    if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
    else {"float_precision": "round_trip"}
)


@dataclass(frozen=True)
class Body:
    """What the lines hold, and where they are."""

    source: Separated
    #: Line of the file on which the first record of the body starts.
    first_line: int
    #: The column that may hold names.
    heads: list[str]
    #: The other columns, of shape (n_records, n_other_columns).
    values: np.ndarray
    #: Whether the last cell of every line is empty.
    last_empty: bool

    def line(self, i: int) -> int:
        """Return the line on which a record starts; the first record is 0."""
        records = _records_from(self.source, self.first_line)
        return next(itertools.islice(records, i, None))[0]

    def without_first_record(self) -> Body:
        """Return the body without its first record, which has turned out to be a header."""
        return replace(self, first_line=self.line(1), heads=self.heads[1:], values=self.values[1:])

    def without_last_column(self) -> Body:
        """Return the body without its last column, which is empty."""
        return replace(self, values=self.values[:, :-1])


def read_body(
    source: Separated,
    top: int,
    first_line: int,
    titles: list[str] | None,
    order: list[int],
    width: int,
) -> Body:
    """Read columns of all lines from `first_line` on.

    Parameters
    ----------
    source : Separated
    top : int
        Line of the header, or of the first record.
    first_line : int
        Line of the first record of the body.
    titles : list of str or None
        Names of the columns in the order that they are read.
    order : list of int
        Columns to read, in this order. The first is the one that may hold names.
    width : int
        Number of cells that each line must have.

    Raises
    ------
    ValueError
        When a line has too few or too many cells, an open quote, or text among its numbers. The
        message names the line, the column and the text.
    """
    matches = titles is None or len(titles) == len(order)
    if matches and source.text.count("\n") >= TALL:
        body = _by_pandas(source, first_line, order, width)
        if body is not None:
            return body
    return _line_by_line(source, top, first_line, titles, order, width)


def as_number(cell: str) -> float | None:
    """Return the number in a cell, NaN where it is missing, None where it is text."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan if cell.strip().casefold() in MISSING else None
    # Python reads 10_1 as 101, but in a data file it is the name of a sample.
    return None if "_" in cell else value


def as_numbers(
    path: Path, line: int, titles: list[str] | None, cells: list[str], order: list[int]
) -> list[float]:
    """Convert cells of one line, the last of those in `order`, which says their columns."""
    with contextlib.suppress(ValueError):  # most lines hold plain numbers, and this is quick
        if "_" not in "".join(cells):
            return list(map(float, cells))
    values = [as_number(cell) for cell in cells]
    if None in values:
        where = len(order) - len(cells) + values.index(None)
        text = cells[values.index(None)].strip()
        name = repr(titles[where]) if titles else str(order[where] + 1)
        raise ValueError(
            f"{path}, line {line}, column {name}: {text!r} is not a number. Write a number, or "
            "leave the cell empty if it is missing; row names belong in the first column"
        )
    return values  # type: ignore[return-value]


def _records_from(source: Separated, first_line: int) -> Iterator[tuple[int, list[str]]]:
    return (record for record in source.records() if record[0] >= first_line)


def _by_pandas(source: Separated, first_line: int, order: list[int], width: int) -> Body | None:
    """Read plain lines quickly; None where pandas refuses, or is not strict enough.

    Pandas fills short lines with missing cells, ends text at a NUL character, accepts text behind
    a closing quote, and reads "True" as 1. So a missing cell at the end of a line, or one of the
    others, leaves the file to :func:`_line_by_line`, which accepts it or names the bad line.
    """
    text, head, separator = source.below(first_line), order[0], source.separator
    sign = re.escape(separator)
    behind_quote = rf'(?:^|{sign}) *"(?:[^"]|"")*"(?!{sign}|\r|\n|\Z)'
    lower = text.lower()
    if any(word in lower for word in ("\0", "true", "false")):
        return None
    if '"' in text and re.search(behind_quote, text, re.MULTILINE):
        return None
    options: dict[str, Any] = {
        "sep": separator,
        "header": None,
        "skipinitialspace": True,
        "decimal": source.decimal,
        "dtype": dict.fromkeys(range(width), str) | dict.fromkeys(order[1:], float),
        "na_values": dict.fromkeys(order[1:], _SPELLINGS),
        "keep_default_na": False,
        **_EXACT,
    }
    try:
        frame = pd.read_csv(io.StringIO(text), engine="c", **options)
    except (ValueError, OverflowError):
        return None
    # What is missing at the end of a line may be a line that is too short.
    if frame.shape[1] != width:
        return None
    last = frame[width - 1]
    if last.isna().any() or (last.dtype.kind != "f" and (last == "").any()):
        return None
    heads = [name.strip() for name in frame[head]]
    return Body(source, first_line, heads, frame[order[1:]].to_numpy(np.float64), False)


def _line_by_line(
    source: Separated,
    top: int,
    first_line: int,
    titles: list[str] | None,
    order: list[int],
    width: int,
) -> Body:
    """Read every line, and name the first one that is bad."""
    heads: list[str] = []
    numbers, last_empty = array("d"), True
    as_they_are = order == list(range(width))
    for line, cells in _records_from(source, first_line):
        if len(cells) != width or (titles is not None and len(titles) != len(order)):
            than = f"line {first_line} has {width}" if heads else None
            than = than or f"line {top} has {len(titles) if titles and not heads else width}"
            raise ValueError(f"{source.path}, line {line} has {len(cells)} cell(s), but {than}")
        last_empty = last_empty and not cells[-1].strip()
        if not as_they_are:
            cells = [cells[j] for j in order]  # noqa: PLW2901
        heads.append(cells[0].strip())
        numbers.extend(as_numbers(source.path, line, titles, cells[1:], order))
    values = np.array(numbers).reshape(len(heads), -1)
    return Body(source, first_line, heads, values, last_empty)
