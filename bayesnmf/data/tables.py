"""Tables of Polars and PyArrow as labelled frames, recognised without importing either package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data.row_names import is_word


def is_table(V: Any) -> bool:
    """Return whether an object is a table of Polars or PyArrow.

    Examples
    --------
    >>> import pyarrow
    >>> is_table(pyarrow.table({"x": [1.0]})), is_table(np.ones((1, 1)))
    (True, False)
    """
    return _package(V) in ("polars", "pyarrow") and hasattr(type(V), "columns")


def as_frame(V: Any) -> pd.DataFrame:
    """Return a table of Polars or PyArrow as a DataFrame with the row names that it holds.

    These tables have no index. The first column holds row names when it holds text or dates, or
    distinct integers under a header such as ``sample_id``. A null is a missing cell.

    Raises
    ------
    TypeError
        For a LazyFrame, whose numbers are not computed yet.

    Examples
    --------
    >>> import pyarrow
    >>> table = pyarrow.table({"gene": ["TP53", "KRAS"], "A": [1, None], "B": [2, 3]})
    >>> as_frame(table).index.to_list()
    ['TP53', 'KRAS']
    """
    if hasattr(V, "collect") and hasattr(V, "lazy"):
        raise TypeError("V is a polars.LazyFrame, which holds no numbers yet: give V.collect()")
    if _package(V) == "polars":
        frame = pd.DataFrame({name: V[name].to_numpy() for name in V.columns}, columns=V.columns)
    else:
        frame = V.to_pandas()
    unnamed = isinstance(frame.index, pd.RangeIndex)
    if unnamed and frame.shape[1] > 1 and _are_names(frame.iloc[:, 0]):
        frame = frame.set_index(frame.columns[0])
    return frame


def _package(V: Any) -> str:
    return type(V).__module__.partition(".")[0]


def _are_names(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.infer_dtype(column) == "decimal":
        return False
    if not pd.api.types.is_numeric_dtype(column.dtype):
        # A column of nothing, or of numbers as objects, holds no text.
        return not column.map(lambda x: isinstance(x, (int, float, type(None)))).all()
    values = column.to_numpy(float, na_value=np.nan)
    whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    return is_word(str(column.name)) and whole and column.is_unique
