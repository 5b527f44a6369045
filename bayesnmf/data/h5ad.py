"""Reading an AnnData from an h5ad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bayesnmf.data.annotated import unpacked
from bayesnmf.data.file_sizes import require_size
from bayesnmf.data.reading import Explained, Reading


def read_h5ad(path: Path, asked: Reading) -> Any:
    """Read an AnnData into memory, with the layer that is asked for in the place of X."""
    try:
        import anndata
    except ImportError:
        raise Explained(
            f"{path} is read by the package anndata, which is not installed: pip install anndata"
        ) from None
    if asked.names not in (None, False):
        raise Explained(
            f"{path} holds the names of its observations, so no column {asked.names!r} does"
        )
    require_size(path, _size(path), asked.budget)
    data = anndata.read_h5ad(path)
    try:
        values, *_ = unpacked(data, asked.layer)
    except ValueError as error:
        raise Explained(f"{path}: {error}") from error
    if asked.layer is not None:
        data = anndata.AnnData(values, obs=data.obs, var=data.var)
    return data


def _size(path: Path) -> int:
    """Return the memory that all arrays in a file take, numbers as those of eight bytes at most."""
    import h5py

    sizes = []

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(int(np.prod(item.shape, dtype=float)) * item.dtype.itemsize)

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return sum(sizes)
