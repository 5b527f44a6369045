"""Reading a matrix from files of arrays: npy, npz and Matrix Market."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from bayesnmf.data import file_sizes
from bayesnmf.data.mtx_names import with_names
from bayesnmf.data.reading import Explained, Names, Reading
from bayesnmf.data.sparse_format import from_rows, sound


def read_numpy(path: Path, asked: Reading) -> Any:
    """Read a NumPy array, an archive that holds one, or a sparse array of SciPy."""
    _refuse_names(path, asked.names)
    # Opened here, because NumPy leaves the file open where an archive is damaged.
    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
        file.seek(0)
        check = file_sizes.require_npz if archive else file_sizes.require_npy
        check(path, file, asked.budget)
        file.seek(0)
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        stored = loaded.files
        if {"format", "shape"} <= set(stored):
            return _sparse(path, loaded, file)
        if len(stored) == 1:
            return loaded[stored[0]]
    listed = ", ".join(stored[:10]) + (", …" if len(stored) > 10 else "")
    holds = f"{len(stored)} arrays ({listed})" if stored else "no array"
    raise Explained(
        f"{path} holds {holds}, but a data file holds one; save it alone with "
        "numpy.savez(path, V=V)"
    )


def _sparse(path: Path, stored: Any, file: Any) -> scipy.sparse.csr_array:
    """Return the sparse array of an archive, after a full check of its indices."""
    word = f"{path}: it"
    try:
        if str(stored["format"].item()) in ("csr", "b'csr'"):
            shape = tuple(int(side) for side in stored["shape"])
            parts = tuple(stored[name] for name in ("data", "indices", "indptr"))
            return from_rows(parts, shape, word)
        file.seek(0)
        return sound(scipy.sparse.load_npz(file), word)
    except (ValueError, MemoryError) as error:
        if str(error).startswith(word):
            raise Explained(str(error)) from error
        raise


def read_mtx(path: Path, asked: Reading) -> Any:
    """Read a Matrix Market file, with the names in files beside it."""
    from scipy.io import mmread

    _refuse_names(path, asked.names)
    raw = file_sizes.contents(path, asked.budget)
    file_sizes.require_mtx(path, raw, asked.budget)
    with warnings.catch_warnings():
        # SciPy 1.18 announces that arrays replace matrices; both are converted below.
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = mmread(io.BytesIO(raw))
    values = sound(loaded, f"{path}: it") if scipy.sparse.issparse(loaded) else loaded
    return values if asked.names is False else with_names(path, values, asked.budget)


def _refuse_names(path: Path, names: Names) -> None:
    if names is not None and names is not False:
        raise Explained(f"{path} holds numbers alone, so no column {names!r} holds row names")
