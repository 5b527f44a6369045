"""Names of rows and columns: what has labels is matched by them, never by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

#: Names that an error lists, before it counts the rest.
LISTED = 3


def is_labelled(table: Any) -> bool:
    """Return whether an argument carries names of its rows or columns."""
    return isinstance(table, (pd.DataFrame, pd.Series, xr.DataArray))


def matched(
    table: Any,
    row_names: pd.Index | None,
    column_names: pd.Index | None,
    what: str,
    *,
    owner: str = "V",
) -> Any:
    """Return the values of a table in the order of some names.

    Parameters
    ----------
    table : DataFrame, Series, DataArray, or anything without labels
        What has no labels is returned as it is, so the caller checks its shape. The single row or
        column of a table that broadcasts is not matched. A series belongs to the rows or the
        columns, by its names.
    row_names, column_names : pandas.Index or None
        Names to match, 0, 1, 2, … where there are none. None: any names, in the order they have.
    what : str
        The table, for errors: "mask", "the sigma of the gaussian likelihood".
    owner : str, default "V"
        What has the names that are matched.

    Returns
    -------
    ndarray, or `table` itself

    Raises
    ------
    ValueError
        When names are missing, unknown or ambiguous; the message lists the first ones.

    Examples
    --------
    >>> table = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], ["a", "b"], ["x", "y"])
    >>> matched(table, pd.Index(["b", "a"]), pd.Index(["x", "y"]), "sigma").tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    if not is_labelled(table):
        return table
    if table.ndim == 1 and row_names is not None and column_names is not None:
        return _line(table, row_names, column_names, what, owner)
    values, indexes = _unwrapped(table, (row_names, column_names))
    if len(indexes) != 2:
        return values
    targets = (("rows", row_names), ("columns", column_names))
    for axis, (names, (word, target)) in enumerate(zip(indexes, targets, strict=True)):
        broadcasts = values.shape[axis] == 1 and target is not None and len(target) > 1
        if not broadcasts:
            order = _order(names, target, word, what, owner)
            values = values if order is None else values.take(order, axis)
    return values


def component_names(table: Any, axis: int) -> pd.Index | None:
    """Return the names that a labelled table has along an axis, or None."""
    if not is_labelled(table) or table.ndim != 2:
        return None
    return _unwrapped(table, (None, None))[1][axis]


def labels_of(names: pd.Index) -> np.ndarray:
    """Return coordinate labels that netCDF can store: numbers, or text."""
    if names.dtype.kind in "iuf":
        return names.to_numpy()
    # The levels of a MultiIndex arrive as tuples.
    parts = (name if isinstance(name, tuple) else (name,) for name in names)
    return np.array([" / ".join(map(str, part)) for part in parts])


def positions(names: pd.Index, wanted: Any, what: str) -> np.ndarray:
    """Return where names stand; names 0, 1, 2, … are positions themselves.

    Raises
    ------
    ValueError
        For names that there are not, or that stand more than once.
    """
    asked = pd.Index(labels_of(pd.Index(np.atleast_1d(np.asarray(wanted)))))
    if not names.is_unique:
        raise ValueError(f"several {what} have the name {_listed(_repeated(names))}")
    found = names.get_indexer(asked)
    if (found < 0).any():
        raise ValueError(f"there are no {what} with the name {_listed(asked[found < 0])}")
    return found


def _unwrapped(
    table: Any, targets: tuple[pd.Index | None, pd.Index | None]
) -> tuple[np.ndarray, tuple[pd.Index | None, ...]]:
    """Return values, and the names of each axis or None."""
    if isinstance(table, xr.DataArray):
        dims = tuple(None if names is None else names.name for names in targets)
        if table.dims == dims[::-1] and table.dims != dims:
            table = table.transpose()  # dimensions have names as well
        return table.to_numpy(), tuple(table.indexes.get(dim) for dim in table.dims)
    if isinstance(table, pd.Series):
        return table.to_numpy(), (table.index,)
    return table.to_numpy(), (table.index, table.columns)


def _line(
    table: Any, row_names: pd.Index, column_names: pd.Index, what: str, owner: str
) -> np.ndarray:
    """Return a labelled vector as a column or a row, by which names it has."""
    values, (names,) = _unwrapped(table, (None, None))
    if names is None:
        return values
    sides = [_same_names(names, target) for target in (row_names, column_names)]
    if all(sides):
        raise ValueError(
            f"{what} has names that the rows and the columns of {owner} both have: give it as an "
            f"array of shape ({len(row_names)}, 1) or (1, {len(column_names)})"
        )
    along_columns = sides[1] or (not sides[0] and len(names) == len(column_names))
    target, word = (column_names, "columns") if along_columns else (row_names, "rows")
    order = _order(names, target, word, what, owner)
    values = values if order is None else values[order]
    return values[None, :] if along_columns else values[:, None]


def _order(
    names: pd.Index | None, target: pd.Index | None, word: str, what: str, owner: str
) -> np.ndarray | None:
    """Return the positions of the target's names in the table; None when they are in order."""
    if names is None or target is None or names.equals(target):
        return None
    if _is_default(names) and _is_default(target):
        return None  # neither has names: the caller looks at the shape
    hint = f"Give both the same names, or pass {what} as an array, which is taken by position"
    if _is_default(target):
        raise ValueError(
            f"the {word} of {what} have names ({_listed(names)}), but those of {owner} have none. "
            f"{hint}"
        )
    if _is_default(names):
        raise ValueError(
            f"the {word} of {what} have no names, but those of {owner} have ({_listed(target)}). "
            f"{hint}"
        )
    given, wanted = pd.Index(labels_of(names)), pd.Index(labels_of(target))
    if given.equals(wanted):
        return None
    _refuse_other_names(given, wanted, word, what, owner, hint)
    if not (given.is_unique and wanted.is_unique):
        twice = _repeated(wanted if given.is_unique else given)
        raise ValueError(
            f"the {word} of {what} are in another order than those of {owner}, and cannot be matched "
            f"because a name occurs more than once: {_listed(twice)}. Make names unique, or pass "
            f"{what} as an array, which is taken by position"
        )
    return given.get_indexer(wanted)


def _refuse_other_names(
    given: pd.Index, wanted: pd.Index, word: str, what: str, owner: str, hint: str
) -> None:
    """Raise ``ValueError`` unless the names are the same in some order."""
    unknown, missing = given[~given.isin(wanted)], wanted[~wanted.isin(given)]
    parts = [
        *([f"{_listed(unknown)} not in {owner}"] if len(unknown) else []),
        *([f"{_listed(missing)} of {owner} missing"] if len(missing) else []),
    ]
    if parts:
        raise ValueError(
            f"the {word} of {what} have other names than those of {owner}: {', '.join(parts)}. {hint}"
        )


def _same_names(names: pd.Index, target: pd.Index) -> bool:
    if len(names) != len(target):
        return False
    given, wanted = pd.Index(labels_of(names)), pd.Index(labels_of(target))
    return bool(given.isin(wanted).all() and wanted.isin(given).all())


def _is_default(names: pd.Index) -> bool:
    """Return whether names are 0, 1, 2, …, which containers without names have."""
    return names.nlevels == 1 and names.equals(pd.RangeIndex(len(names)))


def _repeated(names: pd.Index) -> pd.Index:
    return names[names.duplicated()].unique()


def _listed(names: pd.Index) -> str:
    """Write the first names, and count the others."""
    shown = [repr(x.item() if isinstance(x, np.generic) else x) for x in names[:LISTED]]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(shown) + more
