"""An approximation of the posterior of an NMF, ready to be drawn from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.optimise.initial import generator_of, random_start
from bayesnmf.methods.sampler.target import log_joint_at, position_of
from bayesnmf.methods.variational import coordinate_ascent
from bayesnmf.methods.variational.copula import Drawn, draw
from bayesnmf.methods.variational.guide import Guide, fitted_guide
from bayesnmf.methods.variational.response import Response, independent, response_at
from bayesnmf.model import NMF
from bayesnmf.model.rates import conditional
from bayesnmf.observed import dense_cells_of, observe_for_sampling
from bayesnmf.observed.interface import Sampled
from bayesnmf.progress import Progress

#: Draws at least from which the bound is estimated, though fewer are asked for.
LEAST = 64


class Evaluated(NamedTuple):
    """Draws of all sites, (draw, ...), with the log joint density and that of the approximation at each.

    Attributes
    ----------
    sites : dict of ndarray
    lp, lq : ndarray of shape (draw,)
    elbo, elbo_error : float
        The mean of ``lp - lq``, and its Monte Carlo error.
    """

    sites: dict[str, np.ndarray]
    lp: np.ndarray
    lq: np.ndarray
    elbo: float
    elbo_error: float


class Approximation(NamedTuple):
    """A distribution of all sites of an NMF.

    Attributes
    ----------
    model : NMF
    data : Sampled
    dtype : dtype
    factors : Response
        Of W and H. Rates of components are drawn given these.
    parameters : dict of pairs of float
        Mean and standard deviation of the logarithm of each of the likelihood's parameters.
    converged : bool
    n_iter : int
    info : dict
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    model: NMF
    data: Sampled
    dtype: np.dtype
    factors: Response
    parameters: dict[str, tuple[float, float]]
    converged: bool
    n_iter: int
    info: dict[str, Any]
    interrupted: bool = False

    def draw(self, number: int, rng: np.random.Generator) -> Evaluated:
        """Draw all sites."""
        drawn = draw(self.factors, max(number, LEAST), rng, self.dtype)
        sites, lq = {"W": drawn.W, "H": drawn.H}, drawn.log_density
        for name, (loc, scale) in self.parameters.items():
            score = rng.standard_normal(len(lq))
            sites[name] = np.exp(loc + scale * score).astype(self.dtype)
            lq = lq - 0.5 * (score**2 + np.log(2.0 * np.pi)) - np.log(scale) - loc - scale * score
        rates, more = _rates(self.model, drawn, rng)
        sites |= {name: x.astype(self.dtype) for name, x in rates.items()}
        lp = np.asarray(_log_joints(self.model, self.data, sites), np.float64)
        bound = lp - (lq + more)
        error = float(bound.std(ddof=1) / np.sqrt(len(bound)))
        sites = {name: x[:number] for name, x in sites.items()}
        return Evaluated(sites, lp[:number], (lq + more)[:number], float(bound.mean()), error)


def by_ascent(
    model: NMF,
    matrix: AnyMatrix,
    key: jax.Array,
    *,
    n_init: int,
    max_iter: int,
    tol: float,
    correlated: bool,
    progress: Progress,
) -> Approximation:
    """Approximate by coordinate ascent from random starts; Ctrl-C keeps the best of those that have ended."""
    data: Any = observe_for_sampling(model, matrix)
    compiling = coordinate_ascent.compile_beside(model, data, matrix)
    ends, interrupted = [], False
    for number, rng in enumerate(generator_of(key).spawn(n_init)):
        progress.stage(f"start {number + 1} of {n_init}", n_init, number)
        start = random_start(model, matrix, rng)
        options: dict[str, Any] = {
            "max_iter": max_iter,
            "tol": tol,
            "compiling": compiling,
            "progress": progress,
        }
        try:
            ends.append(coordinate_ascent.ascend(model, data, start, **options))
        except KeyboardInterrupt:
            if not ends:
                raise
            interrupted = True
            break
    best = max(ends, key=lambda end: (np.isfinite(end.elbo), end.elbo))
    means, given = coordinate_ascent.ended(model, best.point)
    if correlated:
        factors = response_at(given, data, means.W, means.H, {})
    else:
        factors = independent(model, means.W, means.H, best.point.W, best.point.H)
    bounds = sorted((end.elbo for end in ends), reverse=True)
    info = {"elbo_fitted": best.elbo, "elbos": bounds}
    end = best.converged, best.n_iter, info, interrupted
    return Approximation(model, data, matrix.dtype, factors, {}, *end)


def by_guide(
    model: NMF,
    matrix: Matrix,
    key: jax.Array,
    *,
    num_steps: int,
    tol: float,
    correlated: bool,
    progress: Progress,
) -> Approximation:
    """Approximate by NumPyro's gradients, from the MAP estimate in log space."""
    key_map, key_init, key_elbo = jax.random.split(key, 3)
    options: dict[str, Any] = {"num_steps": num_steps, "tol": tol, "progress": progress}
    guide = fitted_guide(model, matrix, (key_map, key_init), **options)
    data = dense_cells_of(model, matrix)
    of_W, of_H = _factors_of(guide, model)
    W, H, shape_W, shape_H = (
        jnp.asarray(x, matrix.dtype) for x in (of_W[0], of_H[0], of_W[1], of_H[1])
    )
    others = {
        name: guide.log_normal(name) for name in (*model.likelihood.priors, *model.hyper_priors)
    }
    means = {name: jnp.asarray(_mean(*others[name]), matrix.dtype) for name in others}
    given = model.with_rates(means)
    if correlated:
        noise = {name: means[name] for name in model.likelihood.priors}
        factors = response_at(given, data, W, H, noise)
    else:
        factors = independent(model, W, H, shape_W, shape_H)
    parameters = {
        name: (float(others[name][0]), float(others[name][1])) for name in model.likelihood.priors
    }
    info = {"elbo_fitted": guide.bound(key_elbo)[0]}
    return Approximation(
        model, data, matrix.dtype, factors, parameters, guide.converged, guide.n_iter, info
    )


def _factors_of(guide: Guide, model: NMF) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return means of W and of H, component first, and the precisions of their logarithms; 1 for known components."""
    found = []
    for name, known, n_known in (("W", model.W, model.n_known_W), ("H", model.H, model.n_known_H)):
        parts = []
        if known is not None:
            table = np.asarray(known).T if name == "W" else np.asarray(known)
            parts.append((table, np.ones_like(table)))
        if n_known < model.n_components:
            loc, scale = (x.T if name == "W" else x for x in guide.log_normal(name))
            parts.append((_mean(loc, scale), scale**-2.0))
        means, precisions = zip(*parts, strict=True)
        found.append((np.concatenate(means), np.concatenate(precisions)))
    return found


def _mean(loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the mean of a log-normal distribution."""
    return np.exp(loc + 0.5 * scale**2)


def _rates(
    model: NMF, drawn: Drawn, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw the rates of the components given the factors, and return the log density of what is drawn."""
    rates, log_density = {}, np.zeros(len(drawn.W))
    for name, terms in _conditionals(model, drawn.W, drawn.H).items():
        given, rate = (np.asarray(x, np.float64) for x in terms)
        shape = np.broadcast_to(given.reshape(len(rate), -1), rate.shape)
        unit = np.maximum(rng.gamma(shape), np.finfo(float).tiny)
        rates[name] = unit / rate
        each = (shape - 1.0) * np.log(unit) - unit - gammaln(shape) + np.log(rate)
        log_density += each.sum(axis=1)
    return rates, log_density


@jax.jit
def _conditionals(model: NMF, W: Array, H: Array) -> dict[str, tuple[Array, Array]]:
    return jax.vmap(lambda w, h: conditional(model, w.T, h))(W, H)


@jax.jit
def _log_joints(model: NMF, data: Sampled, sites: dict[str, Array]) -> Array:
    """Return the log joint density at every draw."""

    def log_joint(draw: dict[str, Array]) -> Array:
        others = {name: x for name, x in draw.items() if name not in ("W", "H")}
        return log_joint_at(model, data, position_of(draw["W"], draw["H"], others))

    return jax.lax.map(log_joint, sites)
