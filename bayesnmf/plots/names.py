"""Names of rows, columns and models, and numbers, as figures and pages can show them."""

from __future__ import annotations

from typing import Any

from bayesnmf.markup import clean

#: Letters of a name that are shown in a figure, and in a table of a page.
IN_FIGURE, IN_TABLE = 24, 40


def shown(name: Any, limit: int = IN_FIGURE) -> str:
    """Return a name in one short line that any font and file can hold.

    The middle of a long name gives way to an ellipsis, because names of one set often begin alike.
    Line breaks become spaces. Control characters and halves of surrogate pairs, which no image or
    page may hold, become U+FFFD.

    Parameters
    ----------
    name : object
        A label of a row, a column or a model.
    limit : int, default 24
        Letters at most, three or more.

    Returns
    -------
    str

    Examples
    --------
    >>> shown("T[C>G]A"), shown("x" * 10_000, 7), shown(f"one{chr(10)}two")
    ('T[C>G]A', 'xxxx…xx', 'one two')
    """
    text = clean(str(name).replace("\n", " ").replace("\t", " ").replace("\r", " "))
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail]}…{text[-tail:] if tail else ''}"


def format_number(value: float) -> str:
    """Write a number without an exponent, to four digits or to the unit.

    Examples
    --------
    >>> format_number(83848.6), format_number(1.23456)
    ('83,849', '1.235')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
