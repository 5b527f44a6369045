"""The log density of W, H and the parameters under their priors, at every draw."""

from __future__ import annotations

import jax
import numpy as np
import xarray as xr

from bayesnmf.arrays import floor_of
from bayesnmf.model.completion import sites_to_infer
from bayesnmf.model.sites import log_priors
from bayesnmf.posterior.groups import makes
from bayesnmf.posterior.requirements import require_draws, require_model
from bayesnmf.posterior.result import Fit
from bayesnmf.predictive.cells import site_draws


def log_prior(fit: Fit) -> xr.Dataset:
    """Return the log density of every unknown under its prior, at every draw.

    It is the density of what was sampled. Priors are on the factors before rows of H were scaled to
    sum to 1, so W and H are taken back to that scale: ``W / scale`` and ``H * scale``, with the
    ``scale`` of the group ``sample_stats``. Scaling changes neither WH nor the likelihood. Densities of
    W and H that are given rates, where a prior has a hyper-prior, are those given the draw's rates.
    Known components have no prior, so their log density is 0; a factor that is known whole has none.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit` with draws.

    Returns
    -------
    Dataset
        One variable a site of the model, of the site's own dimensions: W (chain, draw, row, component),
        H (chain, draw, component, column), each parameter and each rate. Where a program draws
        several entries at once, which are not independent, they have one density.

    Raises
    ------
    ValueError
        For a MAP estimate, and for a fit that has lost its model.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(4, 3, 1, "gaussian", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1, "gaussian"), bn.SVI(num_steps=50, num_samples=30), progress=False)
    >>> sorted(log_prior(fit)), log_prior(fit)["H"].dims
    (['H', 'W', 'sigma'], ('chain', 'draw', 'component', 'column'))
    """
    require_draws(fit)
    model, posterior = require_model(fit, "a log prior"), fit.tree["posterior"].dataset
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    draws = site_draws(fit, np.arange(n_chains * n_draws))
    for name in ("W", "H"):  # a draw that was rounded to 0 has no density
        draws[name] = np.maximum(draws[name], floor_of(np.float64))
    with jax.enable_x64(True):
        precise = jax.tree.map(lambda x: np.asarray(x, np.float64), model)
        densities = log_priors(precise, fit.matrix, sites_to_infer(model, draws))
    densities |= _beside_known(fit, densities)
    dims, found = model.site_dims(fit.matrix), {}
    for name, values in densities.items():
        names = ["chain", "draw", *dims.get(name, [])[: values.ndim - 1]]
        found[name] = (names, values.reshape(n_chains, n_draws, *values.shape[1:]))
    used = {dim for names, _ in found.values() for dim in names}
    coords = {dim: posterior.coords[dim] for dim in sorted(used) if dim in posterior.coords}
    return xr.Dataset(found, coords)


def _beside_known(fit: Fit, densities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the densities of factors that are known in part, with 0 for their known components."""
    padded = {}
    for factor, axis in (("W", -1), ("H", -2)):
        if fit.known[factor] and factor in densities:
            values = densities[factor]
            widths = [(0, 0)] * values.ndim
            widths[axis] = (fit.known[factor], 0)
            padded[factor] = np.pad(values, widths)
    return padded


@makes("log_prior")
def _group(fit: Fit, seed: int) -> xr.Dataset:
    return log_prior(fit)
