"""From draws to a fit: components scaled and matched, everything labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesnmf import storage
from bayesnmf.components import align
from bayesnmf.data import Matrix
from bayesnmf.labels import labels_of
from bayesnmf.methods import Draws
from bayesnmf.methods.programs import site_dims
from bayesnmf.model import NMF, Model
from bayesnmf.posterior import Fit
from bayesnmf.sparse import AnyMatrix


def assemble(
    draws: Draws, model: Model, matrix: AnyMatrix, attrs: dict[str, Any],
    scale: np.ndarray | None = None,
) -> Fit:  # fmt: skip
    """Scale, match and label draws; with `scale` given, they have been scaled before."""
    aligned = align(draws.sites["W"], draws.sites["H"], draws.stats.get("lp"), scale)
    dims = {"W": ["row", "component"], "H": ["component", "column"]}
    posterior = {"W": aligned.W, "H": aligned.H}
    for name in draws.sites.keys() - {"W", "H"}:
        posterior[name] = draws.sites[name]
    if isinstance(model, NMF):
        dims |= {name: ["component"] for name in model.hyper_priors}
    elif isinstance(matrix, Matrix):
        dims = {**site_dims(model, matrix), **dims}
    posterior |= {
        name: reordered(posterior[name], dims.get(name, []), aligned.order)
        for name in posterior.keys() - {"W", "H"}
    }
    stats = {**draws.stats, "scale": aligned.scale, "match": aligned.similarity}
    known = model.likelihood.known if isinstance(model, NMF) else {}
    per_cell = {name: value for name, value in known.items() if np.ndim(value)}
    tree = _tree(matrix, posterior, dims, stats, per_cell)
    tree.attrs.update(attrs)
    tree.attrs.update(
        {name: value for name, value in draws.info.items() if value is not None},
        converged=int(bool(draws.converged)),
        interrupted=int(draws.interrupted),
        message=draws.message,
    )
    tree.attrs[storage.MODEL_ATTRIBUTE] = storage.model_to_json(model)
    if draws.state is not None:
        variables = {
            name: ([f"{name}_dim_{i}" for i in range(np.ndim(value))], value)
            for name, value in draws.state.items()
        }
        tree["sampler_state"] = xr.DataTree(xr.Dataset(variables))
    return Fit(tree, model)


def _tree(
    matrix: AnyMatrix, posterior: dict[str, Any], dims: dict[str, list[str]],
    stats: dict[str, Any], per_cell: dict[str, Any],
) -> xr.DataTree:  # fmt: skip
    from arviz_base import from_dict

    cell, component = ["row", "column"], ["component"]
    data, constant, data_dims = _stored(matrix)
    constant |= per_cell
    others = {"sample_stats": stats, "observed_data": data, "constant_data": constant}
    options: dict[str, Any] = {
        "coords": {
            "row": labels_of(matrix.row_names),
            "column": labels_of(matrix.column_names),
            "component": np.arange(posterior["H"].shape[2]),
        },
        # ArviZ suspects swapped dimensions where there are more chains than draws.
        "check_conventions": False,
    }
    tree = from_dict({"posterior": posterior}, dims=dims, **options)
    # Apart, since a program may call a site of its own "scale" too.
    known = {
        "scale": component,
        "match": component,
        **dict.fromkeys(per_cell, cell),
        **data_dims,
    }
    tree.update(from_dict(others, dims=known, **options).children)
    for group in tree.children.values():
        # The time of creation would make equal fits differ.
        group.attrs.pop("created_at", None)
    return tree


def _stored(
    matrix: AnyMatrix,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """Return observed data, the mask, and the dimensions of both."""
    if isinstance(matrix, Matrix):
        cell = ["row", "column"]
        return {"V": matrix.values}, {"observed": matrix.observed}, {"V": cell, "observed": cell}
    stored = matrix.stored
    data = {"V_value": stored.data, "V_column": stored.indices, "V_start": stored.indptr}
    dims = {"V_value": ["stored"], "V_column": ["stored"], "V_start": ["row_edge"]}
    if matrix.held_out is None:
        return data, {}, dims
    held = matrix.held_out.tocoo()
    constant = {"held_out_row": held.row, "held_out_column": held.col}
    return data, constant, dims | {name: ["held_out"] for name in constant}


def reordered(values: np.ndarray, dims: list[str], order: np.ndarray) -> np.ndarray:
    """Apply the matching to a further site that has a component dimension."""
    if "component" not in dims:
        return values
    axis = 2 + dims.index("component")
    index = order.reshape(
        *order.shape[:2], *(-1 if i == axis else 1 for i in range(2, values.ndim))
    )
    return np.take_along_axis(values, index, axis=axis)
