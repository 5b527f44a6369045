"""Whole numbers and fractions among the cells of V."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnmf.data import AnyMatrix

if TYPE_CHECKING:
    from bayesnmf.likelihoods.base import Likelihood


def refuse_fractions(likelihood: Likelihood, matrix: AnyMatrix) -> None:
    """Raise where a count is not an integer."""
    matrix.refuse(
        _is_fraction,
        f"is not an integer, so the {likelihood.name.replace('_', ' ')} likelihood gives it no density",
        "Choose the gamma or Gaussian likelihood, or use method='map', where the Poisson and the "
        "negative binomial one serve as quasi-likelihoods",
    )


def has_fractions(matrix: AnyMatrix) -> bool:
    """Return whether any observed cell is not an integer."""
    return matrix.holds(_is_fraction)


def _is_fraction(values: np.ndarray) -> np.ndarray:
    return np.asarray(values != np.round(values))
