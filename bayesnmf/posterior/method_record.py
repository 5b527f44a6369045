"""The options of a method in a fit: JSON in an attribute, arrays in a group of their own.

Nothing is lost: :func:`method_of` gives the record back that made the fit, of a saved fit too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesnmf.data.labels import labels_of
from bayesnmf.methods import METHODS, Method
from bayesnmf.posterior.result import Fit

#: Attribute of a fit that holds the options, and the group that holds the arrays among them.
OPTIONS, ARRAYS = "method_options", "method_arrays"


def method_to_record(method: Method) -> tuple[dict[str, Any], dict[str, xr.DataArray]]:
    """Return the options of a method as plain values, and the arrays that they name.

    Parameters
    ----------
    method : MAP, SVI or MCMC

    Returns
    -------
    dict
        Of numbers, text and lists; ``{"array": name}`` stands for an array.
    dict of str to DataArray
        The arrays, by name.

    Examples
    --------
    >>> from bayesnmf.methods import MAP
    >>> options, arrays = method_to_record(MAP(init=(np.ones((3, 1)), np.ones((1, 2)))))
    >>> options["init"], list(arrays)
    ([{'array': 'init_0'}, {'array': 'init_1'}], ['init_0', 'init_1'])
    """
    arrays: dict[str, xr.DataArray] = {}
    options = {
        field.name: _plain(getattr(method, field.name), field.name, arrays)
        for field in fields(method)
    }
    return options, arrays


def method_of(fit: Fit) -> Method:
    """Return the record of the method that made a fit, from the options that the fit keeps."""
    options = json.loads(fit.tree.attrs.get(OPTIONS, "{}"))
    arrays = fit.tree[ARRAYS].dataset if ARRAYS in fit.tree.children else {}
    record = METHODS[fit.method]
    known = {field.name for field in fields(record)}
    return record(
        **{name: _restored(value, arrays) for name, value in options.items() if name in known}
    )


def _plain(value: Any, name: str, arrays: dict[str, xr.DataArray]) -> Any:
    """Return a value that JSON can hold; arrays are put aside."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{name}_{i}", arrays) for i, part in enumerate(value)]
    arrays[name] = _stored(value, name)
    # Containers with names are matched by them, so they must come back with their names.
    kind = {pd.DataFrame: "table", xr.DataArray: "labelled"}.get(type(value))
    return {"array": name} if kind is None else {"array": name, "kind": kind}


def _stored(value: Any, name: str) -> xr.DataArray:
    """Return an array under names of dimensions that no other group has."""
    dims = [f"{name}_dim_{i}" for i in range(np.ndim(value))]
    coords = {}
    if isinstance(value, xr.DataArray):
        indexes = [value.indexes.get(dim) for dim in value.dims]
    else:
        indexes = [value.index, value.columns] if isinstance(value, pd.DataFrame) else []
    for dim, index in zip(dims, indexes, strict=False):
        if index is not None:
            coords[dim] = labels_of(index)
    stored = xr.DataArray(np.asarray(value), coords, dims)
    if isinstance(value, xr.DataArray):
        stored.attrs["dims"] = json.dumps([str(dim) for dim in value.dims])
    return stored


def _restored(value: Any, arrays: Mapping[Any, Any]) -> Any:
    """Return an option as it was given."""
    if isinstance(value, list):
        return [_restored(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    stored = arrays[value["array"]]
    if value.get("kind") == "table":
        return stored.to_pandas().rename_axis(index=None, columns=None)
    if value.get("kind") == "labelled":
        names = dict(zip(stored.dims, json.loads(stored.attrs["dims"]), strict=True))
        return stored.rename(names).rename(None).drop_attrs()
    return stored.to_numpy()
