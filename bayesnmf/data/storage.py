"""V in the storage that a method can use: every container that a user may hold enters here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from bayesnmf.data.containers import opened
from bayesnmf.data.matrix import Matrix
from bayesnmf.data.memory import note_expansion
from bayesnmf.data.sparse import AnyMatrix, SparseMatrix
from bayesnmf.data.sparse_format import sound


def matrix_of(
    V: Any,
    keeps_sparse: Callable[[bool], bool],
    mask: Any = None,
    held_out: Any = None,
    *,
    rows: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    layer: str | None = None,
) -> AnyMatrix:
    """Validate and wrap data, sparse where they are sparse and may be left so.

    Parameters
    ----------
    V, mask, held_out :
        As for :func:`bayesnmf.fit`.
    keeps_sparse : callable
        Answers whether sparse data may be left so, given whether cells are missing.
    rows, columns : sequence, optional
        Names of the rows and columns, where V has none.
    layer : str, optional
        Layer of an AnnData.

    Returns
    -------
    Matrix or SparseMatrix
        Sparse data that may not be left so are expanded, with a warning when that takes much memory.
    """
    if (
        isinstance(V, SparseMatrix)
        and mask is None
        and held_out is None
        and rows is columns is None
    ):
        return V if keeps_sparse(not V.is_complete) else V.expanded()
    values, row_names, column_names = opened(V, rows, columns, layer)
    if scipy.sparse.issparse(values):
        values = sound(values)  # before anything follows its indices
        masked = mask is not None or held_out is not None
        masked |= values.dtype.kind == "f" and bool(np.isnan(values.data).any())
        if keeps_sparse(masked):
            return SparseMatrix.of(values, mask, held_out, rows=row_names, columns=column_names)
        note_expansion(values)
    return Matrix.of(values, mask, held_out, rows=row_names, columns=column_names)
