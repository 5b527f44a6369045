"""The names of a Matrix Market file, which stand in files beside it, as sequencers write them.

``matrix.mtx`` holds features by barcodes. ``barcodes.tsv`` names its columns, which are the cells, and
``features.tsv`` (``genes.tsv`` in older folders) its rows. Here rows are samples, so it is transposed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from bayesnmf.data import file_sizes
from bayesnmf.data.reading import Explained
from bayesnmf.data.sparse import SparseMatrix

BARCODES, FEATURES = ("barcodes",), ("features", "genes")


def with_names(path: Path, values: Any, budget: int) -> Any:
    """Return the content of a Matrix Market file with the names beside it, samples in rows.

    Parameters
    ----------
    path : Path
        The file. ``PREFIX_matrix.mtx`` has its names in ``PREFIX_barcodes.tsv``, and so on.
    values : csr_array or ndarray
        Its content.
    budget : int
        Most bytes that a file of names may take.

    Returns
    -------
    SparseMatrix or DataFrame
        Or `values` as they are, where no names stand beside them.

    Raises
    ------
    Explained
        When there are more or fewer names than rows or columns.
    """
    barcodes, features = (_beside(path, words) for words in (BARCODES, FEATURES))
    if barcodes is None and features is None:
        return values
    samples, variables = (_read_names(file, budget) for file in (barcodes, features))
    n_rows, n_columns = values.shape
    fits = [
        all(
            names is None or len(names) == size
            for names, size in zip(sides, values.shape, strict=True)
        )
        for sides in ((variables, samples), (samples, variables))
    ]
    if not any(fits):
        counts = [
            f"{file.name} has {len(names)}"
            for file, names in ((barcodes, samples), (features, variables))
            if file is not None and names is not None
        ]
        raise Explained(
            f"{path} has {n_rows} rows and {n_columns} columns, but the names beside it do not fit: "
            f"{', '.join(counts)}. Say names=False (--names none) to read it without names"
        )
    if fits[0]:
        values = scipy.sparse.csr_array(values.T) if scipy.sparse.issparse(values) else values.T
    if scipy.sparse.issparse(values):
        return SparseMatrix.of(values, rows=samples, columns=variables)
    return pd.DataFrame(values, samples, variables)


def _beside(path: Path, words: tuple[str, ...]) -> Path | None:
    """Return the file of names of one kind, or None."""
    stem = path.name.lower().partition(".mtx")[0]
    prefix = path.name[: len(stem) - len("matrix")] if stem.endswith("matrix") else ""
    for word in words:
        for ending in (".tsv", ".tsv.gz"):
            file = path.with_name(f"{prefix}{word}{ending}")
            if file.is_file():
                return file
    return None


def _read_names(file: Path | None, budget: int) -> pd.Index | None:
    """Return the names in a file: its only column, or symbols, which stand behind identifiers.

    A symbol that stands more than once is written with its identifier.
    """
    if file is None:
        return None
    try:
        lines = file_sizes.contents(file, budget).decode("utf-8-sig").splitlines()
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise Explained(f"{file} cannot be read as names: {error}") from error
    cells = [line.split("\t") for line in lines if line.strip()]
    first = np.array([row[0].strip() for row in cells], dtype=object)
    if not all(len(row) > 1 for row in cells):
        return pd.Index(first, name=file.name)
    symbols = pd.Series([row[1].strip() for row in cells], dtype=object)
    repeated = symbols.duplicated(keep=False) | (symbols == "")
    unique = np.where(repeated, symbols + " (" + first + ")", symbols)
    return pd.Index(unique, name=file.name)
