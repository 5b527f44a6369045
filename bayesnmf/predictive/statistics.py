"""Replicates drawn at draws of the posterior, and the statistics of them and of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayesnmf.arrays import Array
from bayesnmf.blas import one_blas_thread
from bayesnmf.likelihoods.numpy_draws import draw_cells
from bayesnmf.predictive.blocks import RowBlocks, Stored
from bayesnmf.predictive.discrepancies import (
    EXACT_SIDE,
    gram_values,
    krylov_values,
    partial_sums,
    pearson,
    products,
    smooth,
)
from bayesnmf.progress import Progress

#: Singular values in the table, and in the spectrum.
N_VALUES, N_SPECTRUM = 3, 10


type Pair = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@one_blas_thread()
def observed_and_replicated(
    rows: RowBlocks, draws: dict[str, np.ndarray], seed: int, progress: Progress
) -> Pair:
    """Return the statistics of the data, and of a replicate, at each of some draws.

    Parameters
    ----------
    rows : RowBlocks
    draws : dict of str to ndarray of shape (n_draws, ...)
        All sites in double precision.
    seed : int
    progress : Progress
        What shows how many draws are done.

    Returns
    -------
    pair of dict of str to ndarray of shape (n_draws, ...)
        Of the data and of the replicates: the statistics of :func:`bayesnmf.ppc` by name, and
        "spectrum", the leading singular values of the Pearson residual.
    """
    n_draws, side = len(draws["W"]), _side(rows)
    together = 1 if side == "neither" else min(rows.n_together, n_draws)
    keys, pairs = jax.random.split(jax.random.key(seed), n_draws), []
    firsts = range(0, n_draws, together)
    for first in progress.over(firsts, "replicates"):
        # The last draws are repeated to fill up their batch, so that one program serves all.
        numbers = np.arange(first, first + together)
        chosen = np.minimum(numbers, n_draws - 1)
        some = {name: x[chosen] for name, x in draws.items()}
        both = _at_some_draws(rows, side, some, keys[chosen], (seed, first))
        kept = int(np.sum(numbers < n_draws))
        pairs.append([{name: x[:kept] for name, x in one.items()} for one in both])
    observed, replicated = (_concatenated(one) for one in zip(*pairs, strict=True))
    return observed, replicated


def _concatenated(parts: tuple[dict[str, np.ndarray], ...]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _at_some_draws(
    rows: RowBlocks, side: str, draws: dict[str, np.ndarray], keys: Array, seed: tuple[int, int]
) -> Pair:
    """Return the statistics at a few draws."""
    rng = np.random.default_rng(seed)
    replicates: list[Stored] = []
    parts: list[tuple[dict[str, Array], dict[str, Array], dict[str, Array]]] = []
    for block, stored in rows.stored():
        distributions, number = block.distributions(draws), np.int64(block.number)
        v, seen = rows.dense(block, stored)
        held = jax.tree.map(np.asarray, distributions)
        drawn = np.stack([_drawn(held, s, rng, keys, number) for s in range(len(keys))])
        parts.append(
            _sums_of_rows(distributions, v, drawn, seen, block.at, keys, number, side=side)
        )
        if side == "neither":
            replicates.append(rows.kept(drawn[0]))
    sums = [_summed(rows, one) for one in zip(*parts, strict=True)]
    if side == "neither":
        spectra = _krylov_spectra(rows, draws, keys, replicates)
    else:
        spectra = [np.asarray(_gram_values(part["gram"], _n_values(rows))) for part in sums]
    observed, replicated, signed = (
        part | {"spectrum": spectrum} for part, spectrum in zip(sums, spectra, strict=True)
    )
    return (
        _named(observed) | {"structure": observed["spectrum"][:, 0]},
        _named(replicated) | {"structure": signed["spectrum"][:, 0]},
    )


def _drawn(
    distributions: dist.Distribution,
    s: int,
    rng: np.random.Generator,
    keys: Array,
    number: np.int64,
) -> np.ndarray:
    """Return a replicate of some rows at one of the draws."""
    distribution = jax.tree.map(lambda x: x[s], distributions)
    return draw_cells(distribution, rng, lambda: jax.random.fold_in(keys[s], number))


def _side(rows: RowBlocks) -> str:
    """Return the side of the matrix whose inner products give all singular values."""
    n_rows, n_columns = rows.data.shape
    if n_columns <= min(n_rows, EXACT_SIDE):
        return "columns"
    if n_rows <= EXACT_SIDE and len(rows.blocks) == 1:
        return "rows"
    return "columns" if n_columns <= EXACT_SIDE else "neither"


@partial(jax.jit, static_argnames="side")
def _sums_of_rows(
    distributions: dist.Distribution,
    v: Array,
    replicates: Array,
    observed: Array,
    at: tuple[Array, Array],
    keys: Array,
    number: Array,
    *,
    side: str,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return the parts of the statistics of some rows: data, replicates, random signs."""

    def one(at_draw: tuple[dist.Distribution, Array, Array]) -> Any:
        distribution, replicate, key = at_draw
        key = jax.random.fold_in(key, number)
        for_pit = jax.random.split(key)
        of_observed = partial_sums(v, observed, distribution, at, for_pit[0], side)
        of_replicated = partial_sums(replicate, observed, distribution, at, for_pit[1], side)
        signed = _signed(pearson(v, observed, distribution), key)
        return of_observed, of_replicated, products(signed, side)

    return jax.lax.map(one, (distributions, replicates, keys))


def _signed(residual: Array, key: Array) -> Array:
    """Return a residual with random signs, which keep its sizes and lose what it shares."""
    return residual * jax.random.rademacher(
        jax.random.fold_in(key, 1), residual.shape, residual.dtype
    )


def _summed(rows: RowBlocks, parts: Iterable[dict[str, Array]]) -> dict[str, np.ndarray]:
    """Return the sums of the matrix from those of its blocks."""
    arrays = [{name: np.asarray(x) for name, x in part.items()} for part in parts]
    result = {
        name: np.sum([part[name] for part in arrays], axis=0)
        for name in arrays[0]
        if name not in ("maximum", "transformed")
    }
    if "maximum" in arrays[0]:
        result["maximum"] = np.max([part["maximum"] for part in arrays], axis=0)
    if "transformed" in arrays[0]:
        pairs = zip(arrays, rows.blocks, strict=True)
        chosen = [part["transformed"][:, : block.n_at] for part, block in pairs]
        result["transformed"] = np.concatenate(chosen, axis=1)
    return result


def _named(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the statistics of the table from sums over the matrix."""
    leading = sums["spectrum"][:, :N_VALUES].T
    result = {f"singular value {k}": values for k, values in enumerate(leading, 1)}
    result |= {
        "zeros": sums["zeros"] / sums["count"],
        "dispersion": sums["squares"] / sums["count"],
        "maximum": sums["maximum"],
        "row totals": sums["row totals"],
        "column totals": np.sum(sums["excess"] ** 2 / sums["variance"], axis=1),
    }
    if "transformed" in sums:
        result["calibration"] = np.asarray(_smooth_statistics(sums["transformed"]))
    return result | {"spectrum": sums["spectrum"]}


_smooth_statistics = jax.jit(jax.vmap(smooth))


@partial(jax.jit, static_argnums=1)
def _gram_values(grams: Array, n_values: int) -> Array:
    return jax.lax.map(lambda gram: gram_values(gram, n_values), grams)


# -- without the inner products of either side ---------------------------------------------------


def _n_values(rows: RowBlocks) -> int:
    return min(N_SPECTRUM, *rows.data.shape)


def _krylov(rows: RowBlocks, multiply: Callable[[Array], Array]) -> np.ndarray:
    values = krylov_values(multiply, rows.data.shape[1], _n_values(rows), np.float64)
    return np.asarray(values)[None]


def _krylov_spectra(
    rows: RowBlocks, draws: dict[str, np.ndarray], keys: Array, replicates: list[Stored]
) -> list[np.ndarray]:
    """Return the spectra at one draw of the data, a replicate, and the data with random signs."""
    data, multiply = [stored for _, stored in rows.stored()], partial(_multiply, rows, draws, keys)
    return [
        _krylov(rows, partial(multiply, data)),
        _krylov(rows, partial(multiply, replicates)),
        _krylov(rows, partial(multiply, data, signed=True)),
    ]


def _multiply(
    rows: RowBlocks,
    draws: dict[str, np.ndarray],
    keys: Array,
    kept: list[Stored],
    x: Array,
    *,
    signed: bool = False,
) -> Array:
    """Return R'R x for the Pearson residual R of some data at one draw, block after block."""
    total = jnp.zeros_like(x)
    for (block, original), stored in zip(rows.stored(), kept, strict=True):
        observed, v = rows.dense(block, original)[1], rows.dense(block, stored)[0]
        key = jax.random.fold_in(keys[0], block.number)
        total = total + _gram_product(
            block.distributions(draws), v, observed, key, x, signed=signed
        )
    return total


@partial(jax.jit, static_argnames="signed")
def _gram_product(
    distributions: dist.Distribution,
    v: Array,
    observed: Array,
    key: Array,
    x: Array,
    *,
    signed: bool,
) -> Array:
    residual = pearson(v, observed, jax.tree.map(lambda leaf: leaf[0], distributions))
    residual = _signed(residual, key) if signed else residual
    return residual.T @ (residual @ x)
