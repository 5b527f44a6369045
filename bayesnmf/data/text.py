"""Reading a table of numbers from separated text: header, names and numbers."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from bayesnmf.data.reading import Names, Reading, chosen_columns
from bayesnmf.data.row_names import (
    are_names,
    is_header,
    is_word,
    refuse_formatted,
    warn_of_later_names,
)
from bayesnmf.data.text_body import Body, as_number, as_numbers, read_body
from bayesnmf.data.text_lines import Separated


def read_table(
    path: Path, raw: bytes, separator: str | None, asked: Reading
) -> tuple[pd.DataFrame, str | None]:
    """Read separated text, and return its table and the column that its row names are from.

    Without a `separator` it is found in the first line; a space stands for any white space.
    """
    source = Separated.of(path, raw, separator, asked.decimal)
    records = source.records()
    top = next(records, None)
    if top is None:
        raise ValueError(f"{path} is empty: it holds nothing but blank lines")
    line, cells = top[0], [cell.strip() for cell in top[1]]
    titles = _header(path, line, cells, asked.header)
    first = next(records, None) if titles else top
    if first is None:
        raise ValueError(f"{path} has a header (line {line}) but no line of numbers below it")
    width = len(first[1])
    short = titles is not None and width == len(titles) + 1
    if titles is not None and short:
        # Of R, whose header has no corner, or with a separator at the end of the lines below.
        titles = ["", *titles] if first[1][-1].strip() else [*titles, ""]
    order, names = _order(path, asked, titles, width)
    ordered = [titles[j] for j in order] if titles and len(titles) == width else titles
    body = read_body(source, line, first[0], ordered, order, width)
    if asked.columns is None:
        ordered, body = _settled(path, ordered, short, body)
    # The first column may have been read only because it might hold names.
    unasked = asked.columns is not None and names is None
    if ordered is None and asked.header is None:
        ordered, body = _numeric_header([cells[j] for j in order], body, unasked)
    if unasked:
        names = 0 if _are_plainly_names(ordered, body) else False
        if names is False:
            return pd.DataFrame(body.values, columns=ordered and ordered[1:]), None
    return _table(path, ordered, names, body)


def _order(
    path: Path, asked: Reading, titles: list[str] | None, width: int
) -> tuple[list[int], Names]:
    """Return the columns to read, first the one that may hold names, and what is said of it."""
    place = _place(path, asked.names, titles, width)
    if asked.columns is None:
        return [place, *(j for j in range(width) if j != place)], asked.names
    if titles is not None and len(titles) != width:
        raise ValueError(
            f"{path}: the header has {len(titles)} cells, but the lines below have {width}"
        )
    data = chosen_columns(path, asked.columns, titles, width)
    if asked.names is False or (asked.names is None and place in data):
        return data, False
    return [place, *(j for j in data if j != place)], asked.names


def _header(path: Path, line: int, cells: list[str], header: bool | None) -> list[str] | None:
    """Return the column names if this first record holds them."""
    empty_corner = len(cells) > 1 and not cells[0]
    numbers_only = all(as_number(cell) is not None for cell in cells)
    if header is False or (header is None and numbers_only and not empty_corner):
        return None
    numbers = Counter(cell for cell in cells if cell and as_number(cell) is not None)
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


def _settled(
    path: Path, titles: list[str] | None, short: bool, body: Body
) -> tuple[list[str] | None, Body]:
    """Return the column names and the body, now that all lines are known.

    A header that is one shorter than every line below is that of R, with names below the
    missing corner, or the lines below end in a separator, with nothing behind it.
    """
    if body.last_empty and body.values.size and (titles is None or not titles[-1]):
        return titles if titles is None else titles[:-1], body.without_last_column()
    if not short or titles is None:
        return titles, body
    texts = sum(as_number(head) is None for head in body.heads)
    twice = [head for head, times in Counter(body.heads).items() if times > 1]
    if not texts and twice:
        raise ValueError(
            f"{path}: the header has one cell less than the lines below, as R writes row names, "
            f"but the first cell {twice[0]!r} stands there more than once. Give every column a name"
        )
    return titles if not titles[0] else ["", *titles[:-1]], body


def _numeric_header(top: list[str], body: Body, unasked: bool) -> tuple[list[str] | None, Body]:
    """Take the first of all lines for a header where its numbers stand out; see `is_header`.

    The first column is not looked at where it is `unasked` for.
    """
    heads = [as_number(head) for head in body.heads]
    values = body.values
    width = values.shape[1]
    if not unasked and None not in heads and not math.isnan(heads[0]):  # type: ignore[arg-type]
        values = np.column_stack([np.array(heads, float), values])
    if not is_header(values):
        return None, body
    # A missing number in the corner is no name of a column.
    corner = "" if as_number(top[0]) is None or math.isnan(as_number(top[0]) or 0.0) else top[0]
    return [corner, *top[1 : width + 1]], body.without_first_record()


def _table(
    path: Path, titles: list[str] | None, names: Names, body: Body
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
    first = [as_number(head) for head in body.heads]
    if None in first:
        i = first.index(None)
        as_numbers(path, body.line(i), titles, [body.heads[i]], [0])  # raises
    table = np.column_stack([np.array(first, float), values])
    return pd.DataFrame(table, columns=titles), None


def _are_plainly_names(titles: list[str] | None, body: Body) -> bool:
    """Return whether a first column, which is no data, holds names."""
    if titles is None:
        return False
    heads = [as_number(head) for head in body.heads]
    texts = heads.count(None)
    if not titles[0] or 2 * texts >= sum(bool(head) for head in body.heads) > 0:
        return True
    distinct = len(set(body.heads)) == len(heads)
    return distinct and not texts and is_word(titles[0])


def _are_names(path: Path, names: Names, titles: list[str] | None, body: Body) -> bool:
    """Return whether the first column holds names, or was said to."""
    if names is not None:
        return names is not False
    if titles is not None and len(titles) > 1 and not titles[0]:
        return True
    heads = [as_number(head) for head in body.heads]
    texts, filled = heads.count(None), sum(bool(head) for head in body.heads)
    title = None if titles is None else titles[0]
    if titles is not None and 2 * texts >= filled > 0:
        refuse_formatted(path, repr(title), body.heads)
        return True
    if texts or body.values.size == 0:
        return False  # the text among the numbers is refused, with its line
    return are_names(path, title, np.array(heads, float))
