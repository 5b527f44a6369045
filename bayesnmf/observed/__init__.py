"""The data as algorithms see them: three storages behind one interface.

`Cells` holds every cell and serves any likelihood. `Counts` holds the stored cells of sparse
Poisson counts. `Moments` serves Gaussian noise of one size through Gram matrices, dense or sparse.
An algorithm asks each for the log density of the data as a function of the factors, its gradient,
the two parts of its score, or one improvement of a factor; the sampler, for differences of the density and
its curvature (`Sampled`); and neither which one it has. Factors are component first: W is (component, row), H is (component, column).
"""

from __future__ import annotations

from typing import cast

from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.model import NMF
from bayesnmf.observed.cells import Cells, dense_cells_of
from bayesnmf.observed.counts import Counts, counts_of
from bayesnmf.observed.interface import Gram, Improved, Observed, Sampled
from bayesnmf.observed.moments import Moments, has_moments, moments_of

__all__ = [
    "Cells",
    "Counts",
    "Gram",
    "Improved",
    "Moments",
    "Observed",
    "Sampled",
    "dense_cells_of",
    "observe",
    "observe_for_sampling",
    "serves_sparse",
]


def observe(model: NMF, matrix: AnyMatrix) -> Observed:
    """Return the data in the storage that serves this model fastest."""
    if has_moments(model, matrix):
        return moments_of(matrix)
    if matrix.is_sparse:
        return counts_of(cast(SparseMatrix, matrix))
    return dense_cells_of(model, cast(Matrix, matrix))


def observe_for_sampling(model: NMF, matrix: AnyMatrix) -> Sampled:
    """Return the data in the storage that serves the sampler: sparse where the matrix is."""
    if not matrix.is_sparse:
        return dense_cells_of(model, cast(Matrix, matrix))
    if has_moments(model, matrix):
        return moments_of(matrix)
    return counts_of(cast(SparseMatrix, matrix))


def serves_sparse(model: NMF, masked: bool) -> bool:
    """Return whether there is a storage of sparse data for this model.

    Poisson counts need only stored cells, and Gaussian noise of one size only Gram matrices,
    which allow for no missing cell.
    """
    if model.likelihood.constant_variance:
        return not masked
    return model.likelihood.zeros_are_linear
