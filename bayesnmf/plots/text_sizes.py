"""Sizes of text, so that labels are chosen that fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bayesnmf.plots.names import shown

#: Height of a line, and the least gap between two labels, in units of the font's size.
LINE, GAP = 1.25, 0.4


#: Family of the labels that are compared with each other letter by letter.
MONOSPACE = "monospace"


@lru_cache(maxsize=2**14)
def width_of(text: str, size: float, family: str = "sans-serif") -> float:
    """Return the width of a text in points, which may hold mathematics between dollar signs.

    Examples
    --------
    >>> bool(width_of("WW", 9.0) > 1.9 * width_of("W", 9.0))
    True
    """
    from matplotlib.cbook import is_math_text
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=family, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, bool(is_math_text(text)))
    return float(width)


def fitting(choices: Sequence[str], inches: float, size: float) -> str:
    """Return the first of some texts that is no wider than the room, else the last one, cut.

    Parameters
    ----------
    choices : sequence of str
        The best text first, and shorter ones after it. None of them is mathematics.
    inches : float
        Width of the room.
    size : float
        Of the font, in points.

    Examples
    --------
    >>> fitting(["a long text", "short"], 0.6, 10)
    'short'
    """
    for text in choices:
        if _plain_width(text, size) <= 72 * inches:
            return text
    last = choices[-1]
    for limit in range(len(last) - 1, 3, -1):
        if _plain_width(shown(last, limit), size) <= 72 * inches:
            return shown(last, limit)
    return shown(last, 3)


def _plain_width(text: str, size: float) -> float:
    return max(width_of(escaped(line), size) for line in text.split("\n"))


def escaped(text: str) -> str:
    r"""Return a text that Matplotlib draws as it is, dollar signs too.

    Examples
    --------
    >>> escaped("$x$")
    '\\$x\\$'
    """
    return text.replace("$", r"\$")
