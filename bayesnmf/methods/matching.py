"""Components of two factorisations: which one corresponds to which, and how alike they are."""

from __future__ import annotations

import numpy as np


def match_rows(H: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Match rows of each H to rows of `pivot` by the largest total cosine.

    Parameters
    ----------
    H : ndarray of shape (draw, component, column)
    pivot : ndarray of shape (component, column)

    Returns
    -------
    ndarray of int of shape (draw, component)
        Row of H that takes each place.
    """
    from scipy.optimize import linear_sum_assignment

    cosine = np.einsum("kj,dlj->dkl", unit_rows(pivot), unit_rows(H))
    best = cosine.argmax(axis=-1)
    # Most draws need no assignment problem: their nearest rows are all different.
    clash = np.sort(best, axis=-1) != np.arange(len(pivot))
    for draw in np.flatnonzero(clash.any(axis=-1)):
        best[draw] = linear_sum_assignment(cosine[draw], maximize=True)[1]
    return best


def unit_rows(H: np.ndarray) -> np.ndarray:
    """Return rows of length 1; rows of zeros, and rows that are not finite, become zeros.

    Rows are first scaled by a power of two, which is exact, so that no square overflows or underflows.

    Parameters
    ----------
    H : ndarray of shape (..., column)

    Examples
    --------
    >>> unit_rows(np.array([[3e-320, 4e-320], [0.0, 0.0], [np.inf, 1.0]])).round(2)
    array([[0.6, 0.8],
           [0. , 0. ],
           [0. , 0. ]])
    """
    largest = np.abs(H).max(axis=-1, keepdims=True, initial=0.0)
    usable = (largest > 0) & np.isfinite(largest)
    _, exponent = np.frexp(np.where(usable, largest, 1))
    scaled = np.ldexp(np.where(usable, H, 0), -exponent)
    return scaled / np.where(usable, np.linalg.norm(scaled, axis=-1, keepdims=True), 1)


def similarity(H: np.ndarray, reference: np.ndarray) -> float:
    """Return the mean cosine of components of several factorisations, matched to a reference.

    Parameters
    ----------
    H : ndarray of shape (n, n_components, n_columns)
    reference : ndarray of shape (n_components, n_columns)
    """
    order = match_rows(H, reference)
    matched = np.take_along_axis(H, order[..., None], axis=1)
    return float((unit_rows(matched) * unit_rows(reference)).sum(axis=-1).mean())
