"""Sentences that name a cell, a row or a column of bad data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def describe_cell(
    names: tuple[pd.Index, pd.Index],
    row: int,
    column: int,
    value: float,
    more: int,
    what: str,
    hint: str,
) -> str:
    """Say what is wrong with one cell, how many others share it, and a hint."""
    parts = [
        f"{word} {label(index, i)}"
        for word, index, i in zip(("row", "column"), names, (row, column), strict=True)
        if not index.equals(pd.RangeIndex(len(index)))  # the default says nothing new
    ]
    named = f" ({', '.join(parts)})" if parts else ""
    others = f" (and {more} more)" if more else ""
    return f"V[{row}, {column}] = {value:g}{named} {what}{others}. {hint}."


def label(names: Any, position: int) -> str:
    """Return one label as a reader would write it, without its NumPy type, and not too long."""
    label = names[position]
    return shown(label.item() if isinstance(label, np.generic) else label)


def shown(value: Any) -> str:
    """Return what a cell or a label holds in one line that is not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def refuse_unobserved(observed: np.ndarray, names: pd.Index, word: str) -> None:
    """Raise ``ValueError`` naming the first row or column of which no cell is observed.

    Parameters
    ----------
    observed : ndarray of bool
        For each row, or each column, whether any of its cells is observed.
    names : pandas.Index
        Their names.
    word : str
        "row" or "column".
    """
    empty = np.flatnonzero(~observed)
    if empty.size:
        others = f" (and {empty.size - 1} more)" if empty.size > 1 else ""
        raise ValueError(
            f"{word} {label(names, empty[0])} has no observed cell{others}: nothing can be learned "
            f"about it. Drop that {word}."
        )
