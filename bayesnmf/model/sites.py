"""The sites of a NumPyro program: their names, dimensions, and joint density."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
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


def prior_sites(model: Model, matrix: AnyMatrix, keys: jax.Array) -> dict[str, np.ndarray]:
    """Return draws of all sites but V from the prior: (draw, ...).

    Parameters
    ----------
    model : NMF or Program
        Resolved.
    matrix : Matrix or SparseMatrix
        Its shape is that of V. A program gets the data too, since it need not run without them.
    keys : JAX keys of shape (draw,)
    """
    V, shape = _arguments(model, matrix)
    return jax.tree.map(np.asarray, _prior_sites(model, V, keys, shape=shape))


@partial(jax.jit, static_argnames="shape")
def _prior_sites(
    model: Model, V: jax.Array | None, keys: jax.Array, *, shape: tuple[int, int]
) -> dict[str, jax.Array]:
    def one(key: jax.Array) -> dict[str, jax.Array]:
        sites = _given(model, V, shape, key, {})
        return {name: site["value"] for name, site in sites.items() if _is_unknown(name, site)}

    return jax.lax.map(one, keys)


def log_priors(
    model: Model, matrix: AnyMatrix, draws: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the log density of each latent site under its prior, at every draw.

    Parameters
    ----------
    model : NMF or Program
        Resolved.
    matrix : Matrix or SparseMatrix
    draws : dict of str to ndarray of shape (draw, ...)
        All sites, W and H on the scale that the priors see.

    Returns
    -------
    dict of str to ndarray of shape (draw, ...)
        Entry by entry, where the entries of a site are independent.
    """
    V, shape = _arguments(model, matrix)
    return jax.tree.map(np.asarray, _log_priors(model, V, draws, shape=shape))


@partial(jax.jit, static_argnames="shape")
def _log_priors(
    model: Model, V: jax.Array | None, draws: dict[str, jax.Array], *, shape: tuple[int, int]
) -> dict[str, jax.Array]:
    def one(values: dict[str, jax.Array]) -> dict[str, jax.Array]:
        sites = _given(model, V, shape, jax.random.key(0), values)
        return {
            name: _entries(site["fn"]).log_prob(site["value"])
            for name, site in sites.items()
            if _is_unknown(name, site) and site["type"] == "sample"
        }

    return jax.lax.map(one, draws)


def _arguments(model: Model, matrix: AnyMatrix) -> tuple[jax.Array | None, tuple[int, int]]:
    """Return the data that a program runs with, None for an NMF, and their shape."""
    if model.nmf is not None:
        return None, matrix.shape
    assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
    return jnp.asarray(matrix.values), matrix.shape


def _given(
    model: Model,
    V: jax.Array | None,
    shape: tuple[int, int],
    key: jax.Array,
    values: dict[str, jax.Array],
) -> dict[str, Any]:
    """Run a model with some of its sites given, and return all sites; V is never drawn."""
    known = values if V is not None else {**values, "V": jnp.zeros(shape)}
    run = seed(substitute(model, known), key)
    found: dict[str, Any] = trace(run).get_trace(V, shape=shape)
    return found


def _is_unknown(name: str, site: dict[str, Any]) -> bool:
    kinds = ("sample", "deterministic")
    return name != "V" and site["type"] in kinds and not site.get("is_observed")


def _entries(distribution: dist.Distribution) -> dist.Distribution:
    """Return the distribution of single entries, where a row of them is declared as one event."""
    while isinstance(distribution, dist.Independent):
        distribution = distribution.base_dist
    return distribution


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
