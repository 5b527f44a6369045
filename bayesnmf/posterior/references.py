"""What a match compares components with: known profiles, validated and in the order of V's columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data.labels import component_names, is_labelled, labels_of, matched
from bayesnmf.posterior.requirements import require_one_mode
from bayesnmf.posterior.result import Fit

#: Profiles to compare components with.
type Reference = Fit | pd.DataFrame | xr.DataArray | ArrayLike


class Catalogue(NamedTuple):
    """Profiles over the columns of V, with their names.

    Parameters
    ----------
    names : ndarray of shape (reference,)
    profiles : ndarray of shape (reference, column)
        Each sums to 1.
    """

    names: np.ndarray
    profiles: np.ndarray


def catalogue_of(reference: Reference, columns: pd.Index) -> Catalogue:
    """Validate profiles, and put them into the order of the columns of V.

    Parameters
    ----------
    reference : DataFrame, DataArray, array of shape (reference, column) or Fit
        What has labels is matched by them. Of a fit, the posterior mean of H is taken, without
        empty components.
    columns : pandas.Index
        Names of the columns of V.

    Returns
    -------
    Catalogue

    Raises
    ------
    ValueError
        For other columns, and for a negative, non-finite or empty profile; the message names it.
    """
    if isinstance(reference, Fit):
        require_one_mode(reference)
        H = reference.H
        reference = H.isel(component=(H > 0).any("column").to_numpy())
    if isinstance(reference, xr.DataArray) and reference.dims[:1] == ("column",):
        reference = reference.transpose()  # dimensions have names as well
    _refuse_transposed(reference, columns)
    values = _numbers(matched(reference, None, columns, "reference", owner="the fit"))
    if values.ndim != 2 or values.shape[1] != len(columns) or not len(values):
        raise ValueError(
            f"reference has shape {values.shape}, not (references, {len(columns)}): give one row a "
            f"reference, over the {len(columns)} columns of V"
        )
    index = component_names(reference, 0)
    names = np.arange(len(values)) if index is None else labels_of(index)
    _require_profiles(values, names, columns)
    largest = values.max(axis=1, keepdims=True)
    scaled = values / largest  # so that no sum overflows
    return Catalogue(names, scaled / scaled.sum(axis=1, keepdims=True))


def _refuse_transposed(reference: Any, columns: pd.Index) -> None:
    """Raise where the rows of a labelled table have the names that its columns should have."""
    rows, given = component_names(reference, 0), component_names(reference, 1)
    if not is_labelled(reference) or rows is None or given is None:
        return
    wanted = pd.Index(labels_of(columns))
    if wanted.isin(labels_of(rows)).all() and not wanted.isin(labels_of(given)).all():
        raise ValueError(
            "the rows of reference have the names of the columns of V: give one row a reference, as "
            "reference.T"
        )


def _numbers(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "reference must hold numbers: a DataFrame, a DataArray, an array or a Fit, with names of "
            "references as its index"
        ) from None


def _require_profiles(values: np.ndarray, names: np.ndarray, columns: pd.Index) -> None:
    """Raise unless every row is non-negative, finite and above 0 somewhere, and has its own name."""
    faults = {"is not finite": ~np.isfinite(values), "is negative": values < 0}
    for fault, cells in faults.items():
        if cells.any():
            i, j = np.argwhere(cells)[0]
            raise ValueError(
                f"the value {values[i, j]:g} of reference {names.tolist()[i]!r} in column "
                f"{columns.tolist()[j]!r} {fault}: a reference is a profile of non-negative numbers"
            )
    empty = ~values.any(axis=1)
    if empty.any():
        raise ValueError(
            f"reference {names.tolist()[int(empty.argmax())]!r} is zero in all columns: leave it out"
        )
    index = pd.Index(names)
    if not index.is_unique:
        raise ValueError(
            f"several references have the name {index[index.duplicated()].tolist()[0]!r}: give every "
            "one its own"
        )
