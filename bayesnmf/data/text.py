"""Reading a table of numbers from separated text, with the line in every error."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bayesnmf.data.row_names import are_names, is_header, refuse_formatted, warn_of_later_names

#: Cells that mean missing; case does not matter.
MISSING = ("", "na", "nan")


#: How each separator is called.
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


#: The column of the row names: its name, its position, False for none, None to recognise it.
type Names = str | int | None


@dataclass
class _Body:
    """The lines below the header: the column of names as text, and the numbers of the others."""

    lines: list[int] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    numbers: array[float] = field(default_factory=lambda: array("d"))
    #: Whether the last cell of every line is empty.
    last_empty: bool = True

    @property
    def values(self) -> np.ndarray:
        return np.array(self.numbers).reshape(len(self.lines), -1)


def read_table(
    path: Path, raw: bytes, separator: str | None, names: Names, header: bool | None
) -> tuple[pd.DataFrame, str | None]:
    """Read separated text, and return its table and the column that its row names are from.

    Without a `separator` it is found in the first line; a space stands for any white space.
    """
    text = _decode(path, raw)
    if separator is None:
        separator = _sniffed(text)
    else:
        _refuse_other_separator(path, text, separator)
    records = _records(path, text, separator)
    top = next(records, None)
    if top is None:
        raise ValueError(f"{path} is empty: it holds nothing but blank lines")
    titles = _header(path, top[0], [cell.strip() for cell in top[1]], header)
    body = records if titles else itertools.chain([top], records)
    first = next(body, None)
    if first is None:
        raise ValueError(f"{path} has a header (line {top[0]}) but no line of numbers below it")
    short = titles is not None and len(first[1]) == len(titles) + 1
    if titles is not None and short:
        # Of R, whose header has no corner, or with a separator at the end of the lines below.
        titles = ["", *titles] if first[1][-1].strip() else [*titles, ""]
    place = _place(path, names, titles, len(first[1]))
    order = [place, *(j for j in range(len(first[1])) if j != place)]
    ordered = [titles[j] for j in order] if titles and len(titles) == len(order) else titles
    parsed = _parse(path, top[0], itertools.chain([first], body), ordered, order)
    ordered = _settled(path, ordered, short, parsed)
    if ordered is None and header is None:
        ordered = _numeric_header([top[1][j].strip() for j in order], parsed)
    return _table(path, ordered, names, parsed)


# -- lines and cells --------------------------------------------------------------------------


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every record that is not blank, with the line of the file on which it starts."""
    if separator == " ":
        text = re.sub(r"[ \t]+(?=[\r\n]|$)", "", text)  # would be an empty last cell
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


def _decode(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line} holds the byte {raw[error.start]:#04x}, which is not UTF-8 "
            "text; save the file as UTF-8"
        ) from error


def _first_line(text: str) -> str:
    return text.lstrip("\r\n \t").partition("\n")[0].partition("\r")[0]


def _sniffed(text: str) -> str:
    """Return the separator of the first line: tab, semicolon, comma, or else white space."""
    first = re.sub(r'"[^"]*"', "", _first_line(text))
    return next((separator for separator in "\t;," if separator in first), " ")


def _refuse_other_separator(path: Path, text: str, separator: str) -> None:
    """Raise when the first line is evidently separated by something else."""
    first = text.lstrip("\r\n").partition("\n")[0]
    others = [name for other, name in _SEPARATORS.items() if other != separator and other in first]
    if separator not in first and others:
        raise ValueError(
            f"{path}, line 1 has {others[0]} but no {_SEPARATORS[separator]}; a file with this "
            f"ending is separated by {_SEPARATORS[separator]}. Name it .txt to have the separator "
            "found"
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
    path: Path, line: int, titles: list[str] | None, cells: list[str], order: list[int]
) -> list[float]:
    """Convert cells of one line, the last of those in `order`, which says their columns."""
    with contextlib.suppress(ValueError):  # most lines hold plain numbers, and this is quick
        if "_" not in "".join(cells):
            return list(map(float, cells))
    values = [_number(cell) for cell in cells]
    if None in values:
        where = len(order) - len(cells) + values.index(None)
        text = cells[values.index(None)].strip()
        name = repr(titles[where]) if titles else str(order[where] + 1)
        raise ValueError(
            f"{path}, line {line}, column {name}: {text!r} is not a number. Write a number, or "
            "leave the cell empty if it is missing; row names belong in the first column"
        )
    return values  # type: ignore[return-value]


def _parse(
    path: Path,
    top: int,
    records: Iterator[tuple[int, list[str]]],
    titles: list[str] | None,
    order: list[int],
) -> _Body:
    """Read every line, as wide as `order`; its first entry is the column that may hold names."""
    body, width = _Body(), len(order)
    for line, cells in records:
        if len(cells) != width or (titles is not None and len(titles) != width):
            than = f"line {body.lines[0]} has {width}" if body.lines else None
            than = than or f"line {top} has {len(titles or order)}"
            raise ValueError(f"{path}, line {line} has {len(cells)} cell(s), but {than}")
        body.last_empty = body.last_empty and not cells[-1].strip()
        if order[0]:
            cells = [cells[j] for j in order]  # noqa: PLW2901
        body.lines.append(line)
        body.heads.append(cells[0].strip())
        body.numbers.extend(_numbers(path, line, titles, cells[1:], order))
    return body


# -- header and names -------------------------------------------------------------------------


def _header(path: Path, line: int, cells: list[str], header: bool | None) -> list[str] | None:
    """Return the column names if this first record holds them."""
    empty_corner = len(cells) > 1 and not cells[0]
    numbers_only = all(_number(cell) is not None for cell in cells)
    if header is False or (header is None and numbers_only and not empty_corner):
        return None
    numbers = Counter(cell for cell in cells if cell and _number(cell) is not None)
    twice = [name for name, times in numbers.items() if times > 1]
    if twice:
        raise ValueError(
            f"{path}, line {line}: the column name {twice[0]!r} stands there more than once. If "
            "this line holds data, put a line of column names above it"
        )
    return cells


def _place(path: Path, names: Names, titles: list[str] | None, width: int) -> int:
    """Return the position of the column that may hold names."""
    if names is None or names is False:
        return 0
    if isinstance(names, str):
        if titles is None or names not in titles:
            listed = (
                f"it has {', '.join(map(repr, titles[:20]))}"
                if titles
                else ("its first line holds numbers, unless header=True says that it is a header")
            )
            raise ValueError(f"{path} has no column {names!r} of row names: {listed}")
        return titles.index(names)
    if not 0 <= names < width:
        raise ValueError(f"{path} has {width} columns, so names={names} is none of them")
    return int(names)


def _settled(path: Path, titles: list[str] | None, short: bool, body: _Body) -> list[str] | None:
    """Return the column names, now that all lines are known.

    A header that is one shorter than every line below is that of R, with names below the
    missing corner, or the lines below end in a separator, with nothing behind it.
    """
    if body.last_empty and len(body.numbers) and (titles is None or not titles[-1]):
        body.numbers = array("d", body.values[:, :-1].ravel())
        return titles if titles is None else titles[:-1]
    if not short or titles is None:
        return titles
    texts = sum(_number(head) is None for head in body.heads)
    twice = [head for head, times in Counter(body.heads).items() if times > 1]
    if not texts and twice:
        raise ValueError(
            f"{path}: the header has one cell less than the lines below, as R writes row names, "
            f"but the first cell {twice[0]!r} stands there more than once. Give every column a name"
        )
    return titles if not titles[0] else ["", *titles[:-1]]


def _numeric_header(top: list[str], body: _Body) -> list[str] | None:
    """Take the first of all lines for a header where its numbers stand out; see `is_header`."""
    heads = [_number(head) for head in body.heads]
    values = body.values
    width = values.shape[1]
    if None not in heads and not math.isnan(heads[0]):  # type: ignore[arg-type]
        values = np.column_stack([np.array(heads, float), values])
    if not is_header(values):
        return None
    del body.lines[0], body.heads[0], body.numbers[:width]
    # A missing number in the corner is no name of a column.
    corner = "" if _number(top[0]) is None or math.isnan(_number(top[0]) or 0.0) else top[0]
    return [corner, *top[1 : width + 1]]


def _table(
    path: Path, titles: list[str] | None, names: Names, body: _Body
) -> tuple[pd.DataFrame, str | None]:
    """Decide what the first column holds, and put the table together."""
    values = body.values
    head = None if titles is None else titles[0]
    if _are_names(path, names, titles, body):
        if values.shape[1] == 0:
            raise ValueError(f"{path} holds no numbers: its only column, {head!r}, is text")
        columns = None if titles is None else titles[1:]
        source = f"column {head!r}" if head else "the first column"
        if columns:
            warn_of_later_names(path, columns, values)
        return pd.DataFrame(values, pd.Index(body.heads, name=head or None), columns), source
    first = [
        _numbers(path, line, titles, [head], [0])
        for line, head in zip(body.lines, body.heads, strict=True)
    ]
    return pd.DataFrame(np.hstack([np.array(first), values]), columns=titles), None


def _are_names(path: Path, names: Names, titles: list[str] | None, body: _Body) -> bool:
    """Return whether the first column holds names, or was said to."""
    if names is not None:
        return names is not False
    if titles is not None and len(titles) > 1 and not titles[0]:
        return True
    heads = [_number(head) for head in body.heads]
    texts, filled = heads.count(None), sum(bool(head) for head in body.heads)
    title = None if titles is None else titles[0]
    if titles is not None and 2 * texts >= filled > 0:
        refuse_formatted(path, repr(title), body.heads)
        return True
    if texts or len(body.numbers) == 0:
        return False  # the text among the numbers is refused, with its line
    return are_names(path, title, np.array(heads, float))
