"""Where the chains stopped: kept beside the tree of a fit, and in its file as a group of the tree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

#: The group of a file.
GROUP = "sampler_state"


#: Arrays by name, which only the sampler that made them reads.
type SamplerState = Mapping[str, np.ndarray]


def with_state(tree: xr.DataTree, state: SamplerState | None) -> xr.DataTree:
    """Return a tree for a file: with the state as one more group, where there is one.

    Parameters
    ----------
    tree : xarray.DataTree
        It stays as it is.
    state : dict of str to ndarray, or None
    """
    if state is None:
        return tree
    whole = tree.copy()
    variables = {
        name: ([f"{name}_dim_{i}" for i in range(np.ndim(value))], value)
        for name, value in state.items()
    }
    whole[GROUP] = xr.DataTree(xr.Dataset(variables))
    return whole


def split_state(tree: xr.DataTree) -> tuple[xr.DataTree, SamplerState | None]:
    """Return a tree that was read without its state, and the state; None where there is none.

    Examples
    --------
    >>> tree, state = split_state(with_state(xr.DataTree(), {"step": np.array(3)}))
    >>> list(tree.children), state
    ([], {'step': array(3)})
    """
    if GROUP not in tree.children:
        return tree, None
    state = {str(name): x.to_numpy() for name, x in tree[GROUP].data_vars.items()}
    return tree.drop_nodes(GROUP), state
