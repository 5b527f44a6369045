"""What every data matrix offers, whatever its storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd


class Storage(Protocol):
    """A validated data matrix: :class:`bayesnmf.data.Matrix` or :class:`bayesnmf.data.SparseMatrix`.

    Code that uses only these members works with both, and with a third storage. Numbers do not
    depend on the storage. Rows are samples and columns are features.
    """

    #: Whether cells that are not stored are observed zeros. Nothing else may depend on it.
    is_sparse: ClassVar[bool]

    @property
    def row_names(self) -> pd.Index:
        """Names of the rows; 0, 1, 2, … where the input had none."""

    @property
    def column_names(self) -> pd.Index:
        """Names of the columns; 0, 1, 2, … where the input had none."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns)."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def n_columns(self) -> int:
        """Number of columns."""

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type, which sets the precision of the arithmetic."""

    @property
    def n_observed(self) -> int:
        """Number of observed cells, zeros included."""

    @property
    def observed_mask(self) -> np.ndarray:
        """Which cells are observed: bool of shape (n_rows, n_columns)."""

    @property
    def is_complete(self) -> bool:
        """Whether every cell is observed."""

    def n_zeros(self) -> int:
        """Return the number of observed cells that are 0."""

    def smallest(self) -> float:
        """Return the smallest value of an observed cell."""

    def largest(self) -> float:
        """Return the largest value of an observed cell."""

    def largest_size(self) -> float:
        """Return the largest absolute value of an observed cell."""

    def mean(self) -> float:
        """Return the mean of the observed cells."""

    def std(self) -> float:
        """Return the standard deviation of the observed cells, divided by their number."""

    def observed_sum(self, values: np.ndarray) -> float:
        """Return the sum over observed cells of an array that broadcasts to the shape of V."""

    def holds(self, predicate: Callable[[np.ndarray], np.ndarray]) -> bool:
        """Return whether `predicate` is True for any observed cell.

        It is called with an array of values, and answers for each.
        """

    def refuse(self, predicate: Callable[[np.ndarray], np.ndarray], what: str, hint: str) -> None:
        """Raise ``ValueError`` that names an observed cell for which `predicate` is True.

        Named is the first one in row order; sparse storage looks at zeros last. `what` says what
        is wrong with it, and `hint` what to do.
        """

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the cells of some rows and columns in double precision, NaN where missing."""

    def column(self, j: int) -> np.ndarray:
        """Return one column in double precision, of shape (n_rows,), NaN where missing."""

    def without(self, held: np.ndarray) -> Self:
        """Return the data without the cells that are True in `held`, of shape (n_rows, n_columns).

        Raises ``ValueError`` when a row or a column would have no observed cell.
        """

    def at_rows(self, rows: np.ndarray) -> Self:
        """Return the data of some rows: a mask, or positions.

        Raises ``ValueError`` when a column would have no observed cell.
        """

    def all_cells(self) -> Any:
        """Return all cells in double precision as this storage keeps them, NaN where missing.

        An array, or a SciPy sparse array.
        """

    def expanded(self) -> Storage:
        """Return the data in dense storage, if they fit :data:`bayesnmf.data.matrix.DENSE_BUDGET`."""
