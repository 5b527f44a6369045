"""What can be asked of any NumPyro program: its sites, its density, its mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import initialize_model, log_density

from bayesnmf.data import Matrix
from bayesnmf.memory import require_memory
from bayesnmf.model import NMF, Model, Program
from bayesnmf.sparse import AnyMatrix

#: How often draws are in memory at most: as the chains made them, joined, scaled and matched. Measured:
#: 2.5 times under the structured sampler, 3.2 times under SVI.
COPIES = 3


@dataclass(frozen=True)
class ProgramMode:
    """A mode of a program: its constrained sites and how the search ended."""

    sites: dict[str, np.ndarray]
    objective: float
    n_iter: int
    converged: bool
    message: str


def program_mode(model: Program, matrix: Matrix, key: jax.Array, max_iter: int) -> ProgramMode:
    """Maximise the posterior density of a program's unconstrained sites by L-BFGS.

    Positive sites are unconstrained by their logarithm, so this is the mode in log space,
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
        fun, np.asarray(flat, np.float64), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": 4 * max_iter, "ftol": 1e-12, "gtol": 1e-6},
    )  # fmt: skip
    sites = setup.postprocess_fn(unravel(jnp.asarray(result.x, flat.dtype)))
    sites = {name: np.asarray(value) for name, value in sites.items()}
    finite = np.isfinite(result.fun) and all(np.isfinite(x).all() for x in sites.values())
    why = result.message if finite else "numbers that are not finite"
    converged = bool(result.success and finite)
    ended = "converged" if converged else f"not converged ({why})"
    message = f"{ended} after {result.nit} L-BFGS steps in log space, objective {result.fun:.6g}"
    return ProgramMode(sites, float(result.fun), int(result.nit), converged, message)


def latent_names(model: Model, matrix: Matrix) -> list[str]:
    """Return the names of the program's latent sample sites."""
    return [
        name for name, site in _sites(model, matrix).items()
        if site["type"] == "sample" and not site["is_observed"]
    ]  # fmt: skip


def deterministic_sites(
    model: Model, matrix: Matrix, draws: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Add the deterministic sites of a program to draws of its latent ones."""
    if isinstance(model, NMF):
        return draws  # it has none, and NumPyro's handlers are not safe in several threads
    sites = _sites(model, matrix)
    names = [name for name, site in sites.items() if site["type"] == "deterministic"]
    if not names:
        return draws
    V = jnp.asarray(matrix.values)

    def evaluate(values: dict[str, jax.Array]) -> dict[str, jax.Array]:
        traced = trace(seed(substitute(model, values), 0)).get_trace(V)
        return {name: traced[name]["value"] for name in names}

    extra = jax.jit(lambda chains: jax.lax.map(lambda c: jax.lax.map(evaluate, c), chains))(draws)
    return {**draws, **jax.tree.map(np.asarray, extra)}


def require_room(model: Model, matrix: AnyMatrix, num_draws: int, hint: str) -> None:
    """Raise ``MemoryError`` before a run whose draws would not fit into the machine's memory.

    Parameters
    ----------
    model : NMF or Program
    matrix : Matrix or SparseMatrix
    num_draws : int
        Draws of all chains.
    hint : str
        How to ask for less.
    """
    if isinstance(model, NMF):
        size = model.n_components * (matrix.n_rows + matrix.n_columns)
    else:
        assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
        size = sum(
            int(np.prod(jnp.shape(site["value"])))
            for site in _sites(model, matrix).values()
            if site["type"] in ("sample", "deterministic") and not site.get("is_observed")
        )
    single = matrix.dtype == np.float32
    half = "" if single else ", give V as float32, which halves it"
    require_memory(
        COPIES * num_draws * size * matrix.dtype.itemsize,
        f"{num_draws} draws of the {size} numbers in W, H and the parameters",
        f"{hint}{half}, use fewer components, or method='map'",
    )


def log_joint(model: Model, matrix: Matrix, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Return the log joint density of data and latent sites at every (chain, draw)."""
    V = jnp.asarray(matrix.values)
    if isinstance(model, NMF):
        return np.asarray(_log_joint_of_nmf(model, V, draws))
    return np.asarray(jax.jit(partial(_log_joint, model))(V, draws))


def _log_joint(model: Model, V: jax.Array, draws: dict[str, jax.Array]) -> jax.Array:
    def evaluate(values: dict[str, jax.Array]) -> jax.Array:
        return log_density(model, (V,), {}, values)[0]

    return jax.lax.map(lambda chain: jax.lax.map(evaluate, chain), draws)


# The numbers of an NMF are arguments, so that one compilation serves every fit of its shapes.
_log_joint_of_nmf = jax.jit(_log_joint)


def site_dims(model: Model, matrix: Matrix) -> dict[str, list[str]]:
    """Name the dimensions of each latent site by the plates that it is in."""
    dims = {}
    for name, site in _sites(model, matrix).items():
        if site["type"] not in ("sample", "deterministic") or site.get("is_observed"):
            continue
        ndim = jnp.ndim(site["value"])
        event = site["fn"].event_dim if site["type"] == "sample" else 0
        names = [f"{name}_dim_{i}" for i in range(ndim)]
        for frame in site["cond_indep_stack"]:
            position = ndim - event + frame.dim
            if 0 <= position < ndim:
                names[position] = frame.name
        dims[name] = names
    return dims


def _sites(model: Model, matrix: Matrix) -> dict[str, Any]:
    """Return the sites of a program, whose values are abstract: of a shape, without numbers.

    Running it would compile every operation in it one by one.
    """
    found: dict[str, Any] = {}

    def run() -> None:
        found.update(trace(seed(model, 0)).get_trace(jnp.asarray(matrix.values)))

    jax.eval_shape(run)
    return found
