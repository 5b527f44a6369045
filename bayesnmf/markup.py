"""HTML of results, as notebooks show them: short, escaped, with nothing to load."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from html import escape as html_escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Rows of a table that are shown before its middle gives way to dots.
MAX_ROWS = 60


def fragment(
    title: str,
    *parts: str | pd.DataFrame,
    float_format: Callable[[float], str] = "{:.4g}".format,
) -> str:
    """Return a title, paragraphs and tables as one element of HTML.

    It is well-formed XML too. Every text in it is escaped, so that names of rows, columns and
    components are shown and never run.

    Parameters
    ----------
    title : str
        What is shown, usually the name of the class.
    *parts : str or DataFrame
        Paragraphs, in which line breaks stay, and tables; empty ones are left out.
    float_format : callable, default four significant digits
        How numbers of tables are written.

    Returns
    -------
    str

    Examples
    --------
    >>> fragment("Check", "a < b")
    '<div><p><b>Check</b></p><p style="white-space: pre-line">a &lt; b</p></div>'
    """
    pieces = [f"<p><b>{escape(title)}</b></p>"]
    for part in parts:
        if isinstance(part, str):
            text = escape(part)
            pieces += [f'<p style="white-space: pre-line">{text}</p>'] if part else []
        elif not part.empty:
            table = part.to_html(float_format=float_format, max_rows=MAX_ROWS, border=0)
            pieces.append(clean(table))
    return f"<div>{''.join(pieces)}</div>"


def escape(text: str) -> str:
    """Return a text as HTML shows it: no mark-up, and no character that a page may not hold.

    Examples
    --------
    >>> escape("b < c & d")
    'b &lt; c &amp; d'
    """
    return html_escape(clean(text))


def clean(text: str) -> str:
    """Return a text without characters that are forbidden in images and pages.

    Examples
    --------
    >>> clean("bell" + chr(7)) == "bell" + chr(0xFFFD)
    True
    """
    if text.isprintable():  # the usual case, and the quick one
        return text
    return "".join(_allowed(letter) for letter in text)


def _allowed(letter: str) -> str:
    if letter in "\n\t":
        return letter
    return "\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter
