"""Rows of W given draws of H: a short chain for each draw, all of them in one program."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array, positive, record
from bayesnmf.methods.sampler.kernel import NMFKernel, start_chain
from bayesnmf.methods.sampler.plan import Plan, row_plan
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Sampled

#: Newton steps to the MAP estimate in log space, where a chain begins.
CLIMB = 30


#: Steps that adapt a chain, and sweeps after which it has forgotten where it began.
WARMUP, SWEEPS = 40, 30


#: Numbers (draws x cells) that are alive at once.
BATCH = 2**22


def draw_rows(
    model: NMF,
    data: Sampled,
    H: Array,
    parameters: dict[str, Array],
    start: Array,
    key: jax.Array,
) -> tuple[Array, Array]:
    """Draw W once given each draw of H and of the parameters.

    Parameters
    ----------
    model : NMF
        Resolved, for the data; what it knows of H is replaced by the draws.
    data : Sampled
        New rows.
    H : array of shape (draw, component, column)
    parameters : dict of arrays of shape (draw,) or (draw, component)
        The likelihood's parameters and the components' rates.
    start : array of shape (row, component)
        Where the search for each chain's start begins.
    key : jax.Array

    Returns
    -------
    W : array of shape (draw, row, component)
    log_joint : array of shape (draw,)
        Log joint density of the new rows and their W.
    """
    n_rows, n_columns = data.shape
    batch = max(BATCH // (n_rows * n_columns), 1)
    keys = jax.random.split(key, len(H))
    plan = row_plan(single_precision=data.fits_single_precision(model))
    return _draw_rows(model, data, (H, parameters, keys), start, plan=plan, batch=batch)


@partial(jax.jit, static_argnames=("plan", "batch"))
def _draw_rows(
    model: NMF, data: Sampled, draws: Any, start: Array, *, plan: Plan, batch: int
) -> tuple[Array, Array]:
    # Draws are near their mean but for the scales of components, so one search serves them all.
    mean_H, mean_parameters = jax.tree.map(lambda x: jnp.mean(x, axis=0), draws[:2])
    climbed = _climbed(given_draw(model, mean_H, mean_parameters), data, start.T, mean_H)

    def one(draw: Any) -> tuple[Array, Array]:
        H, parameters, key = draw
        given = given_draw(model, H, parameters)
        W = climbed * (jnp.sum(mean_H, axis=1) / positive(jnp.sum(H, axis=1)))[:, None]
        state = start_chain(given, data, key, jnp.asarray(WARMUP), {"W": W.T, "H": H})
        state = lax.fori_loop(
            0,
            WARMUP + SWEEPS,
            lambda _, state: NMFKernel(plan).sample(state, (given, data), {}),
            state,
        )
        return jnp.exp(state.z.W).T, state.log_joint

    drawn: tuple[Array, Array] = lax.map(one, draws, batch_size=batch)
    return drawn


def given_draw(model: NMF, H: Array, parameters: dict[str, Array]) -> NMF:
    """Return the model of W given a draw of all else."""
    rates = {name: parameters[name] for name in model.hyper_priors}
    fixed = {name: parameters[name] for name in model.likelihood.priors}
    likelihood = record(type(model.likelihood), **{**vars(model.likelihood), **fixed})
    given = model.with_rates(rates)
    return record(NMF, **{**vars(given), "likelihood": likelihood, "W": None, "H": H})


def _climbed(model: NMF, data: Sampled, W: Array, H: Array) -> Array:
    """Return W near its MAP estimate in log space, component first."""

    def step(_: int, x: Array) -> Array:
        improved = data.improve(model, x, H, {}, model.prior_W, axis=1, log_space=True)
        return improved.x

    climbed: Array = lax.fori_loop(0, CLIMB, step, W)
    return climbed
