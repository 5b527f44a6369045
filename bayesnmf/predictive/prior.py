"""The prior: draws of W, H and the parameters, and replicates of V, before any data are seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import jax
import numpy as np
import xarray as xr

from bayesnmf.data import AnyMatrix, MatrixLike
from bayesnmf.data.labels import labels_of
from bayesnmf.methods import MCMC
from bayesnmf.model import Model, ModelLike, as_model
from bayesnmf.model.completion import complete_sites
from bayesnmf.model.sites import prior_sites
from bayesnmf.posterior.components import rescale
from bayesnmf.posterior.fitting import matrix_for
from bayesnmf.posterior.groups import makes
from bayesnmf.posterior.requirements import require_model
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.thinning import require_num_samples
from bayesnmf.predictive.replicates import replicated, require_room


def prior_predictive(
    model: ModelLike,
    V: MatrixLike | AnyMatrix,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    num_samples: int = 500,
    seed: int = 0,
) -> xr.DataTree:
    """Draw W, H and the parameters from the prior, and a replicate of V from each draw.

    Data that the model makes before it has seen any say what its priors mean: whether they allow
    data like V, and whether they allow nonsense.

    Parameters
    ----------
    model : NMF, Program or callable
        As for :func:`bayesnmf.fit`.
    V : array, table, SciPy sparse or AnnData of shape (n_rows, n_columns)
        Gives the shape and the names. Its values matter only to what the model leaves open: rates
        at None become those that give WH the mean of V. It must lie in the support of the model.
    rows, columns, layer : optional
        As for :func:`bayesnmf.fit`: names for data that have none, and the layer of an AnnData.
    num_samples : int, default 500
        Number of draws.
    seed : int, default 0
        The same seed gives the same draws.

    Returns
    -------
    xarray.DataTree
        Of one chain, with two groups:

        - ``prior``: W (chain, draw, row, component), H (chain, draw, component, column), the
          parameters and the rates. As in a :class:`Fit`, each row of H sums to 1 and W carries
          the mass. The coordinate ``H_scale`` (chain, draw, component) is what was moved from H into W, so
          the factors that the priors describe are ``W / H_scale`` and ``H * H_scale``. Components are in no
          order: all are alike before there are data.
        - ``prior_predictive``: V (chain, draw, row, column), integers where the model describes
          counts. Cells that are missing in V are drawn too.

    Raises
    ------
    ValueError
        For a flat prior, from which nothing can be drawn; for data outside the model's support.
    MemoryError
        When the replicates would take more than ``bayesnmf.predictive.replicates.BUDGET`` bytes.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(4, 3, 1, "poisson", seed=1)
    >>> tree = prior_predictive(bn.NMF(2), V, num_samples=20)
    >>> dict(tree["prior_predictive"].sizes), tree["prior_predictive/V"].dtype.kind
    ({'chain': 1, 'draw': 20, 'row': 4, 'column': 3}, 'i')
    """
    num_samples, model = require_num_samples(num_samples), as_model(model)
    _refuse_flat(model)
    matrix = matrix_for(V, model, MCMC(), rows=rows, columns=columns, layer=layer)
    with jax.enable_x64(matrix.dtype == np.float64):
        names = model.component_names
        model.check(matrix, draws=True)
        model = model.resolve(matrix)
    draws = _draws(model, matrix, num_samples, seed)
    groups = {
        "/prior": _prior(model, matrix, draws, names),
        "/prior_predictive": _replicates(model, matrix, draws, seed),
    }
    return xr.DataTree.from_dict(groups)


def _refuse_flat(model: Model) -> None:
    """Raise where a prior is no distribution."""
    if model.nmf is None:
        return
    for name, prior in (("prior_W", model.nmf.prior_W), ("prior_H", model.nmf.prior_H)):
        if not prior.proper:
            raise ValueError(
                f"{name} is flat, which is no distribution, so nothing can be drawn from it: give the "
                "model a gamma or an exponential prior"
            )


@makes("prior")
def _prior_of(fit: Fit, seed: int) -> xr.Dataset:
    model = require_model(fit, "drawing from the prior")
    # Posterior and prior have the same variables for ArviZ to compare.
    names = fit.tree["posterior"]["component"].to_numpy()
    return _prior(model, fit.matrix, _draws_of(fit, seed), names).drop_vars("H_scale")


@makes("prior_predictive")
def _replicates_of(fit: Fit, seed: int) -> xr.Dataset:
    model = require_model(fit, "drawing from the prior")
    return _replicates(model, fit.matrix, _draws_of(fit, seed), seed)


def _draws_of(fit: Fit, seed: int) -> dict[str, np.ndarray]:
    """Return as many draws from the prior of a fit as it has of the posterior."""
    model, sizes = require_model(fit, "drawing from the prior"), fit.tree["posterior"].sizes
    return _draws(model, fit.matrix, sizes["chain"] * sizes["draw"], seed)


def _draws(model: Model, matrix: AnyMatrix, num_samples: int, seed: int) -> dict[str, np.ndarray]:
    """Return draws of all sites but V, as the model has them: (draw, ...)."""
    with jax.enable_x64(matrix.dtype == np.float64):
        key = jax.random.fold_in(jax.random.key(seed), 1)  # replicates have the others
        drawn = prior_sites(model, matrix, jax.random.split(key, num_samples))
    whole = complete_sites(model, {name: values[None] for name, values in drawn.items()})
    return {name: values[0] for name, values in whole.items()}


def _prior(
    model: Model, matrix: AnyMatrix, draws: dict[str, np.ndarray], names: np.ndarray | None
) -> xr.Dataset:
    """Return draws with their labels, scaled as those of a fit are."""
    W, H, scale = rescale(draws["W"], draws["H"])
    dims = {
        **model.site_dims(matrix),
        "W": ["row", "component"],
        "H": ["component", "column"],
    }
    sites = {**draws, "W": W, "H": H}
    variables = {
        name: (("chain", "draw", *dims[name]), values[None]) for name, values in sites.items()
    }
    names = np.arange(W.shape[-1]) if names is None else names
    coords = _coords(matrix, len(W)) | {"component": names}
    return xr.Dataset(variables, coords).assign_coords(
        H_scale=(("chain", "draw", "component"), scale[None])
    )


def _replicates(
    model: Model, matrix: AnyMatrix, draws: dict[str, np.ndarray], seed: int
) -> xr.Dataset:
    """Return a replicate of V at each draw, with its labels."""
    counts = model.base_measure(matrix) == "counting"
    dtype = np.dtype(np.int64) if counts else matrix.dtype
    n_draws = len(draws["W"])
    require_room(n_draws, matrix.n_rows * matrix.n_columns * dtype.itemsize)
    cells = model.cells(None if model.nmf is not None else matrix.all_cells())
    precise = {
        name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in draws.items()
    }
    values = replicated(cells, precise, seed, dtype)
    dims = ("chain", "draw", "row", "column")
    return xr.Dataset({"V": (dims, values[None])}, _coords(matrix, n_draws))


def _coords(matrix: AnyMatrix, n_draws: int) -> dict[str, np.ndarray]:
    return {
        "chain": np.arange(1),
        "draw": np.arange(n_draws),
        "row": labels_of(matrix.row_names),
        "column": labels_of(matrix.column_names),
    }
