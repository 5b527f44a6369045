"""Reading a data matrix from a file, with one sentence for everything that can be wrong."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data import file_sizes
from bayesnmf.data import parquet as parquet_files
from bayesnmf.data import text as text_files
from bayesnmf.data.array_files import Explained, read_mtx, read_numpy
from bayesnmf.data.text import Names

#: A file is read only while it takes less than this many bytes of memory.
READ_BUDGET = 4 * 2**30


#: Key of ``DataFrame.attrs`` under which :func:`read` says what it took for names.
_NOTE = "bayesnmf_note"


def read(
    path: str | os.PathLike[str],
    *,
    names: Names = None,
    header: bool | None = None,
    budget: int | None = None,
) -> Any:
    r"""Read the data matrix that a file holds.

    The ending of the file's name, in either case, says how it is read:

    - ``csv``, ``tsv``: UTF-8 text separated by commas or tabs; see Notes.
    - ``txt``: the same, separated by tabs, semicolons, commas or white space, whichever the first
      line has, in this order.
    - ``npy``: a NumPy array.
    - ``npz``: a SciPy sparse array as ``scipy.sparse.save_npz`` writes it, or a NumPy archive
      that holds exactly one array.
    - ``mtx``: a Matrix Market file.
    - ``parquet``: a table; its row names are its index or, without one, its first column where
      that holds text, dates, or integers under a header such as ``sample_id``.

    ``csv.gz``, ``tsv.gz``, ``txt.gz`` and ``mtx.gz`` are expanded first.

    Parameters
    ----------
    path : str or path
        The file. Rows are samples and columns are features.
    names : str, int or False, optional
        Column of the row names, by its name or its position (0 is the first); False: none holds
        names. Default: recognised, as Notes say. For text and parquet.
    header : bool, optional
        Whether the first line holds column names. Default: recognised. For text.
    budget : int, optional
        Most bytes of memory that the content may take. Default: :data:`READ_BUDGET`, 4 GiB.

    Returns
    -------
    DataFrame, ndarray or scipy.sparse.csr_array of shape (n_rows, n_columns)
        A labelled float64 table from text, a table from parquet, an array from npy and
        dense npz and mtx, and a sparse array from sparse npz and mtx. :func:`describe` says what
        was taken for names and what for data. Whether the numbers suit a
        model is checked later, by :class:`bayesnmf.data.Matrix`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the ending is not known (the message lists those that are), the file is empty or
        damaged, an npz holds several arrays (it lists them), an array holds pickled Python
        objects, a sparse array is malformed, `names` is no column, the first column holds
        formatted numbers such as ``"1,000"`` or durations, or a text file has a line with too few
        or too many cells, an open quote, or text among its numbers (it names the line, the column
        and the text).
    MemoryError
        When the content would take more memory than `budget`. Sizes are found in headers, before
        anything is expanded.

    Warns
    -----
    UserWarning
        When a column might hold names but is taken for data: its header says so but its numbers
        repeat, or it counts the rows under another header, or it is not the first.

    Notes
    -----
    Rules for text, in this order:

    1. Blank lines are skipped. A cell is missing when it is empty or reads NA or NaN. A last column
       without a name and without a number is a separator at the end of the lines, and is dropped.
    2. The first line holds the column names, unless each of its cells is a number or missing. An
       empty first cell makes the first line a header in any case, because an empty corner is how
       tables with row names are written. Four or more numbers are a header, too, where they
       rise or fall from left to right, as wavelengths do, no other line does, and they are evenly
       spaced, or stand above three lines or more and are outside their range, or eight or more.
    3. The first column holds row names when the header's corner is empty, when at least half
       of its cells are text, or when it holds distinct integers under a header such as ``id``,
       ``sample_id``, ``row`` or ``index``. A header that is one cell shorter than the lines below,
       as R writes it, has no corner, and counts as empty there.
    4. Everything else must be a number.

    A text file is held in memory as a whole while it is read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "counts.csv"
    ...     _ = path.write_text("sample_id,A,B\n1001,3,NA\n1002,0,5\n")
    ...     table = read(path)
    >>> table.index.to_list(), table.columns.to_list(), table.loc["1002", "B"].item()
    (['1001', '1002'], ['A', 'B'], 5.0)
    >>> describe(table)
    "row names: column 'sample_id' (1001, 1002); data: 2 columns (A, B)"
    """
    path = Path(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    reader = READERS.get(_ending(path))
    if reader is None:
        raise ValueError(
            f"{path} has the ending {path.suffix!r}, which is not known; valid endings: "
            f"{', '.join(READERS)}"
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    if names is True or not (names is None or isinstance(names, (str, int, np.integer))):
        raise TypeError(f"names must be a column, its position or False, not {names!r}")
    try:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty")
        return reader(path, names, header, READ_BUDGET if budget is None else budget)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


def describe(table: Any) -> str:
    """Say in one line what :func:`read` took for names and what for data.

    Parameters
    ----------
    table : DataFrame, ndarray or sparse array
        What :func:`read` returned.

    Examples
    --------
    >>> describe(np.ones((2, 3)))
    'row names: none; data: 3 columns, without names'
    """
    known = table.attrs.get(_NOTE) if isinstance(table, pd.DataFrame) else None
    if known is not None:
        return str(known)
    width = table.shape[1] if len(table.shape) == 2 else 0
    return f"row names: none; data: {width} columns, without names"


def _described(table: pd.DataFrame, source: str | None) -> pd.DataFrame:
    """Note in a table which column its row names are from."""
    rows = "none" if source is None else f"{source} ({_few(table.index)})"
    unnamed = isinstance(table.columns, pd.RangeIndex)
    columns = ", without names" if unnamed else f" ({_few(table.columns)})"
    table.attrs[_NOTE] = f"row names: {rows}; data: {table.shape[1]} columns{columns}"
    return table


def _few(labels: pd.Index) -> str:
    """Return the first labels, on one line and not too long."""
    shown = [" ".join(str(label).split())[:30] for label in labels[:3]]
    return ", ".join([*shown, "…"] if len(labels) > 3 else shown)


# -- how each ending is read ------------------------------------------------------------------


#: Reads a file, given the column of the names, whether there is a header, and the budget.
type _Reader = Callable[[Path, Names, bool | None, int], Any]


def _ending(path: Path) -> str:
    """Return the ending of a name in lower case, of two parts where the last is gz."""
    parts = path.name.lower().rsplit(".", 2)[1:]
    return ".".join(parts) if parts[-1:] == ["gz"] else "".join(parts[-1:])


def _read_text(
    path: Path, names: Names, header: bool | None, budget: int, separator: str | None
) -> pd.DataFrame:
    try:
        raw = file_sizes.contents(path, budget)
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gz file: {error}") from error
    return _described(*text_files.read_table(path, raw, separator, names, header))


def _translated(read_file: Callable[[Path, Names, int], Any]) -> _Reader:
    """Make every failure of another library one ``ValueError`` that names the file."""

    def reader(path: Path, names: Names, header: bool | None, budget: int) -> Any:
        try:
            return read_file(path, names, budget)
        except (Explained, file_sizes.TooLarge, file_sizes.Damaged):
            raise
        except Exception as error:
            # NumPy recommends allow_pickle=True here, which would run whatever the file says.
            if "allow_pickle" in str(error):
                raise ValueError(
                    f"{path} is no plain numeric array: it holds pickled Python objects, which "
                    "are not loaded because that could run code, or is damaged"
                ) from error
            reason = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
            raise ValueError(f"{path} cannot be read as {_ending(path)}: {reason}") from error

    return reader


def _read_parquet(path: Path, names: Names, budget: int) -> pd.DataFrame:
    return _described(*parquet_files.read_parquet(path, names, budget))


_SEPARATORS = {"csv": ",", "tsv": "\t", "txt": None}


_TEXT: dict[str, _Reader] = {
    ending: partial(_read_text, separator=separator) for ending, separator in _SEPARATORS.items()
}


_MTX = _translated(read_mtx)


#: How each ending is read.
READERS: dict[str, _Reader] = {
    **_TEXT,
    "npy": _translated(read_numpy),
    "npz": _translated(read_numpy),
    "mtx": _MTX,
    "parquet": _translated(_read_parquet),
    **{f"{ending}.gz": reader for ending, reader in {**_TEXT, "mtx": _MTX}.items()},
}
