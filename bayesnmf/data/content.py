"""What a file held: told in one line, with some of its columns, or with rows and columns swapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayesnmf.data.annotated import is_annotated
from bayesnmf.data.reading import Column, chosen_columns
from bayesnmf.data.sparse import SparseMatrix

#: Key of ``DataFrame.attrs`` under which a table says what its row names are from.
_NOTE = "bayesnmf_note"


def with_columns(path: Path, table: Any, columns: Sequence[Column]) -> Any:
    """Return some columns of what was read."""
    if isinstance(table, SparseMatrix):
        places = chosen_columns(path, columns, table.column_names, table.n_columns)
        names = {"rows": table.row_names, "columns": table.column_names[places]}
        return SparseMatrix.of(table.all_cells()[:, places], **names)
    titles = getattr(table, "var_names", getattr(table, "columns", None))
    places = chosen_columns(path, columns, titles, table.shape[1])
    if isinstance(table, pd.DataFrame):
        part = table.iloc[:, places]
        return noted(part, None if _NOTE not in table.attrs else table.attrs[_NOTE][0])
    return table[:, places].copy()  # a part of an AnnData would be a view


def transposed(table: Any) -> Any:
    """Return what :func:`read` returned with rows and columns swapped."""
    if isinstance(table, SparseMatrix):
        names = {"rows": table.column_names, "columns": table.row_names}
        return SparseMatrix.of(table.all_cells().T, **names)
    if isinstance(table, pd.DataFrame):
        swapped = table.T
        return noted(swapped, "the header" if _is_named(swapped.index) else None)
    return table.T.tocsr() if hasattr(table, "tocsr") else table.T


def describe(table: Any) -> str:
    """Say in one line what :func:`read` took for names and what for data.

    Parameters
    ----------
    table : DataFrame, ndarray, sparse array, SparseMatrix or AnnData
        What :func:`read` returned.

    Examples
    --------
    >>> describe(pd.DataFrame([[3, 1]], ["s1"], ["A", "B"]))
    'row names: the index (s1); data: 2 columns (A, B)'
    """
    if isinstance(table, pd.DataFrame):
        rows, columns = table.index, table.columns
        source = table.attrs.get(_NOTE, ("the index",))[0]
    elif isinstance(table, SparseMatrix):
        rows, columns = table.row_names, table.column_names
        source = table.row_names.name or "given"
    elif is_annotated(table):
        rows, columns, source = table.obs_names, table.var_names, "obs_names"
    else:
        width = table.shape[1] if len(table.shape) == 2 else 0
        return f"row names: none; data: {width} columns, without names"
    named = f"{source} ({_few(rows)})" if _is_named(rows) and source else "none"
    titles = f" ({_few(columns)})" if _is_named(columns) else ", without names"
    return f"row names: {named}; data: {len(columns)} columns{titles}"


def _is_named(labels: pd.Index) -> bool:
    return not isinstance(labels, pd.RangeIndex)


def noted(table: pd.DataFrame, source: str | None) -> pd.DataFrame:
    """Note in a table which column its row names are from."""
    table.attrs[_NOTE] = (source,)
    return table


def _few(labels: pd.Index) -> str:
    """Return the first labels, on one line and not too long."""
    shown = [" ".join(str(label).split())[:30] for label in labels[:3]]
    return ", ".join([*shown, "…"] if len(labels) > 3 else shown)
