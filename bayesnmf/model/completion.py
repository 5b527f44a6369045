"""W and H with their known components put in, and without them, as a NumPyro program has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array

if TYPE_CHECKING:
    from bayesnmf.model.interface import Model
    from bayesnmf.model.nmf import NMF


def put_known[A: (np.ndarray, Array)](model: NMF, W: A, H: A) -> tuple[A, A]:
    """Return factors W, (row, component), and H, (component, column), with what is known of them."""
    xp: Any = np if isinstance(W, np.ndarray) else jnp
    if model.W is not None:
        W = xp.concatenate([xp.asarray(model.W, W.dtype), W[:, model.n_known_W :]], axis=1)
    if model.H is not None:
        H = xp.concatenate([xp.asarray(model.H, H.dtype), H[model.n_known_H :]], axis=0)
    return W, H


def sites_to_infer(model: Model, sites: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sites of the NumPyro program: of W and H only what is inferred."""
    nmf = model.nmf
    if nmf is None or "W" not in sites:
        return dict(sites)
    parts = {"W": sites["W"][..., nmf.n_known_W :], "H": sites["H"][..., nmf.n_known_H :, :]}
    free = {name: x for name, x in parts.items() if x.size}
    return {name: x for name, x in sites.items() if name not in parts} | free


def complete_sites(model: Model, sites: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws, (chain, draw, ...), of whole W and H from draws of the program's sites."""
    nmf, whole = model.nmf, dict(sites)
    if nmf is None:
        return whole
    lead = next(iter(sites.values())).shape[:2]
    for name, table, axis in (("W", nmf.W, -1), ("H", nmf.H, -2)):
        if table is not None:
            known = np.asarray(table)
            parts = [np.broadcast_to(known, (*lead, *known.shape))]
            parts += [sites[name]] if name in sites else []
            whole[name] = np.concatenate(parts, axis=axis)
    return whole
