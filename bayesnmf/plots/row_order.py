"""The order of rows in a figure, and their places on an axis of names, numbers or dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from bayesnmf.data.labels import is_labelled, labels_of, matched, positions
from bayesnmf.plots.dates import dates_in, without_midnight
from bayesnmf.plots.names import shown


@dataclass(frozen=True)
class RowOrder:
    """Rows in the order in which they are drawn.

    Parameters
    ----------
    rows : ndarray of int
        Positions of the rows in V.
    names : ndarray
        Their names.
    values : ndarray, or None
        Their numbers or dates; None where rows have names only.
    scale : {"names", "numbers", "dates"}, default "names"
        What the values are.
    given : bool, default False
        Whether the values were given, or were found in the names.
    title : str, default "row"
        What the values are called.
    """

    rows: np.ndarray
    names: np.ndarray
    values: np.ndarray | None = None
    scale: Literal["names", "numbers", "dates"] = "names"
    given: bool = False
    title: str = "row"

    @classmethod
    def of(cls, names: np.ndarray, order: Any, shares: np.ndarray) -> Self:
        """Return the order that is asked for.

        Parameters
        ----------
        names : ndarray of shape (n_rows,)
        order : None, "largest", or array
            See :func:`bayesnmf.plots.loadings`.
        shares : ndarray of shape (n_rows, n_components)
            Share of each component in each row, for "largest".

        Raises
        ------
        ValueError
            For names that are not those of rows, for values that are not one a row, or not finite.
        """
        if order is None:
            return cls._by_names(np.arange(len(names)), names)
        if isinstance(order, str):
            if order != "largest":
                raise ValueError(
                    f"unknown order {order!r}; valid: None, 'largest', names of rows, or a number or "
                    "date of each row"
                )
            rows = _by_largest(shares)
            return cls(rows, without_midnight(names)[rows])
        values = _values_of(order, names)
        if values.dtype.kind == "U" and set(values) <= set(map(str, names)):
            _refuse_repeated(values)
            rows = positions(pd.Index(names).map(str), values, "rows")
            return cls._by_names(rows, names[rows])
        return cls._by_values(values, names, shown(getattr(order, "name", None) or ""))

    @classmethod
    def _by_names(cls, rows: np.ndarray, names: np.ndarray) -> Self:
        """Order rows by the dates or numbers that their names are, else as they are."""
        if dates := dates_in(names):
            values, in_utc = dates
            names = without_midnight(names)
            return cls(rows, names, values, "dates", title=_title(in_utc))._sorted()
        if names.dtype.kind in "iuf":
            result = cls(rows, names, names, "numbers")
            # Integers may be mere labels, so that they keep their order.
            return result._sorted() if names.dtype.kind == "f" else result
        return cls(rows, names)

    @classmethod
    def _by_values(cls, values: np.ndarray, names: np.ndarray, title: str) -> Self:
        dates = dates_in(values)
        if dates is None and values.dtype.kind not in "iuf":
            unknown = next((x for x in values if x not in set(map(str, names))), values[:1])
            raise ValueError(
                f"order has {str(unknown)!r}, which is neither the name of a row, nor a number, nor a "
                "date such as 2024-03-31"
            )
        if len(values) != len(names):
            raise ValueError(
                f"order has {len(values)} values for {len(names)} rows: give one number or date a row"
            )
        if dates is not None:
            values, in_utc = dates
            title = title or _title(in_utc)
            return cls(np.arange(len(names)), names, values, "dates", True, title)._sorted()
        if not np.isfinite(values).all():
            raise ValueError(
                f"order has no number for row {str(names[~np.isfinite(values)][0])!r}: give each row one"
            )
        return cls(np.arange(len(names)), names, values, "numbers", True, title or "row")._sorted()

    @property
    def continuous(self) -> bool:
        """Whether rows lie plainly on a line: of dates, of fractional numbers, of values that were given."""
        if self.values is None or len(np.unique(self.values)) < max(len(self.values), 2):
            return False
        return self.given or self.scale == "dates" or self.values.dtype.kind == "f"

    def _sorted(self) -> Self:
        assert self.values is not None
        order = np.argsort(self.values, kind="stable")
        return type(self)(
            self.rows[order],
            self.names[order],
            self.values[order],
            self.scale,
            self.given,
            self.title,
        )

    def on_a_line(self) -> Self:
        """Return the order for lines, where integers are numbers too."""
        return self if self.values is None else self._sorted()


def _title(in_utc: bool) -> str:
    """Return what an axis of dates says below them: nothing, where that is plain."""
    return "time in UTC" if in_utc else ""


def _refuse_repeated(values: np.ndarray) -> None:
    found, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"order has row {str(found[counts > 1][0])!r} more than once")


def _by_largest(shares: np.ndarray) -> np.ndarray:
    """Group rows by their largest component; within a group its share falls."""
    largest = shares.argmax(axis=1)
    return np.lexsort((-shares.max(axis=1), largest))


def _values_of(order: Any, names: np.ndarray) -> np.ndarray:
    """Return numbers or text, one a row; those with labels are matched with the rows by name."""
    if is_labelled(order):
        if order.ndim != 1:
            raise ValueError(f"order must have one dimension, not {order.ndim}")
        table = pd.DataFrame({"order": order.to_series() if hasattr(order, "dims") else order})
        order = matched(table, pd.Index(names), None, "order")[:, 0]
    elif np.ndim(order) != 1:
        raise ValueError(f"order must have one dimension, not {np.ndim(order)}")
    return labels_of(pd.Index(order))
