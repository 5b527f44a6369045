"""Sparse matrices whose memory JAX can use as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

#: JAX computes on memory of NumPy's without a copy where it begins at a multiple of so many bytes.
ALIGNMENT = 64


def aligned(matrix: scipy.sparse.csr_array, dtypes: tuple[Any, Any]) -> scipy.sparse.csr_array:
    """Return a copy of `matrix` that JAX uses without another copy.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
    dtypes : pair of dtypes
        Of the values, and of indices and starts.

    Examples
    --------
    >>> matrix = aligned(scipy.sparse.csr_array(np.eye(40)), (np.float32, np.int32))
    >>> matrix.data.dtype.name, matrix.indices.ctypes.data % ALIGNMENT
    ('float32', 0)
    """
    values, index = dtypes
    parts = (
        _placed(matrix.data, values),
        _placed(matrix.indices, index),
        _placed(matrix.indptr, index),
    )
    return scipy.sparse.csr_array(parts, matrix.shape)


def _placed(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return a copy of another type, where JAX wants it."""
    size = np.dtype(dtype).itemsize
    room = np.empty(len(array) + ALIGNMENT // size, dtype)
    first = -room.ctypes.data % ALIGNMENT // size
    placed = room[first : first + len(array)]
    placed[:] = array
    return placed
