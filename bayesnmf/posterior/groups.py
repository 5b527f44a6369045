"""The groups of an ArviZ tree: which there are, who makes them, and how they fit together.

A package above this one gives fits a group by ``@makes(name)`` on a function of its own, so that
:meth:`bayesnmf.Fit.to_arviz` finds it without an import that points up.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesnmf.data.blocks import CellBlocks
from bayesnmf.data.memory import require_dense, require_memory
from bayesnmf.posterior import clusters
from bayesnmf.posterior.thinning import kept_draws, with_draws

if TYPE_CHECKING:
    from bayesnmf.posterior.result import Fit

#: Groups that every tree has, where the fit does.
ALWAYS = ("posterior", "sample_stats", "observed_data", "constant_data")


#: Groups that are made when they are asked for, and whether they have a number a draw and cell.
ON_REQUEST = {
    "log_likelihood": True,
    "log_prior": False,
    "posterior_predictive": True,
    "prior": False,
    "prior_predictive": True,
}


ALL = tuple(ON_REQUEST)


#: Groups of data, which are integers where the model describes counts.
DATA = ("observed_data", "posterior_predictive", "prior_predictive")


#: What the dimension "component" is called: ArviZ's psense_summary has a dimension of that name.
COMPONENT = "k"


#: Makes a group of a fit, given a seed; cells are of dims (row, column), missing ones included.
type Maker = Callable[[Fit, int], xr.Dataset]


MAKERS: dict[str, Maker] = {}


def makes(name: str) -> Callable[[Maker], Maker]:
    """Let a function make a group.

    Parameters
    ----------
    name : str
        One of :data:`ON_REQUEST`.
    """

    def register(maker: Maker) -> Maker:
        MAKERS[name] = maker
        return maker

    return register


def to_arviz(
    fit: Fit, groups: Sequence[str] | str = ALL, num_samples: int | None = None, *, seed: int = 0
) -> xr.DataTree:
    """Return a tree with the groups that ArviZ's functions ask for.

    The groups ``posterior``, ``sample_stats``, ``observed_data`` and ``constant_data`` are always
    there. The dimension "component" is called "k", a name that ArviZ does not use itself.

    Parameters
    ----------
    groups : sequence of str, default all
        Any of ``log_likelihood``; ``log_prior``, of the factors as they were sampled, before rows of
        H were scaled; ``posterior_predictive``; ``prior`` and ``prior_predictive``, of as many draws.
    num_samples : int, optional
        At most this many draws over all chains, evenly spaced in each. None: all.
    seed : int, default 0
        Seed of what is drawn.

    Returns
    -------
    xarray.DataTree
        The observed cells of V are one dimension, "cell", with coordinates row and column. Their
        values and replicates are integers where the likelihood is of counts.

    Raises
    ------
    ValueError
        For a MAP estimate, an unknown group, fewer draws than chains, or a fit without its model.
    MemoryError
        When draws x cells would not fit into memory.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(4, 3, 1, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1), bn.SVI(num_steps=50, num_samples=30), progress=False)
    >>> dict(fit.to_arviz("log_likelihood", 10)["log_likelihood"].sizes)
    {'chain': 1, 'draw': 10, 'cell': 12}
    """
    names = _require_names(groups)
    if fit.method == "map":
        raise ValueError(
            "this fit is a MAP estimate (method='map'), which has no draws for ArviZ: fit with "
            "method='mcmc' or method='svi'"
        )
    if fit.chain_modes.any():
        warnings.warn(clusters.warning(fit.chain_modes), stacklevel=3)
    if num_samples is not None:
        sizes = fit.tree["posterior"].sizes
        fit = with_draws(fit, kept_draws(sizes["chain"], sizes["draw"], num_samples))
    _require_room(fit, names)
    found = {name: fit.tree[name].to_dataset() for name in ALWAYS if name in fit.tree.children}
    found["observed_data"] = _observed(fit)
    found |= {name: MAKERS[name](fit, seed) for name in ON_REQUEST if name in names}
    tree = xr.DataTree.from_dict(
        {f"/{name}": group.rename(_renamed(group)) for name, group in _cells_alike(fit, found)}
    )
    tree.attrs = dict(fit.tree.attrs)
    return tree


def _require_names(groups: Sequence[str] | str) -> set[str]:
    """Return the names of the groups asked for, or raise for one that there is not."""
    names = {groups} if isinstance(groups, str) else set(groups)
    unknown = sorted(map(str, names - {*ALWAYS, *ON_REQUEST}))
    if unknown:
        raise ValueError(
            f"unknown group {unknown[0]!r} in groups; valid: {', '.join((*ALWAYS, *ON_REQUEST))}"
        )
    return names


def _require_room(fit: Fit, names: set[str]) -> None:
    """Raise ``MemoryError`` before any work when arrays of draws x cells would not fit."""
    sizes = fit.tree["posterior"].sizes
    shape = tuple(sizes[dim] for dim in ("chain", "draw", "row", "column"))
    large = [name for name in ON_REQUEST if name in names and ON_REQUEST[name]]
    for name in large:
        require_dense(shape, f"the group {name}", "Ask for fewer draws (num_samples)")
    require_memory(
        8 * len(large) * math.prod(shape),
        f"the groups {', '.join(large)} of shape {shape}",
        "Ask for fewer draws (num_samples) or groups",
    )


def _observed(fit: Fit) -> xr.Dataset:
    """Return V as a dense matrix, NaN where missing."""
    names = ("row", "column")
    posterior = fit.tree["posterior"]
    coords = {name: posterior.coords[name] for name in names}
    return xr.Dataset({"V": (names, CellBlocks(fit.matrix).dense())}, coords)


def _cells_alike(fit: Fit, found: dict[str, xr.Dataset]) -> list[tuple[str, xr.Dataset]]:
    """Return the groups with the observed cells in one dimension, and counts as integers.

    Two dimensions would do for complete data, but ArviZ's plots of PIT and counts take only one.
    """
    counts = fit.model is not None and fit.model.base_measure(fit.matrix) == "counting"
    places = zip(("row", "column"), np.nonzero(fit.matrix.observed_mask), strict=True)
    at = {dim: xr.DataArray(place, dims="cell") for dim, place in places}
    groups = []
    for name, group in found.items():
        chosen = group.isel(at) if name in DATA or name == "log_likelihood" else group
        groups.append((name, chosen.astype(np.int64) if counts and name in DATA else chosen))
    return groups


def _renamed(group: xr.Dataset) -> dict[str, str]:
    return {"component": COMPONENT} if "component" in group.dims else {}
