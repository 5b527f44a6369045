"""The MAP estimate of any NumPyro program, by L-BFGS in unconstrained coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import initialize_model

from bayesnmf.data import Matrix
from bayesnmf.model import Model


@dataclass(frozen=True)
class ProgramOptimum:
    """A MAP estimate of a program: its constrained sites and how the search ended."""

    sites: dict[str, np.ndarray]
    objective: float
    n_iter: int
    converged: bool
    message: str


def program_optimum(model: Model, matrix: Matrix, key: jax.Array, max_iter: int) -> ProgramOptimum:
    """Maximise the posterior density of a program's unconstrained sites by L-BFGS.

    Positive sites are unconstrained by their logarithm, so this is the MAP estimate in log space,
    which is interior: an exponential prior does not push it to zero.
    """
    from scipy.optimize import minimize

    setup = initialize_model(key, model, model_args=(jnp.asarray(matrix.values),))
    flat, unravel = ravel_pytree(setup.param_info.z)
    gradient = jax.jit(jax.value_and_grad(lambda x: setup.potential_fn(unravel(x))))

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = gradient(jnp.asarray(x, flat.dtype))
        return float(value), np.asarray(slope, np.float64)

    result = minimize(
        fun,
        np.asarray(flat, np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": 4 * max_iter, "ftol": 1e-12, "gtol": 1e-6},
    )
    sites = setup.postprocess_fn(unravel(jnp.asarray(result.x, flat.dtype)))
    sites = {name: np.asarray(value) for name, value in sites.items()}
    finite = np.isfinite(result.fun) and all(np.isfinite(x).all() for x in sites.values())
    why = result.message if finite else "numbers that are not finite"
    converged = bool(result.success and finite)
    ended = "converged" if converged else f"not converged ({why})"
    message = f"{ended} after {result.nit} L-BFGS steps in log space, objective {result.fun:.6g}"
    return ProgramOptimum(sites, float(result.fun), int(result.nit), converged, message)
