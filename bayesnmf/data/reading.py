"""What the caller says of a data file, where it is not to be recognised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: The column of the row names: its name, its position, False for none, None to recognise it.
type Names = str | int | None


#: A column by its name or its position, or several as "FIRST:LAST".
type Column = str | int


#: Columns that an error lists.
LISTED = 20


class Explained(ValueError):
    """A failure whose message already says what is wrong."""


@dataclass(frozen=True)
class Reading:
    """How a file is to be read; the parameters are those of :func:`bayesnmf.data.files.read`.

    Raises
    ------
    TypeError, ValueError
        For values that make no sense for any file.
    """

    budget: int
    names: Names = None
    header: bool | None = None
    separator: str | None = None
    decimal: str = "."
    columns: Sequence[Column] | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.names is True or not (
            self.names is None or isinstance(self.names, (str, int, np.integer))
        ):
            raise TypeError(f"names must be a column, its position or False, not {self.names!r}")
        if self.decimal not in (".", ","):
            raise ValueError(f"decimal must be '.' or ',', not {self.decimal!r}")
        if self.separator is not None and (len(self.separator) != 1 or self.separator in '"\r\n'):
            raise ValueError(f"separator must be one character, not {self.separator!r}")
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.decimal!r}")
        if isinstance(self.columns, (str, bytes)) or (
            self.columns is not None and not len(self.columns)
        ):
            raise TypeError(f"columns must be a list of columns, not {self.columns!r}")


def chosen_columns(
    path: Path, columns: Sequence[Column], titles: Iterable[Any] | None, width: int
) -> list[int]:
    """Return the positions of columns, in the order that they are asked for.

    Parameters
    ----------
    path : Path
        The file, for errors.
    columns : sequence
        Names and positions (0 is the first). A text of digits that is no name counts columns from 1,
        and ``"FIRST:LAST"`` stands for all columns from the first to the last, both included.
    titles : iterable or None
        Names of all columns.
    width : int
        Number of columns.

    Raises
    ------
    Explained
        When there is no such column, or a column is asked for twice.

    Examples
    --------
    >>> chosen_columns(Path("data.csv"), ["B", "C:4", 0], ["A", "B", "C", "D"], 4)
    [1, 2, 3, 0]
    """
    names = None if titles is None else [str(title) for title in titles]
    found: list[int] = []
    for column in columns:
        ends = _ends(column, names, width)
        if ends is None:
            found.append(_position(path, column, names, width))
            continue
        first, last = (_position(path, end, names, width) for end in ends)
        if last < first:
            raise Explained(f"{path}: column {ends[1]!r} stands before column {ends[0]!r}")
        found.extend(range(first, last + 1))
    if len(set(found)) < len(found):
        twice = next(j for j in found if found.count(j) > 1)
        shown = repr(names[twice]) if names else str(twice + 1)
        raise Explained(f"{path}: column {shown} is asked for twice")
    return found


def _ends(column: Column, names: list[str] | None, width: int) -> tuple[str, str] | None:
    """Return the first and the last of several columns, which a name with a colon does not stand for."""
    if not isinstance(column, str) or _is_column(column, names, width):
        return None
    for place, sign in enumerate(column):
        ends = column[:place].strip(), column[place + 1 :].strip()
        if sign == ":" and all(_is_column(end, names, width) for end in ends):
            return ends
    return None


def _is_column(text: str, names: list[str] | None, width: int) -> bool:
    return text in (names or ()) or (text.isdecimal() and 0 < int(text) <= width)


def _position(path: Path, column: Column, names: list[str] | None, width: int) -> int:
    if isinstance(column, str):
        if names is not None and names.count(column) == 1:
            return names.index(column)
        if names is not None and column in names:
            raise Explained(f"{path} has several columns {column!r}: say their positions")
        if _is_column(column, names, width):
            return int(column) - 1
        listed = f"it has {', '.join(map(repr, names[:LISTED]))}" if names else "it has no names"
        more = ", …" if names and len(names) > LISTED else ""
        raise Explained(f"{path} has no column {column!r}: {listed}{more}")
    if not 0 <= column < width:
        raise Explained(f"{path} has {width} columns, so {column} is the position of none of them")
    return int(column)
