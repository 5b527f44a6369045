"""Chains of the structured sampler, some draws at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from itertools import pairwise
from threading import Thread
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesnmf.arrays import Array
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
    state : NMFState
        From which the run continues.
    """

    sites: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    state: NMFState


@jax.jit
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


def compile_beside(plan: Plan, model: NMF, data: Sampled, like: NMFState) -> Thread:
    """Compile what advances chains in a thread of its own, while the caller looks for their start.

    Parameters
    ----------
    plan, model, data
        Those of :func:`draw_chunks`.
    like : NMFState
        Shapes and types of the state.

    Returns
    -------
    threading.Thread
        Join it before chains are advanced, which would compile the same program again.
    """
    wide = jax.config.jax_enable_x64

    def compile_it() -> None:
        # What is wrong here is wrong again when chains are advanced, where it can be told.
        with suppress(Exception), jax.enable_x64(wide):
            group = jax.eval_shape(lambda state: _groups(state)[0], like)
            _advancing().lower(plan, model, data, group).compile()
            _refresh.lower(model, data, group).compile()

    # Several devices compile for themselves.
    thread = Thread(target=compile_it if len(jax.local_devices()) == 1 else None)
    thread.start()
    return thread


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
    [(2, 0, 2, 1), (2, 10, 2, 1)]
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
            groups = [group._replace(end=jnp.asarray(stop, state.i.dtype)) for group in groups]
            calls = [(*given[i % len(given)], group) for i, group in enumerate(groups)]
            if done in takes_masses:
                groups = _on_all(pool, _refresh, calls)
                calls = [(*call[:-1], group) for call, group in zip(calls, groups, strict=True)]
            parts = _on_all(pool, partial(_advancing(), plan), calls)
            groups = [part[0] for part in parts]
            kept = slice(max(num_warmup - done, 0), stop - done)
            sites, stats = jax.tree.map(
                lambda *x: np.concatenate([np.asarray(y)[:, kept] for y in x]),  # noqa: B023
                *(part[1:] for part in parts),
            )
            done = stop
            yield Chunk(sites, stats, _merged(groups))


def _groups(state: NMFState) -> list[NMFState]:
    """Return the chains that are advanced together: one on CPUs, a device's share elsewhere."""
    num_chains, devices = len(state.rng_key), jax.local_devices()
    number = num_chains if devices[0].platform == "cpu" else min(len(devices), num_chains)
    return _split(state, number=number)


@partial(jax.jit, static_argnames="number")
def _split(state: NMFState, *, number: int) -> list[NMFState]:
    """Return the chains in so many groups; one program, where each slice would be one of its own."""
    num_chains = len(state.rng_key)
    cuts = np.linspace(0, num_chains, number + 1).round().astype(int)

    def cut(first: int, last: int) -> NMFState:
        own = {name: x for name, x in state._asdict().items() if name not in SHARED}
        return state._replace(**jax.tree.map(lambda x: x[first:last], own))

    return [cut(*ends) for ends in pairwise(cuts.tolist())]


def _merged(groups: list[NMFState]) -> NMFState:
    """Return the state of all chains."""
    if len(groups) == 1:
        return groups[0]
    if len(jax.local_devices()) > 1:
        groups = [jax.device_put(group, jax.local_devices()[0]) for group in groups]
    return _joined(groups)


@jax.jit
def _joined(groups: list[NMFState]) -> NMFState:
    """Return the state of the chains of several groups."""
    parts = [
        {name: x for name, x in group._asdict().items() if name not in SHARED} for group in groups
    ]
    return groups[0]._replace(**jax.tree.map(lambda *x: jnp.concatenate(x), *parts))


def _on_all(pool: ThreadPoolExecutor, function: Callable[..., Any], calls: list[Any]) -> list[Any]:
    """Return what a function returns of all calls; the first compiles for all of its device."""
    wide = jax.config.jax_enable_x64  # which a thread does not inherit

    def call(arguments: Any) -> Any:
        with jax.enable_x64(wide):
            return jax.block_until_ready(function(*arguments))

    return [function(*calls[0]), *pool.map(call, calls[1:])]


@jax.jit
def _refresh(model: NMF, data: Sampled, state: NMFState) -> NMFState:
    """Take the masses anew."""
    return refresh_chains(model, data, state)


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


@cache
def _advancing() -> Any:
    """Return the compiled :func:`_advance`.

    XLA hands sums of small arrays to a library that shares them out over threads. The chains keep these busy, so
    that such a sum takes several times as long as a plain loop.
    """
    options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
    try:
        jax.jit(lambda: 0.0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # other versions of XLA have no such option
        options = {}
    return jax.jit(_advance, static_argnames="plan", compiler_options=options)
