"""Simulation-based calibration: many data sets drawn from the model, one chain for each.

Draw W, H and the likelihood's parameters from their priors and V from the likelihood; then the truth
and the draws of the posterior given V have the same distribution, and the rank of the one among the
others is uniform (Talts et al. 2018). Every data set is one chain of a single vectorised program, so
that hundreds of fits compile once.

Talts, S., Betancourt, M., Simpson, D., Vehtari, A. and Gelman, A. (2018). Validating Bayesian inference
algorithms with simulation-based calibration. arXiv:1804.06788.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import stats

import bayesnmf as bn
from bayesnmf.likelihoods import Gaussian, Likelihood
from bayesnmf.methods.sampler import NMFKernel, NMFState, Plan
from bayesnmf.methods.sampler.kernel import _BATCHED
from bayesnmf.methods.sampler.target import sites_of
from bayesnmf.observed.cells import Cells

type Sites = dict[str, np.ndarray]

LIKELIHOODS: dict[str, str | Likelihood] = {
    "poisson": "poisson",
    "negative_binomial": "negative_binomial",
    "gaussian": Gaussian(scale=1.0),
    "gamma": "gamma",
    "beta": "beta",
}
#: Average of WH. Proportions are kept away from 1, to which they would round.
LEVELS = dict.fromkeys(LIKELIHOODS, 5.0) | {"beta": 0.4}


class Truth(NamedTuple):
    """Data sets and what they were drawn from.

    Attributes
    ----------
    sites : dict of arrays of shape (replicate, …)
        W (row, component), H (component, column) and the likelihood's parameters.
    V : array of shape (replicate, row, column)
        Data.
    """

    sites: Sites
    V: np.ndarray


def model_of(name: str, rank: int, shape_W: float = 1.0, shape_H: float = 1.0) -> bn.NMF:
    """Return a model all of whose priors are given, so that data can be drawn from it."""
    entry = np.sqrt(LEVELS[name] / rank)
    priors = (bn.priors.Gamma(shape, float(shape / entry)) for shape in (shape_W, shape_H))
    return bn.NMF(rank, LIKELIHOODS[name], *priors)


def simulate(model: bn.NMF, shape: tuple[int, int], size: int, seed: int) -> Truth:
    """Draw replicates from the model: factors and data by NumPy, parameters by NumPyro."""
    rng, (n, m), K = np.random.default_rng(seed), shape, model.n_components
    sites = {
        "W": rng.gamma(model.prior_W.shape, 1 / model.prior_W.rate, (size, n, K)),
        "H": rng.gamma(model.prior_H.shape, 1 / model.prior_H.rate, (size, K, m)),
    }
    for name, prior in model.likelihood.priors.items():
        sites[name] = np.asarray(prior.sample(jax.random.key(seed), (size,)), float)
    likelihood, V = model.likelihood, []
    for W, H, *values in zip(*sites.values(), strict=True):
        parameters = dict(zip(likelihood.priors, map(float, values), strict=True))
        given = replace(likelihood, **parameters)
        V.append(given.simulate(rng, W @ H, 1.0))
    return Truth(sites, np.asarray(V, float))


def quantities(model: bn.NMF, V: Any, sites: dict[str, Any]) -> dict[str, Any]:
    """Return what is identifiable, so that its rank is: cells, sorted masses, fit, parameters."""
    mean = sites["W"] @ sites["H"]
    parameters = {name: sites[name] for name in model.likelihood.priors}
    fit = model.likelihood.log_density(V, mean, **model.likelihood.known, **parameters)
    return {
        "WH": mean,
        "masses": jnp.sort(jnp.sum(sites["W"], axis=0) * jnp.sum(sites["H"], axis=1)),
        "log likelihood": jnp.sum(fit),
    } | parameters


def sample(
    model: bn.NMF,
    truth: Truth,
    start: Sites,
    plan: Plan,
    *,
    num_warmup: int,
    num_samples: int,
    thin: int,
    seed: int,
) -> tuple[Sites, Sites]:
    """Run a chain on every data set, and return the quantities of the truth and of the draws.

    Parameters
    ----------
    model : NMF
        Its priors are those of the sampler; negative controls give another than that of the data.
    truth : Truth
        Data sets.
    start : dict of arrays of shape (replicate, …)
        Where the chains begin. They must not know the truth.
    plan : Plan
        The moves.
    num_warmup, num_samples : int
        Steps that adapt, and draws kept.
    thin : int
        Sweeps from one draw to the next.
    seed : int
        Of the chains.

    Returns
    -------
    true : dict of arrays of shape (replicate, …)
        Quantities of the truth.
    draws : dict of arrays of shape (draw, replicate, …)
        Quantities of the draws.
    """
    start, sites, V = jax.tree.map(jnp.asarray, (start, truth.sites, truth.V))
    keys = jax.random.split(jax.random.key(seed), len(V))
    steps = jnp.asarray(num_warmup), jnp.asarray(thin)
    return jax.tree.map(
        np.asarray, _run(model, V, sites, start, keys, *steps, plan=plan, num_samples=num_samples)
    )


@partial(jax.jit, static_argnames=("plan", "num_samples"))
def _run(
    model: bn.NMF,
    V: Any,
    sites: Any,
    start: Any,
    keys: Any,
    num_warmup: Any,
    thin: Any,
    *,
    plan: Plan,
    num_samples: int,
) -> tuple[Any, Any]:
    def begin(V: Any, start: Any, key: Any) -> NMFState:
        return NMFKernel(plan).init(key, num_warmup, start, (model, Cells(V, None)), {})

    def one(V: Any, state: NMFState) -> NMFState:
        return NMFKernel(plan).sample(state, (model, Cells(V, None)), {})

    state = jax.vmap(begin, out_axes=_BATCHED)(V, start, keys)
    advance = jax.vmap(one, in_axes=(0, _BATCHED), out_axes=_BATCHED)
    of_all = jax.vmap(partial(quantities, model))

    def draw(state: NMFState, _: None) -> tuple[NMFState, Any]:
        # The first draw makes the steps of the warm-up too: one place that compiles a sweep.
        steps = jnp.where(state.i == 0, num_warmup, 0) + thin
        state = lax.fori_loop(0, steps, lambda _, state: advance(V, state), state)
        return state, of_all(V, jax.vmap(sites_of)(state.z))

    _, draws = lax.scan(draw, state, length=num_samples)
    return of_all(V, sites), draws


def positions(true: Sites, draws: Sites, seed: int = 0) -> Sites:
    """Return where the truth falls among the draws: uniform on (0, 1) where all is well.

    With L draws the rank is one of L + 1 values; uniform noise spreads it over its interval, so
    that tests for continuous variables are exact, given independent draws.
    """
    rng, found = np.random.default_rng(seed), {}
    for name, value in true.items():
        rank = np.sum(draws[name] < value[None], axis=0)
        found[name] = (rank + rng.random(rank.shape)) / (len(draws[name]) + 1)
    return found


def scalars(position: Sites, seed: int = 0) -> dict[str, np.ndarray]:
    """Return samples of independent uniform variables, one a replicate: what tests are made of.

    Cells of WH are exchangeable but dependent within a replicate: one random cell is enough.
    """
    rng, found = np.random.default_rng(seed), {}
    for name, value in position.items():
        flat = value.reshape(len(value), -1)
        if name == "WH":
            found["a cell of WH"] = flat[
                np.arange(len(flat)), rng.integers(flat.shape[1], size=len(flat))
            ]
        elif value.ndim == 2:
            found |= {f"{name} {k + 1}": x for k, x in enumerate(value.T)}
        else:
            found[name] = value
    return found


def p_value(position: np.ndarray, n_bins: int = 8) -> float:
    """Return the p-value of uniformity: of the worse of two tests, doubled.

    Kolmogorov-Smirnov sees a shift, chi-squared of a histogram a wrong width.
    """
    counts = np.histogram(position, n_bins, (0.0, 1.0))[0]
    shift, width = stats.kstest(position, "uniform").pvalue, stats.chisquare(counts).pvalue
    return float(min(1.0, 2.0 * min(shift, width)))


def coverage(position: np.ndarray, prob: float) -> tuple[float, float]:
    """Return the share of truths inside central intervals, and its standard error.

    Replicates are independent; the cells of one are not, so the error is that of its mean.
    """
    inside = np.abs(position - 0.5) < 0.5 * prob
    share = inside.reshape(len(inside), -1).mean(axis=1)
    return float(share.mean()), float(share.std(ddof=1) / np.sqrt(len(share)))
