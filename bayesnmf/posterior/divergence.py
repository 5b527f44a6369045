"""How far the data of a fit are from WH, in the units of its likelihood."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import off_zero
from bayesnmf.data import Matrix
from bayesnmf.posterior.requirements import require_model
from bayesnmf.posterior.result import Fit


def divergence_of(fit: Fit) -> float:
    """Return the root of twice the divergence of V from the posterior mean of WH.

    The divergence is the log density of the observed cells at a mean equal to the data, minus that at WH:
    Kullback-Leibler for Poisson counts, half the squared error for Gaussian noise of sigma 1,
    Itakura-Saito for gamma noise of shape 1. Inferred parameters are at their posterior mean, but the
    Gaussian sigma is taken for 1, as in scikit-learn's error.
    """
    model, matrix = require_model(fit, "a divergence").nmf, fit.matrix
    if model is None:
        raise ValueError("the fit of a program has no divergence")
    likelihood = model.likelihood
    dense = matrix if isinstance(matrix, Matrix) else matrix.expanded()
    posterior = fit.tree["posterior"].dataset
    parameters = {name: float(posterior[name].mean()) for name in likelihood.priors}
    parameters = likelihood.known | parameters
    if "sigma" in parameters:
        parameters["sigma"] = 1.0
    with jax.enable_x64(True):
        v = jnp.asarray(dense.filled(likelihood.placeholder), float)
        mean = off_zero(jnp.asarray(fit.mean.to_numpy(), float))
        known = {name: jnp.asarray(x, float) for name, x in parameters.items()}
        loss = likelihood.saturated(v, **known) - likelihood.log_density(v, mean, **known)
    total = float(np.sum(np.asarray(loss)[dense.observed]))
    return float(np.sqrt(2 * max(total, 0.0)))
