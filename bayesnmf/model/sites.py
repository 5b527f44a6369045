"""The sites of a NumPyro program: their names, dimensions, and joint density."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.model.interface import Model


def latent_names(model: Model, matrix: Matrix) -> list[str]:
    """Return the names of the program's latent sample sites."""
    return [
        name
        for name, site in _sites(model, matrix).items()
        if site["type"] == "sample" and not site["is_observed"]
    ]


def deterministic_sites(
    model: Model, matrix: Matrix, draws: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Add the deterministic sites of a program to draws of its latent ones."""
    if model.nmf is not None:
        return draws  # it has none, and NumPyro's handlers are not safe in several threads
    sites = _sites(model, matrix)
    names = [name for name, site in sites.items() if site["type"] == "deterministic"]
    if not names:
        return draws
    extra = _evaluated(model, jnp.asarray(matrix.values), draws, names=tuple(names))
    return {**draws, **jax.tree.map(np.asarray, extra)}


@partial(jax.jit, static_argnames="names")
def _evaluated(
    model: Model, V: jax.Array, draws: dict[str, jax.Array], *, names: tuple[str, ...]
) -> dict[str, jax.Array]:
    """Return the values of some sites at every (chain, draw)."""

    def evaluate(values: dict[str, jax.Array]) -> dict[str, jax.Array]:
        traced = trace(seed(substitute(model, values), 0)).get_trace(V)
        return {name: traced[name]["value"] for name in names}

    return jax.lax.map(lambda chain: jax.lax.map(evaluate, chain), draws)


def log_joint(model: Model, matrix: Matrix, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Return the log joint density of data and latent sites at every (chain, draw)."""
    return np.asarray(_log_joint(model, jnp.asarray(matrix.values), draws))


@jax.jit
def _log_joint(model: Model, V: jax.Array, draws: dict[str, jax.Array]) -> jax.Array:
    """Evaluate a model that is an argument: fits of equal shapes share one compilation."""

    def evaluate(values: dict[str, jax.Array]) -> jax.Array:
        return log_density(model, (V,), {}, values)[0]

    return jax.lax.map(lambda chain: jax.lax.map(evaluate, chain), draws)


def dims_of_sites(model: Model, matrix: AnyMatrix) -> dict[str, list[str]]:
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


def size_of_sites(model: Model, matrix: AnyMatrix) -> int:
    """Return the number of entries of all sites that are not observed."""
    return sum(
        int(np.prod(jnp.shape(site["value"])))
        for site in _sites(model, matrix).values()
        if site["type"] in ("sample", "deterministic") and not site.get("is_observed")
    )


def _sites(model: Model, matrix: AnyMatrix) -> dict[str, Any]:
    """Return the sites of a program, whose values are abstract: of a shape, without numbers.

    Running it would compile every operation in it one by one.
    """
    assert isinstance(matrix, Matrix)  # only of programs, whose data no method keeps sparse
    values, found = matrix.values, dict[str, Any]()

    def run() -> None:
        found.update(trace(seed(model, 0)).get_trace(jnp.asarray(values)))

    jax.eval_shape(run)
    return found
