"""Fit: one posterior, labelled and aligned, whatever method it came from."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr

from bayesnmf import clusters, storage
from bayesnmf.data import Matrix
from bayesnmf.model import NMF, Model
from bayesnmf.sparse import AnyMatrix, SparseMatrix


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
        The model with every default resolved; None when it was a function of a session that
        has ended.
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
        """Posterior mean of WH, of dims (row, column); refused as W is."""
        posterior = self._one_mode
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


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit, and nothing else, that :meth:`Fit.save` wrote.

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
        When it holds something else; of a sweep over ranks the message says what takes it.
    """
    return from_tree(storage.read(path))


def from_tree(tree: xr.DataTree) -> Fit:
    """Return the fit that a tree describes, rebuilding its model."""
    constant = tree["constant_data"].to_dataset() if "constant_data" in tree else None
    return Fit(tree, storage.model_from_json(tree.attrs[storage.MODEL_ATTRIBUTE], constant))


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


def matrix_of(fit: Fit) -> AnyMatrix:
    """Return the data of a fit as it was fitted: sparse data stay sparse."""
    if "V" in fit.tree["observed_data"].dataset:
        return Matrix.of(fit.V)
    return SparseMatrix.of(sparse_cells(fit.tree))
