"""Reading a data matrix from a file, with one sentence for everything that can be wrong."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bayesnmf.data import file_sizes
from bayesnmf.data import parquet as parquet_files
from bayesnmf.data import text as text_files
from bayesnmf.data.array_files import read_mtx, read_numpy
from bayesnmf.data.content import describe, noted, transposed, with_columns
from bayesnmf.data.h5ad import read_h5ad
from bayesnmf.data.reading import Column, Explained, Names, Reading

__all__ = ["READERS", "READ_BUDGET", "describe", "read"]

#: A file is read only while it takes less than this many bytes of memory.
READ_BUDGET = 4 * 2**30


def read(
    path: str | os.PathLike[str],
    *,
    names: Names = None,
    header: bool | None = None,
    separator: str | None = None,
    decimal: str = ".",
    columns: Sequence[Column] | None = None,
    layer: str | None = None,
    transpose: bool = False,
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
    - ``mtx``: a Matrix Market file. Names are read from ``barcodes.tsv`` and ``features.tsv`` (or
      ``genes.tsv``, each also with ``.gz``) beside it; barcodes become rows.
    - ``h5ad``: an AnnData, by the package ``anndata``.
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
    separator : str, optional
        What separates the cells, one character; a space stands for any white space. Default: what
        the ending says. For text.
    decimal : {".", ","}, default "."
        What stands before the fraction of a number. With a comma, a csv file is separated by whatever
        its first line shows. For text.
    columns : sequence of str or int, optional
        Columns of data, in this order, by name or position; ``"A:F"`` stands for all from the first to
        the last, and digits that are no name count from 1. Other columns may hold anything.
        Default: all but the names.
    layer : str, optional
        Layer of an AnnData. Default: its X. For h5ad.
    transpose : bool, default False
        Whether to swap rows and columns at the end, for files whose columns are samples.
    budget : int, optional
        Most bytes of memory that the content may take. Default: :data:`READ_BUDGET`, 4 GiB.

    Returns
    -------
    DataFrame, ndarray, csr_array, SparseMatrix or AnnData of shape (n_rows, n_columns)
        A labelled float64 table from text, a table from parquet, an array from npy and
        dense npz and mtx, a sparse array from sparse npz and mtx, a
        :class:`bayesnmf.data.SparseMatrix` from mtx with names, and an AnnData from h5ad.
        :func:`describe` says what
        was taken for names and what for data. Whether the numbers suit a
        model is checked later, by :class:`bayesnmf.data.Matrix`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the ending is not known (the message lists those that are), the file is empty or
        damaged, an npz holds several arrays (it lists them), an array holds pickled Python
        objects, a sparse array is malformed, `names` or one of `columns` is no column, names beside
        an mtx do not fit it, an h5ad has no such layer (it lists them), the first column holds
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
    asked = Reading(
        READ_BUDGET if budget is None else budget, names, header, separator, decimal, columns, layer
    )
    ending = _ending(path)
    _refuse_other_kind(path, asked, ending)
    try:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty")
        table = reader(path, asked)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    if columns is not None and ending not in _TEXT:
        table = with_columns(path, table, columns)
    return transposed(table) if transpose else table


def _refuse_other_kind(path: Path, asked: Reading, ending: str) -> None:
    """Raise for an option that belongs to files of another kind."""
    text = ending.removesuffix(".gz") in _SEPARATORS
    for option, given, fits, owners in (
        ("separator", asked.separator is not None, text, "text"),
        ("decimal", asked.decimal != ".", text, "text"),
        ("layer", asked.layer is not None, ending == "h5ad", "h5ad files"),
    ):
        if given and not fits:
            raise ValueError(f"{option} is for {owners}, but {path} is read as {ending}")


# -- how each ending is read ------------------------------------------------------------------


#: Reads a file as it is asked for.
type _Reader = Callable[[Path, Reading], Any]


def _ending(path: Path) -> str:
    """Return the ending of a name in lower case, of two parts where the last is gz."""
    parts = path.name.lower().rsplit(".", 2)[1:]
    return ".".join(parts) if parts[-1:] == ["gz"] else "".join(parts[-1:])


def _read_text(path: Path, asked: Reading, *, separator: str | None) -> pd.DataFrame:
    try:
        raw = file_sizes.contents(path, asked.budget)
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no whole gz file: {error}") from error
    if asked.separator is not None or separator == asked.decimal:
        separator = asked.separator
    return noted(*text_files.read_table(path, raw, separator, asked))


def _translated(read_file: _Reader) -> _Reader:
    """Make every failure of another library one ``ValueError`` that names the file."""

    def reader(path: Path, asked: Reading) -> Any:
        try:
            return read_file(path, asked)
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


def _read_parquet(path: Path, asked: Reading) -> pd.DataFrame:
    return noted(*parquet_files.read_parquet(path, asked))


_SEPARATORS = {"csv": ",", "tsv": "\t", "txt": None}


_PLAIN: dict[str, _Reader] = {
    ending: partial(_read_text, separator=separator) for ending, separator in _SEPARATORS.items()
}


#: How text is read, plain or compressed.
_TEXT = _PLAIN | {f"{ending}.gz": reader for ending, reader in _PLAIN.items()}


_MTX = _translated(read_mtx)


#: How each ending is read.
READERS: dict[str, _Reader] = {
    **_PLAIN,
    "npy": _translated(read_numpy),
    "npz": _translated(read_numpy),
    "mtx": _MTX,
    "h5ad": _translated(read_h5ad),
    "parquet": _translated(_read_parquet),
    **{f"{ending}.gz": reader for ending, reader in {**_PLAIN, "mtx": _MTX}.items()},
}
