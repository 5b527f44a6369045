"""Ticks whose labels never touch, whatever the size of the axes when they are drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FixedLocator, Formatter, Locator, MaxNLocator

from bayesnmf.plots.names import IN_FIGURE, shown
from bayesnmf.plots.text_sizes import GAP, LINE, MONOSPACE, escaped, width_of

if TYPE_CHECKING:
    from matplotlib.axis import Axis


#: Sizes of the labels of names in points: the smallest that can be read, and the usual one.
SMALLEST, USUAL = 6.0, 9.0


#: Size of the labels of numbers and dates.
NUMBERS = 8.0


#: Round steps between numbers, up to powers of ten.
STEPS = [1, 2, 2.5, 5, 10]


class SpacedLocator(Locator):
    """Ticks of the first of some locators whose labels do not touch.

    The room is measured whenever the axes are drawn, so it holds for every size of the figure.

    Parameters
    ----------
    choices : sequence of matplotlib.ticker.Locator
        From many ticks to few.
    size : float
        Of the font, in points.
    upwards : bool, default False
        Whether labels are written along the other direction than the axis, as those of a y-axis are.
    family : str, default "sans-serif"
        Of the font.
    """

    def __init__(
        self,
        choices: Sequence[Locator],
        size: float,
        upwards: bool = False,
        family: str = "sans-serif",
    ) -> None:
        self.choices, self.size, self.upwards, self.family = choices, size, upwards, family

    def set_axis(self, axis: Any) -> None:
        """Belong to an axis, with all choices."""
        super().set_axis(axis)
        for locator in self.choices:
            locator.set_axis(axis)

    def __call__(self) -> Any:
        """Return the places of the ticks."""
        places: Any = []
        for locator in self.choices:
            places = locator()
            if self._fit(self._seen(places)):
                return places
        return self._seen(places)[:1]

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the places of the fewest ticks of an interval."""
        return self.choices[-1].tick_values(vmin, vmax)

    def _seen(self, places: Any) -> np.ndarray:
        """Return the places that are within the axes."""
        axis: Any = self.axis
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        found = np.asarray(places, float)
        return found[(found >= low - slack) & (found <= high + slack)]

    def _fit(self, places: np.ndarray) -> bool:
        """Return whether the labels at some places have a gap between them."""
        axis: Any = self.axis
        if len(places) < 2:
            return True
        middles, order = self._in_points(places)
        if self.upwards:
            return bool(np.diff(middles).min() >= LINE * self.size)
        labels = [axis.get_major_formatter().format_ticks(list(places))[i] for i in order]
        widths = np.array([width_of(text, self.size, self.family) for text in labels])
        between = np.diff(middles) - (widths[1:] + widths[:-1]) / 2
        return bool(between.min() >= GAP * self.size)

    def _in_points(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where places are along the axis, in order, in points."""
        axis: Any = self.axis
        axes, along_x = axis.axes, axis.axis_name == "x"
        zeros = np.zeros(len(places))
        if along_x:
            found = axes.get_xaxis_transform().transform(np.column_stack([places, zeros]))[:, 0]
        else:
            found = axes.get_yaxis_transform().transform(np.column_stack([zeros, places]))[:, 1]
        order = np.argsort(found)
        return 72 * found[order] / axes.figure.dpi, order


class NameFormatter(Formatter):
    """Names at the places 0, 1, 2, …, and nothing between them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the name at a place."""
        place = round(x)
        inside = 0 <= place < len(self.names) and abs(x - place) < 1e-6
        return self.names[place] if inside else ""


def name_ticks(
    axis: Axis,
    names: Collection[Any],
    room: float,
    *,
    steps: Sequence[int] | None = None,
    depth: float = np.inf,
) -> None:
    """Label the places 0, 1, 2, … of an axis with names, or with as many of them as have room.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        An x-axis, whose names are written upwards unless they are short, or a y-axis.
    names : collection
    room : float
        Expected length of the axis in inches, which chooses size and direction of the labels.
    steps : sequence of int, optional
        Which names are shown: every one, every second … None: as few left out as possible.
    depth : float, optional
        Inches that a label may be deep, measured away from the axis.

    Examples
    --------
    >>> from bayesnmf.plots.canvas import axes_for
    >>> axes = axes_for(None, 3, 2)
    >>> bars = axes.bar(range(200), np.ones(200))
    >>> name_ticks(axes.xaxis, [f"gene {j}" for j in range(200)], 3)
    >>> len(axes.get_xticklabels()) < 30
    True
    """
    n_names = len(names)
    spacing = 72 * room / max(n_names, 1)
    size = float(np.clip(spacing / LINE, SMALLEST, USUAL))
    letters = int(np.clip(72 * depth / (0.62 * size), 3, IN_FIGURE))
    labels = [escaped(shown(name, letters)) for name in names]
    along = _is_x(axis) and _widest(labels) + GAP * USUAL <= spacing
    upwards, size = not along, USUAL if along else size
    steps = _steps(n_names) if steps is None else steps
    choices = [FixedLocator(range(0, n_names, step)) for step in steps]
    axis.set_major_formatter(NameFormatter(labels))
    axis.set_major_locator(SpacedLocator(choices, size, upwards, MONOSPACE))
    # Equally wide letters make near-equal names such as T[C>G]A and T[C>G]T comparable.
    axis.set_tick_params(labelsize=size, labelfontfamily=MONOSPACE, length=0)
    if _is_x(axis):
        axis.set_tick_params(labelrotation=90 if upwards else 0)


def _is_x(axis: Any) -> bool:
    return axis.axis_name == "x"


def _widest(labels: Sequence[str]) -> float:
    """Return the width in points of the longest label."""
    return width_of(max(labels, key=len, default=""), USUAL, MONOSPACE)


def _steps(n_names: int) -> list[int]:
    """Return how many names to go on from one label to the next: from 1 up, more coarsely at last."""
    steps = {*range(1, min(n_names, 10) + 1), *(round(10 * 1.2**i) for i in range(64))}
    return sorted(step for step in steps if step <= max(n_names, 1))


def number_ticks(axis: Axis, *, integer: bool = False, most: int = 6) -> None:
    """Label an axis with round numbers that have room.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    integer : bool, default False
        Whether only whole numbers are labelled.
    most : int, default 6
        Intervals between labels at most.
    """
    options: dict[str, Any] = {"steps": STEPS, "integer": integer, "min_n_ticks": 1}
    choices = [MaxNLocator(n, **options) for n in range(most, 0, -1)]
    axis.set_major_locator(SpacedLocator(choices, NUMBERS, upwards=not _is_x(axis)))
    axis.set_tick_params(labelsize=NUMBERS)


def date_ticks(axis: Axis) -> None:
    """Label an axis of dates with years, months, days or times that have room."""
    choices = [AutoDateLocator(minticks=1, maxticks=n) for n in range(9, 0, -1)]
    axis.set_major_formatter(ConciseDateFormatter(choices[0]))
    axis.set_major_locator(SpacedLocator(choices, NUMBERS))
    axis.set_tick_params(labelsize=NUMBERS)
    axis.get_offset_text().set_fontsize(NUMBERS)
