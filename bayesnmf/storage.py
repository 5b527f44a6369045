"""A fit on disk: its tree as netCDF or Zarr, its model as JSON in an attribute."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesnmf import likelihoods, priors
from bayesnmf.model import NMF, Model, Program
from bayesnmf.zoo import load_model

#: Attribute of the tree's root that marks a bayesnmf result and holds its model.
MODEL_ATTRIBUTE = "bayesnmf_model"
#: Attribute of the root that marks a sweep over ranks, and holds what was asked.
SWEEP_ATTRIBUTE = "bayesnmf_rank_selection"


def write(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a tree to `path`: ``.nc`` (HDF5 netCDF) or ``.zarr``.

    A file appears under its name only when it is complete, so that an interrupted save leaves
    an earlier one in place.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {path.parent}")
    if path.suffix not in (".nc", ".zarr"):
        raise ValueError(f"cannot save to {path}: its name must end in .nc or .zarr")
    partial = path.with_name(path.name + ".partial")
    try:
        if path.suffix == ".zarr":
            _require_zarr()
            tree.to_zarr(partial, mode="w", consolidated=False)
            _remove(path)  # no system call replaces a folder that has contents
        else:
            tree.to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read(
    path: str | os.PathLike[str], attributes: tuple[str, ...] = (MODEL_ATTRIBUTE,),
    what: str = "a bayesnmf result (write one with fit.save or bayesnmf fit --out)",
) -> xr.DataTree:  # fmt: skip
    """Read a tree that :func:`write` wrote, into memory.

    Parameters
    ----------
    path : path
    attributes : tuple of str
        Attributes of the root, any of which marks such a tree.
    what : str
        What it is, for the error.

    Raises
    ------
    FileNotFoundError
        When there is nothing at `path`.
    ValueError
        When it holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    wrong = f"{path} is not {what}"
    if path.suffix == ".zarr":
        _require_zarr()
        options: dict[str, Any] = {"engine": "zarr", "consolidated": False}
    else:
        # Named, or xarray warns of a plain HDF5 file before it can be refused.
        options = {"engine": "h5netcdf", "phony_dims": "access"}
    try:
        with xr.open_datatree(path, **options) as opened:
            tree = opened.load()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(wrong) from error
    if not any(name in tree.attrs for name in attributes):
        if SWEEP_ATTRIBUTE in tree.attrs:
            wrong = (
                f"{path} is a sweep over ranks, not a fit: bayesnmf report takes it, and "
                f"bn.load({str(path)!r}).best_fit is the fit of the chosen rank, which its "
                "save method writes to a file"
            )
        raise ValueError(wrong)
    return tree


def model_to_json(model: Model) -> str:
    """Describe a model in JSON; its known per-cell arrays are named, not included."""
    if isinstance(model, Program):
        return json.dumps({"program": model.reference, "options": dict(model.options)})
    return json.dumps(
        {
            "n_components": model.n_components,
            "likelihood": _record(model.likelihood),
            "prior_W": _record(model.prior_W),
            "prior_H": _record(model.prior_H),
        }
    )


def model_from_json(text: str, arrays: xr.Dataset | None) -> Model | None:
    """Rebuild the model; None for a program that has no file to load it from."""
    record = json.loads(text)
    if "program" in record:
        reference = record["program"]
        return load_model(reference, **record["options"]) if reference else None
    return NMF(
        record["n_components"],
        _instance(record["likelihood"], likelihoods.REGISTRY, arrays),
        _instance(record["prior_W"], priors.REGISTRY, arrays),
        _instance(record["prior_H"], priors.REGISTRY, arrays),
    )


def _record(instance: Any) -> dict[str, Any]:
    values = {field.name: getattr(instance, field.name) for field in fields(instance)}
    return {"name": instance.name, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, priors.Gamma):  # the hyper-prior of a rate
        return _record(value)
    return "array" if np.ndim(value) else value


def _instance(record: dict[str, Any], registry: dict[str, Any], arrays: xr.Dataset | None) -> Any:
    values = dict(record)
    cls = registry[values.pop("name")]
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = _instance(value, registry, arrays)
        elif value == "array" and arrays is not None:
            values[name] = arrays[name].to_numpy()
    return cls(**values)


def _require_zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise ImportError(
            "saving to .zarr needs the zarr package: pip install 'bayesnmf[zarr]', or save to .nc"
        ) from None
