"""NUTS: NumPyro's no-U-turn sampler for any program, started near the MAP estimate in log space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS
from numpyro.infer.hmc import HMCState
from numpyro.infer.util import unconstrain_fn

from bayesnmf.data import Matrix
from bayesnmf.methods.optimise.log_map import log_map
from bayesnmf.model import Model
from bayesnmf.model.completion import complete_sites, sites_to_infer
from bayesnmf.model.sites import deterministic_sites, log_joint
from bayesnmf.progress import Progress

#: Chains start this far apart, in standard deviations of every unconstrained coordinate.
JITTER = 0.1


#: Steps of a chain between returns to Python, where a run can be stopped and shown.
CHUNK = 25


#: NumPyro's names of sampler statistics, by ArviZ's.
STATISTICS = {
    "acceptance_rate": "accept_prob",
    "diverging": "diverging",
    "n_steps": "num_steps",
    "energy": "energy",
}


type Run = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


#: The state after some steps of a chain, and its sites and statistics at each of them.
type Advanced = tuple[HMCState, tuple[dict[str, jax.Array], dict[str, jax.Array]]]


def sample_nuts(
    model: Model,
    matrix: Matrix,
    key: jax.Array,
    *,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    progress: Progress,
) -> Run:
    """Run chains and return sites and sampler statistics, each (chain, draw, …).

    Ctrl-C ends the run with the draws made so far.

    References
    ----------
    Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler. Journal of Machine Learning
    Research 15, 1593-1623. https://jmlr.org/papers/v15/hoffman14a.html
    """
    key_map, key_jitter, key_chains = jax.random.split(key, 3)
    V = jnp.asarray(matrix.values)
    center = sites_to_infer(model, log_map(model, matrix, key_map, progress))
    starts = _jittered(unconstrain_fn(model, (V,), {}, center), key_jitter, num_chains)
    progress.stage("warm-up" if num_warmup else "sampling", num_warmup or num_samples)
    states, advance = _begun(model, V, starts, jax.random.split(key_chains, num_chains), num_warmup)
    for _ in _steps(advance, states, num_warmup, "warm-up", progress):
        pass
    parts = []
    try:
        for part in _steps(advance, states, num_samples, "sampling", progress):
            parts.append(part)
    except KeyboardInterrupt:
        if not parts:
            raise
    sites, stats = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts)
    stats["lp"] = log_joint(model, matrix, sites)
    return complete_sites(model, deterministic_sites(model, matrix, sites)), stats


def _begun(
    model: Model, V: jax.Array, starts: dict[str, jax.Array], keys: jax.Array, num_warmup: int
) -> tuple[list[HMCState], Callable[..., Advanced]]:
    """Return the state of each chain, and the function that advances one by some steps."""
    sampler, devices = NUTS(model), jax.local_devices()

    # Not compiled: the sampler keeps what it learns of the model, which must be no tracer.
    firsts = (jax.tree.map(lambda x, i=i: x[i], starts) for i in range(len(keys)))
    states = [
        sampler.init(key, num_warmup, start, (V,), {})
        for key, start in zip(keys, firsts, strict=True)
    ]
    states = [jax.device_put(x, devices[i % len(devices)]) for i, x in enumerate(states)]

    def step(state: HMCState, _: None) -> Advanced:
        state = sampler.sample(state, (V,), {})
        sites = sampler.postprocess_fn((V,), {})(state.z)
        return state, (sites, {name: getattr(state, x) for name, x in STATISTICS.items()})

    @jax.jit(static_argnums=1)
    def advance(state: HMCState, number: int) -> Advanced:
        return jax.lax.scan(step, state, length=number)

    return states, advance


def _steps(
    advance: Callable[..., Advanced],
    states: list[HMCState],
    number: int,
    stage: str,
    progress: Progress,
) -> Iterator[Any]:
    """Advance all chains, and yield sites and statistics of some steps, each (chain, draw, …)."""
    for done in range(0, number, CHUNK):
        progress.stage(stage, number, done)
        size = min(CHUNK, number - done)
        # Devices work side by side: a call returns before its work is done.
        parts = [advance(state, size) for state in states]
        drawn = jax.tree.map(lambda *x: np.stack(x), *(jax.device_get(part) for _, part in parts))
        states[:] = [state for state, _ in parts]
        yield drawn
        progress.advance(size)


def _jittered(start: dict[str, jax.Array], key: jax.Array, num_chains: int) -> dict[str, jax.Array]:
    """Repeat a start once a chain, with independent noise."""
    keys = jax.random.split(key, len(start))
    return {
        name: value[None]
        + JITTER * jax.random.normal(k, (num_chains, *jnp.shape(value)), value.dtype)
        for (name, value), k in zip(start.items(), keys, strict=True)
    }
