"""From draws to a fit: components scaled and matched, everything labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesnmf.data import AnyMatrix
from bayesnmf.methods import Draws
from bayesnmf.model import Model
from bayesnmf.posterior import archive as storage
from bayesnmf.posterior.components import align
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.tree import build_tree


def assemble(
    draws: Draws,
    model: Model,
    matrix: AnyMatrix,
    attrs: dict[str, Any],
    scale: np.ndarray | None = None,
) -> Fit:
    """Scale, match and label draws; with `scale` given, they have been scaled before."""
    aligned = align(draws.sites["W"], draws.sites["H"], draws.stats.get("lp"), scale)
    dims = {
        **model.site_dims(matrix),
        "W": ["row", "component"],
        "H": ["component", "column"],
    }
    posterior = {"W": aligned.W, "H": aligned.H}
    for name in draws.sites.keys() - {"W", "H"}:
        posterior[name] = draws.sites[name]
    posterior |= {
        name: reordered(posterior[name], dims.get(name, []), aligned.order)
        for name in posterior.keys() - {"W", "H"}
    }
    stats = {**draws.stats, "scale": aligned.scale, "match": aligned.similarity}
    per_cell = {name: value for name, value in model.known.items() if np.ndim(value)}
    tree = build_tree(matrix, posterior, dims, stats, per_cell)
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


def reordered(values: np.ndarray, dims: list[str], order: np.ndarray) -> np.ndarray:
    """Apply the matching to a further site that has a component dimension."""
    if "component" not in dims:
        return values
    axis = 2 + dims.index("component")
    index = order.reshape(
        *order.shape[:2], *(-1 if i == axis else 1 for i in range(2, values.ndim))
    )
    return np.take_along_axis(values, index, axis=axis)
