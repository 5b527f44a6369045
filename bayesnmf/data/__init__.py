"""Data: validated matrices, dense or sparse, their labels, and files that hold them."""

from __future__ import annotations

from bayesnmf.data.containers import MatrixLike
from bayesnmf.data.interface import Storage
from bayesnmf.data.matrix import Matrix
from bayesnmf.data.sparse import AnyMatrix, SparseMatrix

__all__ = ["AnyMatrix", "Matrix", "MatrixLike", "SparseMatrix", "Storage"]

# Checked by mypy: both storages have the one interface.
_STORAGES: tuple[type[Storage], ...] = (Matrix, SparseMatrix)
