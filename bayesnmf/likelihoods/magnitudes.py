"""Which values of V the arithmetic of a likelihood can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from bayesnmf.data import AnyMatrix

if TYPE_CHECKING:
    from bayesnmf.likelihoods.base import Likelihood

#: Cells between the inverse of this and it leave single precision room for squares and ratios.
LARGEST = 1e12


def fit_single_precision(values: np.ndarray) -> bool:
    """Return whether squares and ratios of `values` can be had in single precision."""
    positive = values[values > 0]
    if not positive.size or positive.max() >= LARGEST or positive.min() <= 1 / LARGEST:
        return False
    # A share that would round to 1 leaves the support of the beta distribution.
    return not np.any((positive != 1.0) & (positive.astype(np.float32) == 1.0))


def safe_range(likelihood: Likelihood, dtype: DTypeLike) -> tuple[float, float]:
    """Return the range in which the largest absolute value of V must lie.

    Examples
    --------
    >>> from bayesnmf.likelihoods import Gaussian
    >>> [f"{x:.0e}" for x in safe_range(Gaussian(), np.float64)]
    ['3e-103', '6e+102']
    """
    limits, power = np.finfo(dtype), likelihood.power
    most = 1.0 / float(limits.eps) if likelihood.cancels else float(limits.max) ** (1 / power)
    return float(limits.tiny) ** (1 / power), most


def refuse_magnitudes(likelihood: Likelihood, matrix: AnyMatrix) -> None:
    """Raise where values are so large or small that the likelihood's arithmetic cannot carry them."""
    least, most = safe_range(likelihood, matrix.dtype)
    kind = f"the arithmetic of the {likelihood.name.replace('_', ' ')} likelihood in {matrix.dtype}"
    remedy = "Multiply V by a constant that brings its values near 1"
    largest = matrix.largest()
    if largest > most:
        matrix.refuse(
            # Sparse counts may be stored in less precision than they are computed in.
            lambda v: np.abs(v) > np.float64(most),
            f"is too large for {kind}, which ends at {most:.0e}",
            remedy,
        )
    if 0 < largest < least:
        raise ValueError(
            f"the largest value of V is {largest:g}, too small for {kind}, which begins at "
            f"{least:.0e}. {remedy}."
        )
    if likelihood.every_cell:
        matrix.refuse(
            lambda v: np.abs(v) < least,
            f"is too small for {kind}, which begins at {least:.0e}",
            f"{remedy}, or mark that cell as missing",
        )
