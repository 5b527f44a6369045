"""Fit: one posterior, labelled and aligned, whatever method it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr

from bayesnmf import storage
from bayesnmf.components import align
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.methods.programs import site_dims
from bayesnmf.model import NMF, Model
from bayesnmf.sparse import AnyMatrix


@dataclass(frozen=True, eq=False)
class Fit:
    """A posterior of W and H, with the model and the data that it came from.

    Returned by :func:`bayesnmf.fit` and :func:`bayesnmf.load`.

    Parameters
    ----------
    tree : xarray.DataTree
        ArviZ groups. ``posterior``: W (chain, draw, row, component), H (chain, draw,
        component, column), the likelihood's inferred parameters; each row of H sums to 1 and W
        carries the mass; components are matched over draws and chains and numbered by
        decreasing mass. ``sample_stats``: log joint density ``lp``, sampler statistics, the
        ``scale`` that was moved from H into W, the ``match`` cosine of each component.
        ``observed_data``: V, NaN where missing, or the stored cells ``V_value``, ``V_column``, ``V_start``
        (compressed rows) of data fitted sparse. ``constant_data``: the mask ``observed`` (of sparse data, the cells
        ``held_out_row``, ``held_out_column``), and known per-cell arrays. ``sampler_state``: from which
        :meth:`resume` goes on, where the method left one.
    model : NMF, Program or None
        The model with every default resolved; None when it was a function of a session that
        has ended.
    """

    tree: xr.DataTree
    model: Model | None

    @property
    def W(self) -> xr.DataArray:
        """Posterior mean of W, of dims (row, component)."""
        return self.tree["posterior"].dataset["W"].mean(("chain", "draw"))

    @property
    def H(self) -> xr.DataArray:
        """Posterior mean of H, of dims (component, column)."""
        return self.tree["posterior"].dataset["H"].mean(("chain", "draw"))

    @property
    def mean(self) -> xr.DataArray:
        """Posterior mean of WH, of dims (row, column)."""
        posterior = self.tree["posterior"].dataset
        W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
        n_draws = W.shape[0] * W.shape[1]
        # One product over (draw, component) pairs, so that no draw's WH is ever formed.
        stacked_W = np.moveaxis(W, 2, 0).reshape(W.shape[2], -1)
        stacked_H = H.reshape(-1, H.shape[3])
        coords = {dim: posterior.coords[dim] for dim in ("row", "column")}
        return xr.DataArray(stacked_W @ stacked_H / n_draws, coords, ("row", "column"), name="mean")

    @property
    def mass(self) -> xr.DataArray:
        """Draws of each component's mass, the sum of its part of WH: (chain, draw, component)."""
        posterior = self.tree["posterior"].dataset
        # W of an empty component sits where its prior puts it and adds nothing to WH.
        used = (posterior["H"] > 0).any("column")
        return posterior["W"].sum("row").where(used, 0.0).rename("mass")

    @property
    def V(self) -> pd.DataFrame:
        """The data, NaN where missing; of sparse columns where they were fitted sparse."""
        data, posterior = self.tree["observed_data"].dataset, self.tree["posterior"].dataset
        names = posterior.indexes["row"], posterior.indexes["column"]
        if "V" in data:
            return pd.DataFrame(data["V"].to_numpy(), *names)
        return pd.DataFrame.sparse.from_spmatrix(sparse_cells(self.tree), *names)  # type: ignore[attr-defined]

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.tree["posterior"].sizes["component"]

    @property
    def method(self) -> str:
        """Name of the method: "map", "svi" or "mcmc"."""
        return str(self.tree.attrs["method"])

    @property
    def converged(self) -> bool:
        """Whether the method met its criterion; for MCMC, the verdict of :func:`bayesnmf.check`."""
        return bool(self.tree.attrs["converged"])

    @property
    def message(self) -> str:
        """How the fit ended."""
        return str(self.tree.attrs["message"])

    def summary(self, interval: float = 0.9, top: int = 3) -> pd.DataFrame:
        """Summarise each component's mass and its leading columns.

        Parameters
        ----------
        interval : float, default 0.9
            Probability of the equal-tailed intervals.
        top : int, default 3
            Number of leading columns named.

        Returns
        -------
        DataFrame
            One row a component: posterior mean, standard deviation and interval of its mass (in
            the units of WH summed over cells), its share of the total mass, and the columns
            with the largest posterior mean of H with their weights. Standard deviations and
            intervals are NaN for a single draw.
        """
        if not 0 < interval < 1:
            raise ValueError(f"interval must lie between 0 and 1, not {interval}")
        mass = self.mass.stack(sample=("chain", "draw")).to_numpy()
        H = self.H
        leading = np.argsort(-H.to_numpy(), axis=1, kind="stable")[:, :top]
        single = mass.shape[1] == 1
        total = mass.mean(axis=1).sum()
        tails = (0.5 - interval / 2, 0.5 + interval / 2)
        low, high = np.quantile(mass, tails, axis=1) * (np.nan if single else 1.0)
        return pd.DataFrame(
            {
                "mass": mass.mean(axis=1),
                "sd": np.full(len(mass), np.nan) if single else mass.std(axis=1, ddof=1),
                f"{100 * tails[0]:g}%": low,
                f"{100 * tails[1]:g}%": high,
                "share": mass.mean(axis=1) / (total if total > 0 else np.nan),
                "leading columns": [
                    ", ".join(f"{H['column'].values[j]} {H.values[k, j]:.2f}" for j in columns)
                    for k, columns in enumerate(leading)
                ],
            },
            index=pd.Index(H["component"].to_numpy(), name="component"),
        )

    def resume(self, num_samples: int = 1000, *, progress: bool = True) -> Fit:
        """Draw more: go on where the chains of this fit ended.

        Parameters
        ----------
        num_samples : int, default 1000
            Further draws of each chain.
        progress : bool, default True
            Whether to show a progress bar.

        Returns
        -------
        Fit
            All draws, those of this fit first; bit for bit those of one run of that length.

        Raises
        ------
        ValueError
            When the method left no state: only MCMC of an NMF does, by its own sampler.
        """
        from bayesnmf.fitting import resume

        return resume(self, num_samples, progress=progress)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to ``.nc`` (HDF5 netCDF) or ``.zarr``; :func:`bayesnmf.load` reads it.

        Raises
        ------
        ValueError
            When the name ends in something else.
        """
        storage.write(self.tree, path)

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
        name = self.model.likelihood.name if isinstance(self.model, NMF) else repr(self.model)
        return (
            f"<Fit: {sizes['row']} x {sizes['column']}, {self.n_components} components, {name}, "
            f"{self.method}, {sizes['chain']} chain(s) x {sizes['draw']} draw(s)>\n{self.message}"
        )


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit that :meth:`Fit.save` wrote.

    Parameters
    ----------
    path : path
        A ``.nc`` file or a ``.zarr`` folder.

    Returns
    -------
    Fit

    Raises
    ------
    FileNotFoundError
        When there is nothing at `path`.
    ValueError
        When it holds something other than a bayesnmf result.
    """
    return from_tree(storage.read(path))


def from_tree(tree: xr.DataTree) -> Fit:
    """Return the fit that a tree describes, rebuilding its model."""
    constant = tree["constant_data"].to_dataset() if "constant_data" in tree else None
    return Fit(tree, storage.model_from_json(tree.attrs[storage.MODEL_ATTRIBUTE], constant))


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
    if not isinstance(model, NMF) and isinstance(matrix, Matrix):
        dims = {**site_dims(model, matrix), **dims}
        posterior |= {
            name: _reordered(posterior[name], dims[name], aligned.order)
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
            "row": _labels(matrix.row_names),
            "column": _labels(matrix.column_names),
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


def sparse_cells(tree: xr.DataTree) -> scipy.sparse.csr_array:
    """Return the cells of a fit of sparse data, with NaN stored where held out."""
    sizes, data = tree["posterior"].sizes, tree["observed_data"].dataset
    shape = (sizes["row"], sizes["column"])
    parts = (data[f"V_{part}"].to_numpy() for part in ("value", "column", "start"))
    cells = scipy.sparse.csr_array(tuple(parts), shape)
    held = tree["constant_data"].dataset if "constant_data" in tree else xr.Dataset()
    if "held_out_row" not in held:
        return cells
    where = (held["held_out_row"].to_numpy(), held["held_out_column"].to_numpy())
    return cells + scipy.sparse.csr_array((np.full(len(where[0]), np.nan), where), shape)


def _labels(names: pd.Index) -> np.ndarray:
    """Return coordinate labels that netCDF can store: numbers, or text."""
    if names.dtype.kind in "iuf":
        return names.to_numpy()
    # The levels of a MultiIndex arrive as tuples.
    parts = (name if isinstance(name, tuple) else (name,) for name in names)
    return np.array([" / ".join(map(str, part)) for part in parts])


def _reordered(values: np.ndarray, dims: list[str], order: np.ndarray) -> np.ndarray:
    """Apply the matching to a further site that has a component dimension."""
    if "component" not in dims:
        return values
    axis = 2 + dims.index("component")
    index = order.reshape(
        *order.shape[:2], *(-1 if i == axis else 1 for i in range(2, values.ndim))
    )
    return np.take_along_axis(values, index, axis=axis)
