"""Which cells are observed: masks, cells that are left out, and the pattern of missing cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from bayesnmf.data.labels import matched
from bayesnmf.data.sparse_format import sound


def as_mask(mask: Any, shape: tuple[int, ...], names: tuple[pd.Index, pd.Index]) -> np.ndarray:
    """Return a mask, sparse or dense booleans, matched by its names and checked."""
    mask = sound(mask, "mask").toarray() if scipy.sparse.issparse(mask) else mask
    mask = np.asarray(matched(mask, *names, "mask"))
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, but V has shape {shape}")
    if mask.dtype != bool:
        raise TypeError(
            f"mask has dtype {mask.dtype}; it must be boolean, True where a cell is observed"
        )
    return mask


def held_out_pattern(
    held_out: Any, shape: tuple[int, ...], word: str, names: tuple[pd.Index, pd.Index]
) -> scipy.sparse.csr_array:
    """Return left-out cells, sparse or dense booleans, as a pattern of ones.

    A labelled table is matched by its names with those of the rows and columns.
    """
    sparse = scipy.sparse.issparse(held_out)
    array = sound(held_out, word) if sparse else np.asarray(matched(held_out, *names, word))
    if array.shape != shape:
        raise ValueError(f"{word} has shape {array.shape}, but V has shape {shape}")
    if array.dtype != bool:
        raise TypeError(f"{word} has dtype {array.dtype}; it must be boolean")
    pattern = scipy.sparse.csr_array(array.astype(np.float64))
    pattern.eliminate_zeros()
    return pattern


def missing_pattern(
    stored: scipy.sparse.csr_array, mask: Any, held_out: Any, names: tuple[pd.Index, pd.Index]
) -> scipy.sparse.csr_array | None:
    """Collect NaN cells, masked ones and held-out ones in one pattern of ones."""
    pattern = scipy.sparse.csr_array(stored.shape)
    if np.isnan(stored.data).any():
        pattern = stored.copy()
        pattern.data = np.isnan(stored.data).astype(np.float64)
    if mask is not None:
        pattern = pattern + scipy.sparse.csr_array(~as_mask(mask, stored.shape, names), dtype=float)
    if held_out is not None:
        pattern = pattern + held_out_pattern(held_out, stored.shape, "held_out", names)
    pattern = scipy.sparse.csr_array(pattern)
    pattern.eliminate_zeros()
    if not pattern.nnz:
        return None
    pattern.data = np.ones_like(pattern.data)
    pattern.sort_indices()
    return pattern
