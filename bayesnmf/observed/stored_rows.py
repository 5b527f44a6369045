"""Compressed rows of a sparse matrix, as compiled functions take them."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from bayesnmf.arrays import pytree


@pytree(static=("n_rows",))
@dataclass(frozen=True, eq=False)
class Compressed:
    """Stored cells, row by row, in the memory of a device.

    Parameters
    ----------
    values : array of shape (n_stored,)
        Stored values, in either precision.
    indices : array of int32 of shape (n_stored,)
        Column of each.
    starts : array of int of shape (n_rows + 1,)
        Position of each row's first stored cell; the last entry is their number.
    n_rows : int
        Number of rows.
    """

    values: Any
    indices: Any
    starts: Any
    n_rows: int


@pytree(static=("n_rows",))
@dataclass(frozen=True, eq=False)
class HostRows:
    """Stored cells that stay in SciPy's memory, known to native code by a number.

    Compiled code hands arguments of a Python function over by copying them; a number costs
    nothing.

    Parameters
    ----------
    key : array of uint32 of shape ()
        Under which :func:`host_rows_of` finds values, indices and starts.
    n_rows : int
        Number of rows.
    """

    key: Any
    n_rows: int


type Rows = Compressed | HostRows


_host_rows: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}


_keys = itertools.count()


def rows_of(matrix: scipy.sparse.csr_array, *, native: bool | None = None) -> Rows:
    """Return the rows of `matrix` in the form that this machine computes fastest with.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (n_rows, n_columns)
        Native code works on it while it exists; it must not be changed.
    native : bool, optional
        Whether native code does the work. None: on CPUs, whose gathers and scatters in XLA are
        several times slower.

    Examples
    --------
    >>> rows_of(scipy.sparse.csr_array(np.eye(2)), native=False).indices.tolist()
    [0, 1]
    """
    native = jax.default_backend() == "cpu" if native is None else native
    parts = (matrix.data, matrix.indices, matrix.indptr)
    if not native:
        values, indices, starts = map(jnp.asarray, parts)
        return Compressed(values, indices, starts, matrix.shape[0])
    key = next(_keys)
    _host_rows[key] = parts
    weakref.finalize(matrix, _host_rows.pop, key, None)
    return HostRows(jnp.asarray(key, jnp.uint32), matrix.shape[0])


def host_rows_of(key: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, indices and starts of a matrix whose rows are :class:`HostRows`."""
    return _host_rows[int(key)]
