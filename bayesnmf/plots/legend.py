"""A legend of components beside the axes, or above them where they are narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayesnmf.plots.canvas import size_of
from bayesnmf.plots.names import shown
from bayesnmf.plots.text_sizes import LINE, escaped, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Size of the text, and what an entry takes beside its text, in points.
SIZE, HANDLE = 8.0, 34.0


#: Share of the width that a legend beside the axes may take, and letters of a name in a narrow figure.
BESIDE, SHORT = 0.3, 10


def add_legend(
    axes: Axes, handles: Sequence[Any], names: Sequence[str], *, upwards: bool = False
) -> None:
    """Explain components.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    handles : sequence of artists
        One a component.
    names : sequence of str
        Their names, as a figure can show them.
    upwards : bool, default False
        Whether the last one is on top beside the axes, as in a stack.
    """
    width, height = (72 * inches for inches in size_of(axes.figure))
    options: dict[str, Any] = {"frameon": False, "fontsize": SIZE}
    entry = HANDLE + _widest(names)
    fits_beside = entry <= BESIDE * width and len(names) * LINE * 1.3 * SIZE <= 0.8 * height
    if fits_beside:
        labels = [escaped(name) for name in names]
        step = -1 if upwards else 1
        options |= {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes.legend(handles[::step], labels[::step], **options)
        return
    if entry > 0.4 * width:
        names = [shown(name, SHORT) for name in names]
        entry = HANDLE + _widest(names)
    n_columns = max(int(0.85 * width // entry), 1)
    labels = [escaped(name) for name in names]
    options |= {"ncols": n_columns, "columnspacing": 1.0, "borderaxespad": 0.2}
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), **options)


def _widest(names: Sequence[str]) -> float:
    return max(width_of(escaped(name), SIZE) for name in names)
