"""The structured sampler, from an optimum for each chain to its draws."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.blas import one_blas_thread
from bayesnmf.data import AnyMatrix
from bayesnmf.methods.optimise.log_map import log_maps
from bayesnmf.methods.sampler import NMFState, chains, plan_for
from bayesnmf.methods.sampler.stopping import Enough
from bayesnmf.model import NMF
from bayesnmf.model.completion import complete_sites, sites_to_infer
from bayesnmf.observed import observe_for_sampling
from bayesnmf.observed.interface import Sampled
from bayesnmf.progress import Progress


class Run(NamedTuple):
    """Sites and statistics, each (chain, draw, …), and the state from which the chains continue.

    `enough`: whether the run ended since there were effective draws enough.
    """

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    enough: bool


@one_blas_thread()
def sample_structured(
    model: NMF,
    matrix: AnyMatrix,
    key: jax.Array,
    *,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    min_ess: float | None,
    progress: Progress,
) -> Run:
    """Run chains, each from an optimum of its own; Ctrl-C ends the run with the draws made so far."""
    data = observe_for_sampling(model, matrix)
    like = _state_like(model, matrix, data, num_chains)
    compiling = chains.compile_advances(plan_for(model, data), model, data, like)
    optima = log_maps(model, matrix, key, num_chains, progress)
    values = {name: np.stack([optimum[name] for optimum in optima]) for name in optima[0]}
    state = chains.begin(model, data, values, key, num_warmup)
    for thread in compiling:
        thread.join()
    rule = None if min_ess is None else Enough(min_ess, tuple(model.likelihood.priors))
    return _draw(model, data, state, num_samples, progress, rule)


@one_blas_thread()
def resume_structured(
    model: NMF,
    matrix: AnyMatrix,
    state: dict[str, np.ndarray],
    *,
    num_samples: int,
    num_chains: int,
    progress: Progress,
) -> Run:
    """Continue from the state of an earlier run: its draws are those of one longer run."""
    data = observe_for_sampling(model, matrix)
    like = _state_like(model, matrix, data, num_chains)
    return _draw(model, data, _unpacked(state, like), num_samples, progress)


def _state_like(model: NMF, matrix: AnyMatrix, data: Sampled, num_chains: int) -> NMFState:
    """Return the shapes and types of the state of chains."""
    k = model.n_components
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(model.likelihood.priors, ())
    shapes |= dict.fromkeys(model.hyper_priors, (k,))
    shapes |= {"W": (matrix.n_rows, k), "H": (k, matrix.n_columns)}
    values = {
        name: jax.ShapeDtypeStruct((num_chains, *shape), matrix.dtype)
        for name, shape in shapes.items()
    }
    key = jax.random.key(0)
    like: NMFState = jax.eval_shape(
        lambda values: chains.begin.function(model, data, values, key, 0), values
    )
    return like


def _draw(
    model: NMF,
    data: Sampled,
    state: NMFState,
    num_samples: int,
    progress: Progress,
    rule: Enough | None = None,
) -> Run:
    plan, chunks, enough = plan_for(model, data), [], False
    num_warmup, done = int(state.num_warmup), int(state.i)
    begun = max(num_warmup, done)
    _show(progress, done, begun, num_samples)
    try:
        for chunk in chains.draw_chunks(plan, model, data, state, num_samples):
            chunks.append(chunk)
            _show(progress, chunk.step, begun, num_samples)
            accepted = np.mean([np.asarray(group.accept_prob) for group in chunk.groups])
            progress.note(f"acceptance {accepted:.2f}")
            if rule is not None and rule.add(chunk.sites, chunk.stats["log_joint"]):
                enough = True
                break
    except KeyboardInterrupt:
        if not any(chunk.stats["log_joint"].shape[1] for chunk in chunks):
            raise
    drawn = _joined([chunk.sites for chunk in chunks])
    sites = complete_sites(model, sites_to_infer(model, drawn))
    stats = _joined([chunk.stats for chunk in chunks])
    names = {"log_joint": "lp", "accept_prob": "acceptance_rate"}
    named = {names.get(name, name): value for name, value in stats.items()}
    return Run(sites, named, _packed(chunks[-1].state), enough)


def _show(progress: Progress, done: int, begun: int, num_samples: int) -> None:
    """Show how many steps of the warm-up are done, or how many draws from step `begun` on."""
    if done < begun:
        progress.stage("warm-up", begun, done)
    else:
        progress.stage("sampling", num_samples, done - begun)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _is_key(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _packed(state: NMFState) -> dict[str, np.ndarray]:
    """Return the leaves of a state as plain arrays that a file can hold."""
    leaves = jax.tree.leaves(state)
    return {
        f"leaf_{i:02d}": np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        for i, leaf in enumerate(leaves)
    }


def _unpacked(packed: dict[str, np.ndarray], like: NMFState) -> NMFState:
    """Return the state whose leaves were packed, with the structure of another."""
    leaves, structure = jax.tree.flatten(like)
    values = [
        jax.random.wrap_key_data(jnp.asarray(value))
        if _is_key(leaf)
        else jnp.asarray(value, leaf.dtype)
        for leaf, (_, value) in zip(leaves, sorted(packed.items()), strict=True)
    ]
    state: NMFState = jax.tree.unflatten(structure, values)
    return state
