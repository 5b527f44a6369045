"""Fit: one posterior, labelled and aligned, whatever method it came from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.data.labels import positions
from bayesnmf.data.memory import require_dense
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import Model, as_model
from bayesnmf.posterior import archive as storage
from bayesnmf.posterior import clusters, structure
from bayesnmf.posterior.tree import sparse_cells

#: Numbers (draws x components x cells) that the mean of some cells holds at once.
CELL_NUMBERS = 2**24


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
        decreasing mass; where priors have hyper-priors, the rates (chain, draw, component) of W
        and H as they were before scaling, ``W / scale`` and ``H * scale``. ``sample_stats``: log joint density ``lp``, sampler statistics, the
        ``scale`` that was moved from H into W, the ``match`` cosine of each component.
        ``observed_data``: V, NaN where missing, or the stored cells ``V_value``, ``V_column``, ``V_start``
        (compressed rows) of data fitted sparse. ``constant_data``: the mask ``observed`` (of sparse data, the cells
        ``held_out_row``, ``held_out_column``), and known per-cell arrays. ``sampler_state``: from which
        :meth:`resume` goes on, where the method left one.
    model : NMF, Program or None
        The model with every default resolved; None for a loaded fit whose model was a function of
        a session that has ended, or a Python file that :func:`bayesnmf.load` was not told to trust.
    """

    tree: xr.DataTree
    model: Model | None

    @property
    def W(self) -> xr.DataArray:
        """Posterior mean of W, of dims (row, component); refused for chains in several modes."""
        return self._one_mode["W"].mean(("chain", "draw"))

    @property
    def H(self) -> xr.DataArray:
        """Posterior mean of H, of dims (component, column); refused as W is."""
        return self._one_mode["H"].mean(("chain", "draw"))

    @property
    def mean(self) -> xr.DataArray:
        """Posterior mean of WH, of dims (row, column); refused as W is.

        It has a number for every cell, so it is refused above :data:`bayesnmf.data.matrix.DENSE_BUDGET`;
        :meth:`mean_at` serves some cells.
        """
        posterior = self._one_mode
        require_dense(
            (posterior.sizes["row"], posterior.sizes["column"]),
            "the mean of WH",
            "Ask for some cells with fit.mean_at(rows, columns)",
            posterior["W"].dtype.itemsize,
        )
        W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
        n_draws = W.shape[0] * W.shape[1]
        # One product over (draw, component) pairs, so that no draw's WH is ever formed.
        stacked_W = np.moveaxis(W, 2, 0).reshape(W.shape[2], -1)
        stacked_H = H.reshape(-1, H.shape[3])
        coords = {dim: posterior.coords[dim] for dim in ("row", "column")}
        return xr.DataArray(stacked_W @ stacked_H / n_draws, coords, ("row", "column"), name="mean")

    def mean_at(self, rows: ArrayLike, columns: ArrayLike) -> np.ndarray:
        """Return the posterior mean of WH at some cells, without that of all others.

        Parameters
        ----------
        rows, columns : array of shape (n_cells,), or a single name
            Names of each cell's row and column: those of V, or positions where V had no names. One
            name stands for all cells.

        Returns
        -------
        ndarray of shape (n_cells,)

        Raises
        ------
        ValueError
            For names that V does not have, or has more than once; for rows and columns that differ
            in number; and when the chains are in several modes.

        Examples
        --------
        >>> import bayesnmf as bn
        >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
        >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
        >>> bool(np.allclose(fit.mean_at([0, 7], [5, 2]), fit.mean.to_numpy()[[0, 7], [5, 2]]))
        True
        """
        posterior = self._one_mode
        names = posterior.indexes
        i = positions(names["row"], rows, "rows")
        j = positions(names["column"], columns, "columns")
        if len(i) != len(j) and 1 not in (len(i), len(j)):
            raise ValueError(
                f"there are {len(i)} rows and {len(j)} columns: give a pair for each cell"
            )
        i, j = np.broadcast_arrays(i, j)
        W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
        n_draws = W.shape[0] * W.shape[1]
        step = max(CELL_NUMBERS // (n_draws * W.shape[3]), 1)
        parts = [
            np.einsum("cdik,cdki->i", W[:, :, i[a : a + step]], H[..., j[a : a + step]])
            for a in range(0, len(i), step)
        ]
        return np.concatenate([np.empty(0, W.dtype), *parts]) / n_draws

    @property
    def mass(self) -> xr.DataArray:
        """Draws of each component's mass, the sum of its part of WH: (chain, draw, component)."""
        posterior = self.tree["posterior"].dataset
        # W of an empty component sits where its prior puts it and adds nothing to WH.
        used = (posterior["H"] > 0).any("column")
        return posterior["W"].sum("row").where(used, 0.0).rename("mass")

    def active(self, threshold: float = 0.01) -> xr.DataArray:
        """Return which components are active: hold more than a share of the total mass.

        Under a prior that lets excess components empty out, such as :class:`bayesnmf.priors.ARD`,
        their number is what the data ask for. It is a posterior quantity, counted draw by draw.

        Parameters
        ----------
        threshold : float, default 0.01
            Share of the total mass of the draw.

        Returns
        -------
        DataArray of bool of dims (chain, draw, component)
            Its sum over "component" is the number of active components of every draw, its mean
            over "chain" and "draw" each component's probability of being active.

        Raises
        ------
        ValueError
            When `threshold` is no share.

        Examples
        --------
        >>> import bayesnmf as bn
        >>> V, _, _ = bn.datasets.make_nmf(20, 15, 2, "poisson", seed=1)
        >>> fit = bn.fit(V, bn.NMF(4, prior_W="ard", prior_H="ard"), "map", progress=False)
        >>> int(fit.active().sum("component").item())
        2
        """
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must be a share between 0 and 1, not {threshold}")
        mass = self.mass
        return (mass > threshold * mass.sum("component")).rename("active")

    @cached_property
    def chain_modes(self) -> xr.DataArray:
        """Mode that each chain is in, of dim (chain,), numbered from the highest log density.

        All 0 unless the chains of MCMC have found different factorisations; see
        :func:`bayesnmf.modes`.
        """
        posterior = self.tree["posterior"].dataset
        mode = np.zeros(posterior.sizes["chain"], int)
        if self.method == "mcmc":
            W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
            mode = clusters.cluster(W, H, self.tree["sample_stats/lp"].to_numpy())
        return xr.DataArray(mode, {"chain": posterior["chain"]}, ("chain",), name="mode")

    @property
    def _one_mode(self) -> xr.Dataset:
        """The posterior, if it may be averaged."""
        require_one_mode(self)
        return self.tree["posterior"].dataset

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

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run, with the draws that it had made."""
        return bool(self.tree.attrs.get("interrupted", 0))

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
            the units of WH summed over cells), its share of the total mass (0 where there is none), and the columns
            with the largest posterior mean of H with their weights. Standard deviations and
            intervals are NaN for a single draw.

        Raises
        ------
        ValueError
            When the chains are in several modes, whose components are not the same.
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
                "share": mass.mean(axis=1) / (total if total > 0 else 1.0),
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

        Warns
        -----
        ConvergenceWarning
            When the chains have still not converged.
        """
        from bayesnmf.posterior.fitting import resume

        return resume(self, num_samples, progress=progress)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to ``.nc`` (HDF5 netCDF) or ``.zarr``; :func:`bayesnmf.load` reads it.

        An earlier file, or a ``.zarr`` folder that holds an earlier result and nothing else, is
        replaced in one step, once the new one is complete. A checksum of all its bytes goes with it.

        Parameters
        ----------
        path : path
            A name that ends in ``.nc`` or ``.zarr``.

        Raises
        ------
        ValueError
            When the name ends in something else, or is that of a folder that is no result, and where
            the format cannot hold something, such as a NUL character in a name.
        OSError
            When it cannot be written, as on a full disk; an earlier result stays.
        """
        storage.write(self.tree, path)

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
        name = "model unknown" if self.model is None else self.model.name
        return (
            f"<Fit: {sizes['row']} x {sizes['column']}, {self.n_components} components, {name}, "
            f"{self.method}, {sizes['chain']} chain(s) x {sizes['draw']} draw(s)>\n{self.message}"
        )


def require_one_mode(fit: Fit) -> None:
    """Raise when the chains are in several modes, which no average or interval describes."""
    if fit.chain_modes.any():
        raise ValueError(clusters.refusal(fit.chain_modes))


def require_whole(fit: Fit) -> Fit:
    """Return the fit; go on with Ctrl-C where it cut the run short.

    For what fits several times and has no use for one of the fits alone.
    """
    if fit.interrupted:
        raise KeyboardInterrupt
    return fit


def warn_of_modes(fit: Fit, stacklevel: int = 3) -> None:
    """Warn that chains in several modes count alike in what they predict."""
    if fit.chain_modes.any():
        warnings.warn(clusters.warning(fit.chain_modes), stacklevel=stacklevel)


def load(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    model: Any = None,
    likelihoods: Sequence[type[Likelihood]] = (),
) -> Fit:
    """Read a fit, and nothing else, that :meth:`Fit.save` wrote; see :func:`bayesnmf.load`."""
    tree = storage.read(path, trust=trust)
    fit, note = from_tree(tree, path, trust=trust, model=model, likelihoods=likelihoods)
    if note:
        warn_of_no_model(path, note)
    return fit


def from_tree(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    model: Any = None,
    likelihoods: Sequence[type[Likelihood]] = (),
) -> tuple[Fit, str]:
    """Return the fit that a tree describes, and why its model is not known, if it is not.

    Parameters
    ----------
    tree : xarray.DataTree
    path : path
        Where it was read, for errors.
    trust : bool, default False
        Whether a Python file that the tree names may be run.
    model : NMF, Program or callable, optional
        The model, in the place of the one that the tree describes.
    likelihoods : sequence of Likelihood classes
        Likelihoods beside the package's that the tree may name.
    """
    with storage.naming(path):
        structure.require_fit(tree)
        n_components = tree["posterior"].sizes["component"]
        constant = tree["constant_data"].to_dataset() if "constant_data" in tree else None
        text = tree.attrs.get(storage.MODEL_ATTRIBUTE)
        found = storage.model_from_json(text, constant, n_components, likelihoods)
    if model is not None:
        return Fit(tree, _given(model, tree)), ""
    model, note = found.load(trust, n_components)
    return Fit(tree, model), note


def _given(model: Any, tree: xr.DataTree) -> Model:
    """Return the model that the user gave for a fit, resolved, after comparing what can be."""
    model = as_model(model)
    n_components = tree["posterior"].sizes["component"]
    if model.nmf is not None and model.nmf.n_components != n_components:
        raise ValueError(
            f"model has {model.nmf.n_components} component(s), and the draws have {n_components}"
        )
    return model.resolve(matrix_of(Fit(tree, model)))


def warn_of_no_model(path: str | os.PathLike[str], note: str, stacklevel: int = 3) -> None:
    """Warn that a fit was loaded without its model, and say how to bring it back."""
    warnings.warn(
        f"{path} was loaded without its model ({note}); what needs the model is refused until you give "
        "it, by bn.load(path, model=...)",
        stacklevel=stacklevel,
    )


def require_model(fit: Fit, purpose: str) -> Model:
    """Return the model of a fit; raise where it has none, as some that were loaded.

    Parameters
    ----------
    fit : Fit
    purpose : str
        What needs the model, for the error.
    """
    if fit.model is None:
        raise ValueError(
            f"this fit has no model, which {purpose} needs: load it with bn.load(path, model=...), or, "
            "where the model is a Python file that you trust, with bn.load(path, trust=True)"
        )
    return fit.model


def matrix_of(fit: Fit) -> AnyMatrix:
    """Return the data of a fit as it was fitted: sparse data stay sparse."""
    if "V" in fit.tree["observed_data"].dataset:
        return Matrix.of(fit.V)
    return SparseMatrix.of(sparse_cells(fit.tree))


def original_factors(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return W and H as the priors see them, of shapes (draw, …)."""
    posterior = fit.tree["posterior"].dataset
    scale = fit.tree["sample_stats"].dataset["scale"].to_numpy()
    W = posterior["W"].to_numpy() / scale[..., None, :]
    H = posterior["H"].to_numpy() * scale[..., None]
    return W.reshape(-1, *W.shape[2:]), H.reshape(-1, *H.shape[2:])


def require_draws(fit: Fit) -> None:
    """Raise for a mode, which has no draws to compare by."""
    if fit.method == "map":
        raise ValueError(
            "this fit is a mode (method='map'), which has no draws to estimate a predictive density "
            "from: fit with method='mcmc' or method='svi'"
        )
