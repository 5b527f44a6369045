"""The ArviZ tree of a fit: draws, statistics and data with their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr

from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.data.labels import labels_of
from bayesnmf.data.sparse_format import from_cells, from_rows
from bayesnmf.model.entrywise import differs

#: Dimensions of a cell.
CELL = ["row", "column"]


def sparse_cells(tree: xr.DataTree) -> scipy.sparse.csr_array:
    """Return the cells of a fit of sparse data, with NaN stored where held out."""
    sizes, data = tree["posterior"].sizes, tree["observed_data"].dataset
    shape = (sizes["row"], sizes["column"])
    word = "the sparse data of this fit"
    parts = tuple(data[f"V_{part}"].to_numpy() for part in ("value", "column", "start"))
    cells = from_rows(parts, shape, word)
    held = tree["constant_data"].dataset if "constant_data" in tree else xr.Dataset()
    if "held_out_row" not in held:
        return cells
    rows, columns = held["held_out_row"].to_numpy(), held["held_out_column"].to_numpy()
    return cells + from_cells(np.full(len(rows), np.nan), rows, columns, shape, word)


def table_in(tree: xr.DataTree) -> pd.DataFrame:
    """Return the data of a fit with their names, of sparse columns where they are sparse."""
    data, posterior = tree["observed_data"].dataset, tree["posterior"].dataset
    names = posterior.indexes["row"], posterior.indexes["column"]
    if "V" in data:
        return pd.DataFrame(data["V"].to_numpy(), *names)
    return pd.DataFrame.sparse.from_spmatrix(sparse_cells(tree), *names)  # type: ignore[attr-defined]


def matrix_in(tree: xr.DataTree) -> AnyMatrix:
    """Return the data of a fit as they were fitted: sparse data stay sparse."""
    if "V" in tree["observed_data"].dataset:
        return Matrix.of(table_in(tree))
    names = (tree["posterior"].indexes[dim] for dim in CELL)
    return SparseMatrix.of(sparse_cells(tree), **dict(zip(("rows", "columns"), names, strict=True)))


def build_tree(
    matrix: AnyMatrix,
    posterior: dict[str, Any],
    dims: dict[str, list[str]],
    stats: dict[str, Any],
    constants: dict[str, tuple[list[str], Any]],
    names: np.ndarray,
) -> xr.DataTree:
    """Return the tree of labelled draws, statistics, data and known arrays, each with its dimensions."""
    from arviz_base import from_dict

    component = ["component"]
    data, constant, data_dims = _stored(matrix)
    constant |= {name: value for name, (_, value) in constants.items()}
    others = {"sample_stats": stats, "constant_data": constant}
    others |= {} if matrix.is_sparse else {"observed_data": data}
    options: dict[str, Any] = {
        "coords": {
            "row": labels_of(matrix.row_names),
            "column": labels_of(matrix.column_names),
            "component": names,
        },
        # ArviZ suspects swapped dimensions where there are more chains than draws.
        "check_conventions": False,
    }
    tree = from_dict({"posterior": posterior}, dims=dims, **options)
    # A second call, since a program may call a site of its own "scale" too.
    known = {"scale": component, "match": component, **data_dims}
    known |= {name: dims for name, (dims, _) in constants.items()}
    tree.update(from_dict(others, dims=known, **options).children)
    if matrix.is_sparse:  # ArviZ would number stored cells, in more memory than they take
        lines = {name: (data_dims[name], value) for name, value in data.items()}
        tree["observed_data"] = xr.DataTree(xr.Dataset(lines, attrs=tree["sample_stats"].attrs))
    for group in tree.children.values():
        # The time of creation would make equal fits differ.
        group.attrs.pop("created_at", None)
    return tree


def lines_of(value: np.ndarray, shape: tuple[int, int]) -> tuple[list[str], np.ndarray]:
    """Return the dimensions of a known array and its values, without those that it is repeated along."""
    repeated = tuple(axis for axis in (0, 1) if value.shape[axis] != shape[axis])
    return [dim for axis, dim in enumerate(CELL) if axis not in repeated], value.squeeze(repeated)


def cells_of_known(array: xr.DataArray) -> np.ndarray:
    """Return a known array as it was, from a group ``constant_data``: it broadcasts to cells."""
    values = array.to_numpy()
    repeated = tuple(axis for axis, dim in enumerate(CELL) if dim not in array.dims)
    return np.expand_dims(values, repeated) if set(array.dims) < set(CELL) else values


def _stored(
    matrix: AnyMatrix,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """Return observed data, the mask, and the dimensions of both."""
    if isinstance(matrix, Matrix):
        return {"V": matrix.values}, {"observed": matrix.observed}, {"V": CELL, "observed": CELL}
    stored = matrix.stored
    data = {"V_value": stored.data, "V_column": stored.indices, "V_start": stored.indptr}
    dims = {"V_value": ["stored"], "V_column": ["stored"], "V_start": ["row_edge"]}
    if matrix.held_out is None:
        return data, {}, dims
    held = matrix.held_out.tocoo()
    constant = {"held_out_row": held.row, "held_out_column": held.col}
    return data, constant, dims | {name: ["held_out"] for name in constant}


def prior_array(array: xr.DataArray) -> np.ndarray:
    """Return a prior's array as algorithms hold it, component first, from a group ``constant_data``."""
    single = tuple(axis for axis, n in enumerate(_prior_dims(array)) if n == 0)
    return np.expand_dims(array.to_numpy(), single)


def tells_components_apart(tree: xr.DataTree) -> bool:
    """Return whether the priors of a fit differ between components that are not known."""
    if "constant_data" not in tree:
        return False
    held = tree["constant_data"].dataset
    for factor in ("W", "H"):
        known = held[f"known_{factor}"].sizes["known"] if f"known_{factor}" in held else 0
        for name in (f"prior_{factor}_shape", f"prior_{factor}_rate"):
            if name in held and differs(prior_array(held[name]), known):
                return True
    return False


def _prior_dims(array: xr.DataArray) -> tuple[int, int]:
    """Return which dimensions a prior's array has: that of components, and that of entries."""
    return int("component" in array.dims), int(bool({"row", "column"} & set(array.dims)))
