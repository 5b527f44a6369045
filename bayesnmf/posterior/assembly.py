"""From draws to a tree: components scaled and matched, everything labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesnmf.data import AnyMatrix
from bayesnmf.methods import Draws
from bayesnmf.model import Model
from bayesnmf.model.entrywise import recorded_priors
from bayesnmf.model.known import recorded_tables
from bayesnmf.posterior.archive import MODEL_ATTRIBUTE
from bayesnmf.posterior.components import align
from bayesnmf.posterior.model_record import model_to_json
from bayesnmf.posterior.tree import build_tree, lines_of


def assemble(
    draws: Draws,
    model: Model,
    matrix: AnyMatrix,
    attrs: dict[str, Any],
    scale: np.ndarray | None = None,
    names: np.ndarray | None = None,
    fixed: bool = False,
) -> xr.DataTree:
    """Scale, match and label draws, and return them as a tree.

    Parameters
    ----------
    draws : Draws
    model : NMF or Program
        Resolved.
    matrix : Matrix or SparseMatrix
    attrs : dict
        Attributes of the tree beside those that the draws give.
    scale : ndarray of shape (chain, draw, component), optional
        What was moved from H into W before; None: nothing.
    names : ndarray of shape (component,), optional
        Names of the components; None: 0, 1, 2, …
    fixed : bool, default False
        Whether components keep the places that they have, and are not matched.

    Returns
    -------
    xarray.DataTree
        Without the attribute ``converged`` where only a diagnosis of the draws can tell.
    """
    known = 0 if model.nmf is None else model.nmf.n_identified
    known = draws.sites["H"].shape[2] if fixed else known
    aligned = align(draws.sites["W"], draws.sites["H"], draws.stats.get("lp"), scale, known)
    dims = {
        **model.site_dims(matrix),
        "W": ["row", "component"],
        "H": ["component", "column"],
    }
    posterior = {"W": aligned.W, "H": aligned.H}
    posterior |= {
        name: reordered(draws.sites[name], dims.get(name, []), aligned.order)
        for name in draws.sites.keys() - {"W", "H"}
    }
    stats = {**draws.stats, "scale": aligned.scale, "match": aligned.similarity}
    constants = {
        name: lines_of(np.asarray(value), matrix.shape)
        for name, value in model.known.items()
        if np.ndim(value)
    }
    if model.nmf is not None:
        constants |= recorded_tables(model.nmf) | recorded_priors(model.nmf)
    names = np.arange(aligned.H.shape[2]) if names is None else names
    tree = build_tree(matrix, posterior, dims, stats, constants, names)
    tree.attrs.update(attrs)
    tree.attrs.update(_ending(draws))
    tree.attrs[MODEL_ATTRIBUTE] = model_to_json(model)
    return tree


def _ending(draws: Draws) -> dict[str, Any]:
    """Return the attributes that say how the run ended."""
    known = {name: value for name, value in draws.info.items() if value is not None}
    if draws.converged is not None:
        known["converged"] = int(draws.converged)
    return {**known, "interrupted": int(draws.interrupted), "message": draws.message}


def reordered(values: np.ndarray, dims: list[str], order: np.ndarray) -> np.ndarray:
    """Apply the matching to a further site that has a component dimension."""
    if "component" not in dims:
        return values
    axis = 2 + dims.index("component")
    index = order.reshape(
        *order.shape[:2], *(-1 if i == axis else 1 for i in range(2, values.ndim))
    )
    return np.take_along_axis(values, index, axis=axis)
