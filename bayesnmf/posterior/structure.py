"""What a saved tree must hold to be a fit, or a sweep over ranks: checked once, on loading."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import scipy.sparse
import xarray as xr

FACTORS = {
    "W": ("chain", "draw", "row", "component"),
    "H": ("chain", "draw", "component", "column"),
}


#: Attributes of every fit, and the types that the formats may give them.
ATTRIBUTES: dict[str, Any] = {
    "method": str,
    "message": str,
    "converged": (bool, int, np.integer, np.bool_),
}


#: The parts of sparse data, and their dimensions.
STORED = {"V_value": ("stored",), "V_column": ("stored",), "V_start": ("row_edge",)}


#: Columns that the table of every sweep has.
COLUMNS = (
    "elpd",
    "se",
    "elpd_diff",
    "dse",
    "waic",
    "bad_k",
    "residual_p",
    "dispersion",
    "dispersion_p",
    "elbo",
    "stability",
    "converged",
    "seconds",
)


def require_fit(tree: xr.DataTree) -> None:
    """Raise unless a tree has the groups, dimensions and attributes of a fit.

    Parameters
    ----------
    tree : xarray.DataTree

    Raises
    ------
    ValueError
        The message says what is missing or does not fit together.
    """
    for group in ("posterior", "sample_stats", "observed_data"):
        if group not in tree.children:
            raise ValueError(f"it has no group {group}")
    for name, kind in ATTRIBUTES.items():
        if not isinstance(tree.attrs.get(name), kind):
            raise ValueError(f"its attribute {name} is {tree.attrs.get(name)!r}")
    posterior = tree["posterior"].dataset
    for name, dims in FACTORS.items():
        _require_variable(posterior, name, dims, "f")
        missing = [dim for dim in dims if dim not in posterior.indexes]
        if missing:
            raise ValueError(f"its {missing[0]}s have no names")
    for name in ("scale", "match"):
        stats = tree["sample_stats"].dataset
        _require_variable(stats, name, ("chain", "draw", "component"), "f")
    _require_sizes(tree, posterior)
    _require_data(tree, posterior.sizes["row"], posterior.sizes["column"])


def require_sweep(tree: xr.DataTree, record: Any) -> None:
    """Raise unless a tree and its record are those of a sweep over ranks.

    Parameters
    ----------
    tree : xarray.DataTree
    record : object
        What its attribute says, read from JSON.

    Raises
    ------
    ValueError
        The message says what is missing or does not fit together.
    """
    if not isinstance(record, dict) or not {"settings", "notes", "columns"} <= record.keys():
        raise ValueError("its settings are incomplete")
    settings, notes = record["settings"], record["notes"]
    if not (isinstance(notes, list) and all(isinstance(note, str) for note in notes)):
        raise ValueError("its notes are no text")
    if not isinstance(settings["model"]["likelihood"]["name"], str):
        raise ValueError("its settings name no likelihood")
    if not all(isinstance(size, int) for size in settings["shape"]):
        raise ValueError("its settings have no shape")
    for group in ("criteria", "fits"):
        if group not in tree.children:
            raise ValueError(f"it has no group {group}")
    numbers = tree["criteria"].dataset
    _require_variable(numbers, "rank", ("rank",), "iu")
    if not set(COLUMNS) <= set(record["columns"]):
        raise ValueError("its table lacks a column")
    for name in record["columns"]:
        _require_variable(numbers, name, ("rank",), "fiub")
    _require_variable(numbers, "elpd_i", ("rank", "cell"), "f")
    ranks = {f"rank_{rank}" for rank in numbers["rank"].to_numpy()}
    if set(tree["fits"].children) != ranks or len(ranks) != numbers.sizes["rank"]:
        raise ValueError("its table and its fits are not of the same ranks")
    for node in tree["fits"].children.values():
        require_fit(node)


def _require_variable(data: xr.Dataset, name: str, dims: tuple[str, ...], kinds: str) -> None:
    """Raise unless a group has a variable of these dimensions and of one of these kinds."""
    if name not in data.variables:
        raise ValueError(f"it has no {name}")
    variable = data.variables[name]
    if variable.dims != dims:
        raise ValueError(f"its {name} has dimensions {variable.dims}, not {dims}")
    if variable.dtype.kind not in kinds:
        raise ValueError(f"its {name} is of type {variable.dtype}")
    if variable.size == 0 and name not in STORED and name != "elpd_i":
        raise ValueError(f"its {name} is empty")


def _require_sizes(tree: xr.DataTree, posterior: xr.Dataset) -> None:
    """Raise unless all groups mean the same chains, draws, rows, columns and components."""
    for name, group in tree.children.items():
        for dim, size in group.dataset.sizes.items():
            if posterior.sizes.get(dim, size) != size:
                raise ValueError(
                    f"its group {name} has {size} {dim}s, and its posterior {posterior.sizes[dim]}"
                )


def _require_data(tree: xr.DataTree, n_rows: int, n_columns: int) -> None:
    """Raise unless the data are a matrix of numbers, all indices of sparse data in range."""
    data = tree["observed_data"].dataset
    if "V" in data:
        return _require_variable(data, "V", ("row", "column"), "fiub")
    for name, dims in STORED.items():
        _require_variable(data, name, dims, "fiub" if name == "V_value" else "iu")
    parts = tuple(data[name].to_numpy() for name in STORED)
    # Compiled code follows these indices without looking.
    scipy.sparse.csr_array(parts, (n_rows, n_columns)).check_format(full_check=True)
    held = tree["constant_data"].dataset if "constant_data" in tree.children else xr.Dataset()
    if "held_out_row" not in held:
        return None
    for name, limit in (("held_out_row", n_rows), ("held_out_column", n_columns)):
        _require_variable(held, name, ("held_out",), "iu")
        indices = held[name].to_numpy()
        if indices.size and not (indices.min() >= 0 and indices.max() < limit):
            raise ValueError(f"its {name} points outside the data")
    return None


def parsed(text: Any) -> Any:
    """Read JSON from an attribute.

    Raises
    ------
    ValueError
        When it is not JSON.
    """
    if not isinstance(text, str):
        raise ValueError("an attribute that should be text is not")
    return json.loads(text)
