"""Fit: one posterior, labelled and aligned, whatever method it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from bayesnmf.data import AnyMatrix
from bayesnmf.markup import fragment
from bayesnmf.model import Model
from bayesnmf.posterior import archive, clusters, component_names, groups, table_files, tables
from bayesnmf.posterior.means import mean_of_all, mean_of_cells
from bayesnmf.posterior.sampler_state import SamplerState, with_state
from bayesnmf.posterior.summary import summary_table
from bayesnmf.posterior.tree import matrix_in, table_in, tells_components_apart


@dataclass(frozen=True, eq=False)
class Fit:
    """A posterior of W and H, with the model and the data that it came from.

    Returned by :func:`bayesnmf.fit` and :func:`bayesnmf.load`. A fit holds many draws of W and H
    (one draw under MAP), and never changes. Most users need :attr:`W`, :attr:`H` and :attr:`mean`,
    which are averages of the draws; :meth:`summary`, a table of the components; :attr:`converged`
    and :attr:`message`, how the fit ended; and :meth:`save`. All draws are in
    :attr:`tree`; :meth:`to_frame` and :meth:`to_csv` make tables, :meth:`rename` names components.

    Each row of H sums to 1, and W carries the mass: ``W[i, k]`` is what component k adds to row i,
    and ``H[k, j]`` the share of it that falls on column j. Component 0 has the largest mass, and
    component k is the same in every draw and every chain.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups as ArviZ names them:

        - ``posterior``: W (chain, draw, row, component), H (chain, draw, component, column), and
          the likelihood's inferred parameters. Where priors have hyper-priors, also the rates
          (chain, draw, component) before scaling, that is of ``W / scale`` and ``H * scale``.
        - ``sample_stats``: the log joint density ``lp``; statistics of the sampler; the ``scale``
          that was moved from H into W; ``match``, the cosine of each component with its average.
        - ``observed_data``: V, NaN where missing. Of data fitted sparse, the stored cells
          ``V_value``, ``V_column``, ``V_start`` (compressed rows).
        - ``constant_data``: the mask ``observed``, and known arrays such as exposures. Of sparse
          data, the cells that were held out: ``held_out_row``, ``held_out_column``.
        - ``method_arrays``: arrays among the options of the method, such as an initial W and H.
    model : NMF, Program or None
        The model with every default resolved. None for a loaded fit whose model was a function of
        a session that has ended, or a Python file that :func:`bayesnmf.load` was not told to trust.
    sampler_state : dict of str to ndarray, optional
        Where the chains stopped, from which :func:`bayesnmf.resume` continues. Saved with the fit.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> fit.W.dims, fit.H.dims, fit.n_components
    (('row', 'component'), ('component', 'column'), 2)
    """

    tree: xr.DataTree
    model: Model | None
    sampler_state: SamplerState | None = None

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

        Refused above :data:`bayesnmf.data.matrix.DENSE_BUDGET` too; :meth:`mean_at` serves some cells.
        """
        return mean_of_all(self._one_mode)

    def mean_at(self, rows: ArrayLike, columns: ArrayLike) -> np.ndarray:
        """Return the posterior mean of WH at some cells, without that of all others.

        Parameters
        ----------
        rows, columns : array of shape (n_cells,), or a single name
            Names of each cell's row and column, positions where V had none. One name stands for all.

        Returns
        -------
        ndarray of shape (n_cells,)

        Raises
        ------
        ValueError
            For names that V has not, or has twice; rows and columns that differ in number; several modes.

        Examples
        --------
        >>> import bayesnmf as bn
        >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
        >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
        >>> bool(np.allclose(fit.mean_at([0, 7], [5, 2]), fit.mean.to_numpy()[[0, 7], [5, 2]]))
        True
        """
        return mean_of_cells(self._one_mode, rows, columns)

    @property
    def mass(self) -> xr.DataArray:
        """Draws of each component's mass, the sum of its part of WH: (chain, draw, component)."""
        posterior = self.tree["posterior"].dataset
        # W of an empty component sits where its prior puts it and adds nothing to WH.
        used = (posterior["H"] > 0).any("column")
        return posterior["W"].sum("row", skipna=False).where(used, 0.0).rename("mass")

    def active(self, threshold: float = 0.01) -> xr.DataArray:
        """Return which components are active: hold more than a share of the total mass.

        Under a prior that lets excess components empty out (:class:`bayesnmf.priors.ARD`), their
        number is what the data ask for. It is a posterior quantity, counted draw by draw.

        Parameters
        ----------
        threshold : float, default 0.01
            Share of the total mass of the draw.

        Returns
        -------
        DataArray of bool of dims (chain, draw, component)
            Its sum over "component" is their number in every draw, its mean over "chain" and
            "draw" each component's probability of being active.

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
        return clusters.modes_in(self.tree, self.n_identified)

    @property
    def _one_mode(self) -> xr.Dataset:
        """The posterior, if it may be averaged."""
        clusters.require_one(self.chain_modes)
        return self.tree["posterior"].dataset

    @property
    def V(self) -> pd.DataFrame:
        """The data, NaN where missing; of sparse columns where they were fitted sparse."""
        return table_in(self.tree)

    @cached_property
    def matrix(self) -> AnyMatrix:
        """The data as they were fitted, with mask and names: sparse data stay sparse."""
        return matrix_in(self.tree)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.tree["posterior"].sizes["component"]

    @property
    def n_known(self) -> int:
        """Number of components that were given; they come first."""
        return max(self.known.values())

    @property
    def n_identified(self) -> int:
        """Number of components that keep their places: known ones, or all where priors tell them apart."""
        return self.n_components if tells_components_apart(self.tree) else self.n_known

    @property
    def known(self) -> dict[str, int]:
        """Number of known columns of W, and of known rows of H, by the factor's name."""
        held = self.tree["constant_data"].dataset if "constant_data" in self.tree else {}
        names = {"W": "known_W", "H": "known_H"}
        return {x: held[name].sizes["known"] if name in held else 0 for x, name in names.items()}

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

    def summary(self, ci_prob: float = 0.9, top: int = 3) -> pd.DataFrame:
        """Summarise each component's mass and its leading columns.

        Parameters
        ----------
        ci_prob : float, default 0.9
            Probability of the equal-tailed intervals.
        top : int, default 3
            Number of leading columns named.

        Returns
        -------
        DataFrame
            One row a component: posterior mean, standard deviation and interval of its mass (in
            the units of WH summed over cells), its share of the total mass, and the columns with the
            largest posterior mean of H. Standard deviations and intervals of one draw are NaN.

        Raises
        ------
        ValueError
            When `ci_prob` is no probability, and when the chains are in several modes.
        """
        return summary_table(self.mass, self.H, ci_prob, top)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to ``.nc`` (HDF5 netCDF) or ``.zarr``; :func:`bayesnmf.load` reads it.

        An earlier file, or a ``.zarr`` folder that holds an earlier result alone, is replaced in
        one step, once the new one is complete. A checksum of all its bytes goes with it.

        Parameters
        ----------
        path : path
            A name that ends in ``.nc`` or ``.zarr``.

        Raises
        ------
        ValueError
            For another ending, a folder that is no result, and text that the format cannot hold.
        OSError
            When it cannot be written, as on a full disk; an earlier result stays.
        """
        archive.write(with_state(self.tree, self.sampler_state), path)

    # Each of these takes the fit as its first argument.
    to_frame = tables.to_frame
    to_csv = table_files.to_csv
    rename = component_names.rename
    to_arviz = groups.to_arviz

    @property
    def _facts(self) -> str:
        """Sizes, model and method in one line."""
        sizes = self.tree["posterior"].sizes
        name = "model unknown" if self.model is None else self.model.name
        return (
            f"{sizes['row']} x {sizes['column']}, {self.n_components} components, {name}, "
            f"{self.method}, {sizes['chain']} chain(s) x {sizes['draw']} draw(s)"
        )

    def __repr__(self) -> str:
        return f"<Fit: {self._facts}>\n{self.message}"

    def _repr_html_(self) -> str:
        return fragment("Fit", self._facts, self.message)
