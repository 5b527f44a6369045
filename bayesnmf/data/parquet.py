"""Reading a table of numbers from a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data.file_sizes import Damaged, require_parquet, require_size
from bayesnmf.data.reading import Names, Reading
from bayesnmf.data.row_names import are_names, refuse_formatted, warn_of_later_names


def read_parquet(path: Path, asked: Reading) -> tuple[pd.DataFrame, str | None]:
    """Read a table, and return it and the column that its row names are from; None: none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, budget = asked.names, asked.budget
    # An open file, since pyarrow takes the name of a folder for a data set of many files.
    with path.open("rb") as file:
        parquet = pq.ParquetFile(file)
        require_parquet(path, parquet.metadata, budget)
        schema = parquet.schema_arrow
        for field in schema:
            if pa.types.is_nested(field.type):
                raise Damaged(f"{path}: column {field.name!r} holds {field.type}, not numbers")
        text = [field.name for field in schema if _is_text(field.type)]
        # Text stays coded: a long text that stands in every row would take gigabytes.
        frame = pq.ParquetFile(file, read_dictionary=text).read().to_pandas()
    named = not (isinstance(frame.index, pd.RangeIndex) and frame.index.equals(_numbered(frame)))
    if named and names is None:
        frame.index = _expanded(path, frame.index, "the index", budget)
        return frame, "the index of the table"
    if named:
        frame = frame.reset_index()  # its columns can be chosen like any other
    column = _column_of_names(path, frame, names)
    if column is None:
        return frame, None
    index = _expanded(path, pd.Index(frame[column], name=column), repr(column), budget)
    frame = frame.drop(columns=column).set_axis(index)
    numbers = frame.select_dtypes("number")
    warn_of_later_names(
        path, list(map(str, numbers.columns)), numbers.to_numpy(float, na_value=np.nan)
    )
    return frame, f"column {column!r}"


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _numbered(frame: pd.DataFrame) -> pd.RangeIndex:
    return pd.RangeIndex(len(frame))


def _column_of_names(path: Path, frame: pd.DataFrame, names: Names) -> Any:
    """Return the column that holds row names, or None."""
    if names is None:
        several = frame.shape[1] > 1
        return frame.columns[0] if several and _first_holds_names(path, frame) else None
    if names is False:
        return None
    if isinstance(names, str):
        if names not in frame.columns:
            listed = ", ".join(repr(column) for column in frame.columns[:20])
            raise Damaged(f"{path} has no column {names!r} of row names: it has {listed}")
        return names
    if not 0 <= names < frame.shape[1]:
        raise Damaged(f"{path} has {frame.shape[1]} columns, so names={names} is none of them")
    return frame.columns[names]


def _first_holds_names(path: Path, frame: pd.DataFrame) -> bool:
    first, header = frame.iloc[:, 0], frame.columns[0]
    if pd.api.types.is_timedelta64_dtype(first.dtype):
        raise Damaged(
            f"{path}: column {header!r} holds durations. If they are data, convert them to numbers "
            f"of one unit; if they are names of rows, say names={header!r} (--names in the shell)"
        )
    if pd.api.types.is_numeric_dtype(first.dtype) and not pd.api.types.is_bool_dtype(first.dtype):
        return are_names(path, str(header), first.to_numpy(float, na_value=np.nan))
    if isinstance(first.dtype, pd.CategoricalDtype):
        refuse_formatted(path, repr(header), [str(text) for text in first.cat.categories[:1000]])
    # Numbers may stand there as objects, exact or with gaps.
    numbers = ("boolean", "decimal", "integer", "floating", "mixed-integer-float", "empty")
    return pd.api.types.infer_dtype(first, skipna=True) not in numbers


def _expanded(path: Path, index: pd.Index, name: str, budget: int) -> pd.Index:
    """Return names as plain text, within the budget."""
    if isinstance(index, pd.MultiIndex):
        return index
    if not isinstance(index.dtype, pd.CategoricalDtype):
        return index
    assert isinstance(index, pd.CategoricalIndex)
    texts = []
    for text in index.categories:
        try:
            texts.append(text.decode() if isinstance(text, bytes) else text)
        except UnicodeDecodeError:
            raise Damaged(
                f"{path}: {name} holds bytes that are not UTF-8 text, such as {text[:20]!r}, so it "
                "cannot be row names"
            ) from None
    sizes = np.array([len(str(text)) for text in texts], dtype=np.int64)
    codes = index.codes[index.codes >= 0]
    require_size(path, int(sizes[codes].sum()) if len(sizes) else 0, budget)
    return index.rename_categories(texts).astype(pd.Series(texts).dtype)
