"""Figures that need no display: imported where one is drawn, since it imports Matplotlib.

Pyplot is not involved. It would open windows where there is a screen, choose a backend for the whole
process, and keep every figure alive until it is closed.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A Matplotlib figure that notebooks show when it is the last line of a cell.

    Notebooks show figures of pyplot only; this one draws itself.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, laid out by constraints.

    Examples
    --------
    >>> new_figure(6, 3).get_size_inches().tolist()
    [6.0, 3.0]
    """
    return NotebookFigure(figsize=(width, height), layout="constrained")
