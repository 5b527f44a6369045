"""AnnData: which of its matrices is V, and the names of its rows and columns.

Its objects are recognised by what they have, so the package `anndata` is not imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

#: Layers that an error lists.
LISTED = 10


def is_annotated(V: Any) -> bool:
    """Return whether an object is an AnnData, or looks like one."""
    return all(hasattr(V, name) for name in ("X", "obs_names", "var_names"))


def unpacked(V: Any, layer: str | None = None) -> tuple[Any, pd.Index, pd.Index]:
    """Return a matrix of an AnnData in memory, the names of its observations and of its variables.

    Parameters
    ----------
    V : AnnData
        In memory, backed by a file, or a view of a part of either.
    layer : str, optional
        A key of ``V.layers``. None: ``V.X``.

    Returns
    -------
    values : ndarray or SciPy sparse matrix of shape (n_obs, n_vars)
    obs_names, var_names : pandas.Index

    Raises
    ------
    ValueError
        When it has no such layer, or no X; the message lists the layers.
    """
    layers = [name for name in getattr(V, "layers", {}) if name is not None]  # None is X
    has = f"it has {_listed(layers)}" if layers else "it has no layers"
    if layer is not None and layer not in layers:
        hint = "" if V.X is None else ". Leave layer out to use X"
        raise ValueError(f"V is an AnnData without the layer {layer!r}: {has}{hint}")
    values = V.X if layer is None else V.layers[layer]
    if values is None:
        raise ValueError(f"V is an AnnData without X: {has}. Say layer=… to use one of them")
    return _in_memory(values), pd.Index(V.obs_names), pd.Index(V.var_names)


def _in_memory(values: Any) -> Any:
    """Return an array or a sparse matrix; backed ones are read, and lazy ones computed."""
    for method in ("to_memory", "compute"):
        if hasattr(values, method):
            values = getattr(values, method)()
    return values if scipy.sparse.issparse(values) else np.asarray(values)


def _listed(layers: list[str]) -> str:
    more = ", …" if len(layers) > LISTED else ""
    return ", ".join(map(repr, layers[:LISTED])) + more
