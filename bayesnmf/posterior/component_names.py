"""Other names for the components of a fit, in the place of 0, 1, 2, …."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesnmf.data.containers import require_writable
from bayesnmf.data.labels import labels_of
from bayesnmf.posterior.components import match_free

if TYPE_CHECKING:
    from bayesnmf.posterior.result import Fit


def rename(fit: Fit, names: Mapping[str | float, str | float]) -> Fit:
    """Return this fit with other names for some components; the fit itself stays as it is.

    Every table, figure and report shows the names, ``fit.H.sel(component="APOBEC")`` finds a
    component by its name, files keep them, and :func:`bayesnmf.resume` carries them on: a name stays
    with its component when further draws change the order by mass.

    Parameters
    ----------
    names : mapping
        New name of a component by its present one, which is its number at first. Others keep theirs.
        Files store one kind of names, so where one is text, the numbers become text: "1" for 1,
        which either of them finds in a later call.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError
        When `names` is no mapping, or a name is neither text nor a number.
    ValueError
        For a component that there is not, for two of one name, for a character that no file can
        hold, and when the chains are in several
        modes, whose components are not the same.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False).rename({0: "APOBEC"})
    >>> fit.H["component"].to_numpy().tolist()
    ['APOBEC', '1']
    """
    if fit.chain_modes.any():
        raise ValueError(
            "the chains of this fit are in several modes, whose components are not the same: name those "
            "of one mode, as bn.modes(fit)[0].rename(...)"
        )
    new = _new_names(fit.tree["posterior"].indexes["component"], names)
    renamed = replace(fit, tree=named(fit.tree, new))
    if fit.method == "mcmc":  # the message may name components
        from bayesnmf.posterior.checks import check

        before, after = check(fit).message, check(renamed).message
        renamed.tree.attrs["message"] = fit.message.replace(before, after)
    return renamed


def named(tree: xr.DataTree, names: np.ndarray) -> xr.DataTree:
    """Return a tree whose components have these names in all groups.

    Parameters
    ----------
    tree : xarray.DataTree
        It stays as it is.
    names : ndarray of shape (component,)
    """
    groups = {f"/{name}": group.to_dataset() for name, group in tree.children.items()}
    for name, group in groups.items():
        if "component" in group.coords:
            groups[name] = group.assign_coords(component=names)
    result = xr.DataTree.from_dict(groups, name=tree.name)
    result.attrs = dict(tree.attrs)
    return result


def carried(names: pd.Index, before: np.ndarray, after: np.ndarray, known: int = 0) -> np.ndarray:
    """Return the names of components that have been put into another order.

    Parameters
    ----------
    names : pandas.Index of length n_components
        Names before. Plain numbers are no names: they are the places by mass, and stay in order.
    before, after : ndarray of shape (chain, draw, component, column)
        The same draws of H before and after.
    known : int, default 0
        Number of known components, which stay where they are.

    Returns
    -------
    ndarray of shape (component,)

    Examples
    --------
    >>> H = np.array([[[[0.9, 0.1], [0.2, 0.8]]]])
    >>> carried(pd.Index(["a", "b"]), H, H[:, :, ::-1]).tolist()
    ['b', 'a']
    >>> carried(pd.Index([0, 1]), H, H[:, :, ::-1]).tolist()
    [0, 1]
    """
    if names.equals(pd.RangeIndex(len(names))):
        return np.arange(len(names))
    order = match_free(before.mean(axis=(0, 1))[None], after.mean(axis=(0, 1)), known)[0]
    return labels_of(names)[order]


def _new_names(present: pd.Index, names: Mapping[Any, Any]) -> np.ndarray:
    """Return all names, those of the mapping replaced."""
    if not isinstance(names, Mapping):
        raise TypeError(
            f'names must be a mapping such as {{0: "APOBEC"}}, not {type(names).__name__}'
        )
    places = {_key(name): place for place, name in enumerate(present)}
    result, replaced = present.tolist(), set()
    for old, new in names.items():
        if _key(old) not in places:
            raise ValueError(f"there is no component {old!r}: the names are {', '.join(places)}")
        if _key(old) in replaced:
            raise ValueError(f"component {_key(old)} is given two names: give one")
        if not isinstance(new, str) and not _is_number(new):
            raise TypeError(f"the name of a component must be text or a number, not {new!r}")
        replaced.add(_key(old))
        result[places[_key(old)]] = new
    require_writable(pd.Index(result), "component")
    labels = labels_of(pd.Index(result))
    index = pd.Index(labels)
    if not index.is_unique:
        twice = index[index.duplicated()].tolist()[0]
        raise ValueError(
            f"two components would have the name {twice!r}: give every component another name"
        )
    return labels


def _key(name: Any) -> str:
    """Return a name as text: 1, 1.0 and "1" are the same name."""
    return str(int(name)) if _is_number(name) and float(name).is_integer() else str(name)


def _is_number(name: Any) -> bool:
    """Return whether a name is a number that can be one: True, infinity and NaN are none."""
    return isinstance(name, Real) and not isinstance(name, bool) and math.isfinite(name)
