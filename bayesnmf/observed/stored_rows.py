"""Compressed rows of a sparse matrix, as compiled functions take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import scipy.sparse

from bayesnmf.arrays import pytree


@pytree(static=("n_rows", "native"))
@dataclass(frozen=True, eq=False)
class Compressed:
    """Stored cells, row by row.

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
    native : bool
        Whether native code does the work, or XLA.
    """

    values: Any
    indices: Any
    starts: Any
    n_rows: int
    native: bool

    @property
    def n_stored(self) -> int:
        """Number of stored cells."""
        return int(self.indices.shape[0])


def rows_of(matrix: scipy.sparse.csr_array, *, native: bool | None = None) -> Compressed:
    """Return the rows of `matrix` in the form that this machine computes fastest with.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (n_rows, n_columns)
        On CPUs its memory is used as it is where it begins as JAX wants it; it must not be changed.
    native : bool, optional
        Whether native code does the work. None: on CPUs, whose gathers and scatters in XLA are
        several times slower.

    Examples
    --------
    >>> rows_of(scipy.sparse.eye_array(2, format="csr"), native=False).indices.tolist()
    [0, 1]
    """
    native = jax.default_backend() == "cpu" if native is None else native
    values, indices, starts = map(jax.device_put, (matrix.data, matrix.indices, matrix.indptr))
    return Compressed(values, indices, starts, matrix.shape[0], native)
