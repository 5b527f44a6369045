"""Priors that differ between entries: their tables matched with V and with the components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesnmf.data import AnyMatrix
from bayesnmf.data.labels import component_names, is_labelled, matched
from bayesnmf.priors import EntrywiseGamma, Gamma, Prior

if TYPE_CHECKING:
    from bayesnmf.model.nmf import NMF

#: Fields of a prior that may be tables.
FIELDS = ("shape", "rate")


#: Which axis of a table components run along, as a user gives it.
AXES = {"W": 1, "H": 0}


def priors_of(model: NMF) -> dict[Literal["W", "H"], Prior]:
    """Return the priors of both factors by name: that of H, which says what components are, first."""
    return {"H": model.prior_H, "W": model.prior_W}


def named_components(model: NMF) -> pd.Index | None:
    """Return the labels that the priors' tables give components, or None."""
    for factor, prior in priors_of(model).items():
        for table in _tables(prior).values():
            labels = _labels(table, factor)
            if labels is not None and not labels.equals(pd.RangeIndex(len(labels))):
                return labels
    return None


def matched_prior(model: NMF, factor: Literal["W", "H"], matrix: AnyMatrix) -> Prior:
    """Return a prior whose tables are arrays, in the order of V and of the components.

    Raises
    ------
    ValueError
        When labels do not match, or a table has another shape than the factor.
    """
    prior = priors_of(model)[factor]
    if not _tables(prior):
        return prior
    if isinstance(prior, EntrywiseGamma):
        for name, array in _tables(prior).items():
            _require_size(
                model, factor, name, array.T if factor == "W" else array, matrix, whole=True
            )
        return prior
    arrays = {
        name: _as_array(model, factor, name, table, matrix)
        for name, table in _tables(prior).items()
    }
    return EntrywiseGamma(**{**vars(prior), **arrays})


def tells_apart(prior: Prior, first: int = 0) -> bool:
    """Return whether a prior, matched with V, differs between components from `first` on."""
    if not isinstance(prior, EntrywiseGamma):
        return False
    return any(differs(x, first) for x in _tables(prior).values())


def differs(array: np.ndarray, first: int) -> bool:
    """Return whether a prior's array, component first, differs between components from `first` on."""
    free = array[first:]
    return len(free) > 1 and bool(np.ptp(free, axis=0).any())


def require_alike(model: NMF) -> None:
    """Raise for a table with one line a component, which fixes the number of components."""
    for factor, prior in priors_of(model).items():
        for field, table in _tables(prior).items():
            axis = 0 if np.ndim(table) == 1 or isinstance(prior, EntrywiseGamma) else AXES[factor]
            if np.shape(table)[axis] > 1:
                raise ValueError(
                    f"{_described(factor, field)} has {np.shape(table)[axis]} components, so it says nothing "
                    "of other ranks: give a prior that is the same for all components"
                )


def recorded_priors(model: NMF) -> dict[str, tuple[list[str], Any]]:
    """Return the priors' arrays as a fit keeps them: their dimensions and values, by name."""
    found = {}
    for factor, prior in priors_of(model).items():
        for field, array in _tables(prior).items():
            dims = ["component", "row" if factor == "W" else "column"]
            single = tuple(axis for axis in (0, 1) if array.shape[axis] == 1)
            kept = [dim for axis, dim in enumerate(dims) if axis not in single]
            found[f"prior_{factor}_{field}"] = (kept, array.squeeze(single))
    return found


def _tables(prior: Prior) -> dict[str, Any]:
    """Return the fields of a prior that are tables."""
    if not isinstance(prior, Gamma):
        return {}
    return {name: getattr(prior, name) for name in FIELDS if np.ndim(getattr(prior, name))}


def _labels(table: Any, factor: Literal["W", "H"]) -> pd.Index | None:
    """Return the labels of a table's components, or None."""
    if isinstance(table, pd.Series):
        return table.index
    return component_names(table, AXES[factor])


def _as_array(
    model: NMF, factor: Literal["W", "H"], field: str, table: Any, matrix: AnyMatrix
) -> np.ndarray:
    """Return a table as an array, component first, with ones for known components."""
    what, first = _described(factor, field), _n_known(model, factor)
    components = named_components(model)
    if np.ndim(table) == 1:
        table = _two_dimensional(table, factor)
    if is_labelled(table):
        rows, columns = (
            (matrix.row_names, components) if factor == "W" else (components, matrix.column_names)
        )
        table = matched(table, rows, columns, what, owner="V and the components")
    array = np.asarray(table, matrix.dtype)
    _require_size(model, factor, field, array, matrix)
    array = array.T if factor == "W" else array
    if first and len(array) > 1:
        array = np.concatenate([np.ones((first, array.shape[1]), array.dtype), array])
    return array


def _two_dimensional(table: Any, factor: Literal["W", "H"]) -> Any:
    """Return one value a component as a table of the factor's dimensions."""
    if isinstance(table, pd.Series):
        frame = table.to_frame()
        return frame.T if factor == "W" else frame
    return np.expand_dims(np.asarray(table), 1 - AXES[factor])


def _require_size(
    model: NMF,
    factor: Literal["W", "H"],
    field: str,
    array: np.ndarray,
    matrix: AnyMatrix,
    whole: bool = False,
) -> None:
    """Raise unless an array of a user's dimensions broadcasts to the factor."""
    first = 0 if whole else _n_known(model, factor)
    free = model.n_components - first
    wanted = (matrix.n_rows, free) if factor == "W" else (free, matrix.n_columns)
    fits = array.ndim == 2 and all(
        n in (1, size) for n, size in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        words = "(row, component)" if factor == "W" else "(component, column)"
        beside = f" beside {first} known components" if first else ""
        raise ValueError(
            f"{_described(factor, field)} has shape {array.shape}, but {factor} has shape {wanted} "
            f"{words}{beside}: give one value an entry, or 1 where a value counts for all"
        )


def _n_known(model: NMF, factor: Literal["W", "H"]) -> int:
    return model.n_known_W if factor == "W" else model.n_known_H


def _described(factor: str, field: str) -> str:
    return f"the {field} of prior_{factor}"
