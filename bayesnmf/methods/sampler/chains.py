"""Chains of the structured sampler, some draws at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Thread
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
from bayesnmf.compilation import IN_THREADS, QUICK, Compiled, compile_beside
from bayesnmf.methods.sampler.kernel import NMFKernel, NMFState, refresh_chains, step_chains
from bayesnmf.methods.sampler.plan import Plan
from bayesnmf.methods.sampler.target import sites_of
from bayesnmf.methods.sampler.tuning import refreshes
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Steps between returns to Python, where a run can be stopped, shown and saved. On a CPU the loop
#: may copy its buffer of draws at every step, so the buffer is kept small.
CHUNK = 25


#: Sampler statistics that are kept, as fields of the state.
STATISTICS = ("log_joint", "accept_prob", "block_accept_prob")


#: Fields of the state that all chains share.
SHARED = ("num_warmup", "i", "end")


class Chunk(NamedTuple):
    """Consecutive draws of every chain; none yet while chains warm up.

    Attributes
    ----------
    sites : dict of ndarray of shape (chain, draw, …)
        W (row, component), H (component, column) and the likelihood's inferred parameters.
    stats : dict of ndarray of shape (chain, draw)
        Sampler statistics: "log_joint", "accept_prob" and "block_accept_prob".
    step : int
        Steps that chains have made, those of the warm-up included.
    groups : list of NMFState
        Chains that are advanced together.
    """

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    step: int
    groups: list[NMFState]

    @property
    def state(self) -> NMFState:
        """State of all chains, from which the run continues."""
        parts = [_per_chain(group) for group in self.groups]
        joined = {
            name: jax.tree.map(lambda *x: np.concatenate(x), *(part[name] for part in parts))
            for name in parts[0]
        }
        return _with_chains(self.groups[0], joined)


@partial(Compiled, options=QUICK)
def begin(
    model: NMF, data: Sampled, values: dict[str, Array], key: Array, num_warmup: int | Array
) -> NMFState:
    """Return the state of chains that start at given values.

    Parameters
    ----------
    model : NMF
        Resolved: its priors have rates.
    data : Sampled
        What it is conditioned on.
    values : dict of arrays of shape (chain, …)
        W (row, component), H (component, column) and the likelihood's inferred parameters.
    key : array
        Random key.
    num_warmup : int
        Steps that adapt the sampler.
    """
    num_chains = jnp.shape(values["W"])[0]
    keys = jax.random.split(key, num_chains)
    return NMFKernel().init(keys, num_warmup, values, (model, data), {})


def compile_advances(plan: Plan, model: NMF, data: Sampled, like: NMFState) -> list[Thread]:
    """Compile what advances chains in threads of their own, while the caller looks for their start.

    Parameters
    ----------
    plan, model, data
        Those of :func:`draw_chunks`.
    like : NMFState
        Shapes and types of the state.

    Returns
    -------
    list of threading.Thread
        Join them before chains are advanced, which would compile the same programs again.
    """
    if len(jax.local_devices()) > 1:  # each compiles for itself
        return []
    group = _group_like(like)
    programs = [partial(_advance.jitted.lower, plan, model, data, group)]
    if plan.adapts:
        programs.append(partial(_refresh.jitted.lower, model, data, group))
    return compile_beside(*programs)


def _group_like(state: NMFState) -> NMFState:
    """Return shapes and types of the first group of chains."""
    together = 1 if jax.local_devices()[0].platform == "cpu" else len(state.rng_key)
    own = {name: x for name, x in state._asdict().items() if name not in SHARED}
    of_group = jax.tree.map(lambda x: jax.ShapeDtypeStruct((together, *x.shape[1:]), x.dtype), own)
    return state._replace(**of_group)


def draw_chunks(
    plan: Plan, model: NMF, data: Sampled, state: NMFState, num_samples: int
) -> Iterator[Chunk]:
    """Finish the warm-up of chains and continue for some draws, piece by piece.

    On CPUs each chain is a call of its own, so that cores work side by side: one program of small
    arrays keeps only one of them busy. Other devices advance all chains that they hold at once.
    Draws are the same however they are cut into pieces: a run that stops after any chunk continues
    from its state, and two calls for 50 draws give those of one call for 100.

    Parameters
    ----------
    plan : Plan
        The moves.
    model : NMF
        Resolved.
    data : Sampled
        What it is conditioned on.
    state : NMFState
        Of :func:`begin`, or of the last chunk of an earlier call.
    num_samples : int
        Draws of each chain.

    Yields
    ------
    Chunk
        At most 25 draws; the chunks of the warm-up have none.

    Examples
    --------
    >>> from bayesnmf.data import Matrix
    >>> from bayesnmf.observed import dense_cells_of
    >>> V = np.array([[3.0, 1.0, 0.0], [1.0, 4.0, 2.0]], np.float32)
    >>> model = NMF(1).resolve(V)
    >>> data = dense_cells_of(model, Matrix.of(V))
    >>> values = {"W": jnp.ones((2, 2, 1)), "H": jnp.ones((2, 1, 3))}
    >>> state = begin(model, data, values, jax.random.key(0), num_warmup=25)
    >>> [chunk.sites["W"].shape for chunk in draw_chunks(Plan(), model, data, state, 10)]
    [(2, 0, 2, 1), (2, 0, 2, 1), (2, 0, 2, 1), (2, 0, 2, 1), (2, 10, 2, 1)]
    """
    done, num_warmup = int(state.i), int(state.num_warmup)
    end = max(done, num_warmup) + num_samples
    takes_masses = refreshes(num_warmup) if plan.adapts else []
    groups, devices = _groups(state), jax.local_devices()
    given = [(model, data)]
    if len(devices) > 1:
        groups = [jax.device_put(x, devices[i % len(devices)]) for i, x in enumerate(groups)]
        given = [jax.device_put((model, data), device) for device in devices[: len(groups)]]
    with ThreadPoolExecutor(min(len(groups), os.cpu_count() or 1)) as pool:
        while done < end:
            stop = min([done + CHUNK, end, *(step for step in takes_masses if step > done)])
            limit = jax.device_put(np.asarray(stop, state.i.dtype))
            groups = [group._replace(end=limit) for group in groups]
            calls = [(*given[i % len(given)], group) for i, group in enumerate(groups)]
            if done in takes_masses:
                groups = _on_all(pool, _refresh, calls)
                calls = [(*call[:-1], group) for call, group in zip(calls, groups, strict=True)]
            parts = _on_all(pool, partial(_advance, plan), calls)
            groups = [part[0] for part in parts]
            kept = slice(max(num_warmup - done, 0), stop - done)
            sites, stats = jax.tree.map(
                lambda *x: np.concatenate([np.asarray(y)[:, kept] for y in x]),  # noqa: B023
                *(part[1:] for part in parts),
            )
            done = stop
            yield Chunk(sites, stats, done, groups)


def _groups(state: NMFState) -> list[NMFState]:
    """Return the chains that are advanced together: one on CPUs, a device's share elsewhere."""
    num_chains, devices = len(state.rng_key), jax.local_devices()
    number = num_chains if devices[0].platform == "cpu" else min(len(devices), num_chains)
    cuts = np.linspace(0, num_chains, number + 1).round().astype(int)
    chains = _per_chain(state)
    return [
        _with_chains(state, jax.tree.map(lambda x: x[first:last], chains))  # noqa: B023
        for first, last in pairwise(cuts.tolist())
    ]


def _per_chain(state: NMFState) -> dict[str, Any]:
    """Return what each chain has of its own, by NumPy: what is done once is not worth compiling."""
    own = {name: x for name, x in state._asdict().items() if name not in SHARED}
    own["rng_key"] = jax.random.key_data(own["rng_key"])
    return {name: jax.tree.map(np.asarray, x) for name, x in own.items()}


def _with_chains(state: NMFState, own: dict[str, Any]) -> NMFState:
    """Return the state with other chains, such as `_per_chain` gives them."""
    own = jax.device_put(own)
    return state._replace(**{**own, "rng_key": jax.random.wrap_key_data(own["rng_key"])})


def _on_all(pool: ThreadPoolExecutor, function: Callable[..., Any], calls: list[Any]) -> list[Any]:
    """Return what a function returns of all calls; the first compiles for all of its device."""
    wide = jax.config.jax_enable_x64  # which a thread does not inherit

    def call(arguments: Any) -> Any:
        with jax.enable_x64(wide):
            return jax.block_until_ready(function(*arguments))

    return [function(*calls[0]), *pool.map(call, calls[1:])]


@partial(Compiled, options=QUICK)
def _refresh(model: NMF, data: Sampled, state: NMFState) -> NMFState:
    """Take the masses anew."""
    return refresh_chains(model, data, state)


@partial(Compiled, options=IN_THREADS, static_argnames="plan")
def _advance(plan: Plan, model: NMF, data: Sampled, state: NMFState) -> tuple[NMFState, Any, Any]:
    """Make up to `CHUNK` steps and return what to keep of each, chain first.

    NumPyro's own loop would do, but compiles anew at every call.
    """

    def step(state: NMFState, _: None) -> tuple[NMFState, Any]:
        state = step_chains(plan, model, data, state)
        stats = {name: getattr(state, name) for name in STATISTICS}
        return state, (jax.vmap(sites_of)(state.z), stats)

    state, draws = lax.scan(step, state, length=CHUNK)
    return state, *jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), draws)
