r"""Importance sampling of one line of V, at every draw of the other factor, as one array program.

Given H, the rows of W are independent with K unknowns each, few enough to integrate out; given W,
so are the columns of H. With :math:`z = \log w` the density of a row is smooth and falls off on
both sides, so a Student t distribution around its maximum, with the curvature there (Laplace's
approximation), covers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln, logsumexp, ndtri

from bayesnmf.arrays import Array, off_zero, pytree
from bayesnmf.likelihoods import Likelihood

#: Degrees of freedom of the proposal: heavier tails than those of any row's density.
DEGREES = 4.0


#: Steps of Newton's method at most, none of them longer than this in any log w; they end when all
#: are shorter than the last number, since the proposal's centre need not be exact.
N_STEPS, MAX_STEP, SHORT_STEP = 30, 2.0, 0.01


@pytree()
@dataclass(frozen=True)
class Line:
    """A row of V, or a column, and what its cells are given.

    Parameters
    ----------
    likelihood : Likelihood
        Without its known parameters.
    shape : array of shape (n_components,)
        Shape of the gamma prior on the entries that are integrated out.
    v : array of shape (n_cells,)
        The cells; any value in the support where one is missing.
    given : array of bool of shape (n_cells,)
        Cells that the prediction conditions on; where there are none, the observed cells.
    target : array of int of shape (n_targets,)
        Positions of the cells that are predicted.
    known : dict of str to array of shape (n_cells,)
        Known parameters of the likelihood.
    """

    likelihood: Likelihood
    shape: Array
    v: Array
    given: Array
    target: Array
    known: dict[str, Array]


@pytree()
@dataclass(frozen=True)
class FactorDraw:
    """One draw of all but the entries that are integrated out, or a stack of draws.

    Parameters
    ----------
    rate : array of shape (n_components,)
        Rates of the gamma prior of the free components.
    H : array of shape (n_components, n_cells)
        The other factor.
    offset : array of shape (n_cells,)
        What known components add to the mean.
    start : array of shape (n_components,)
        Where the search for the maximum starts.
    parameters : dict of str to array of shape ()
        Inferred parameters of the likelihood.
    key : jax.Array
    """

    rate: Array
    H: Array
    offset: Array
    start: Array
    parameters: dict[str, Array]
    key: Array


@partial(jax.jit, static_argnames=("mass", "alone", "batch"))
def predict_line(
    line: Line, draws: FactorDraw, points: Array, *, mass: bool, alone: bool, batch: int
) -> tuple[Array, ...]:
    """Return the log predictive density of the target for every draw of the other factor.

    Parameters
    ----------
    line : Line
    draws : FactorDraw
        All draws, stacked.
    points : array of shape (n_points, n_components + 2)
        Of the unit cube, evenly spread.
    mass : bool
        Whether the log mass comes first.
    alone : bool
        Whether nothing but the prior is given.
    batch : int
        Draws that are computed together.
    """
    likelihood, v, target = line.likelihood, line.v, line.target
    scores = [likelihood.log_mass, likelihood.log_density][0 if mass else 1 :]

    def one(draw: FactorDraw) -> tuple[Array, ...]:
        # The proposal follows what the integral's weight follows: the given cells, or the prior
        # times the target where nothing is given.
        z, log_proposal = _student(draw.key, points, *_center_and_root(line, draw))
        parameters = {**line.known, **draw.parameters}
        mean = off_zero(jnp.exp(z) @ draw.H + draw.offset[None, :])
        weight = _log_prior(line.shape, draw.rate, z) - log_proposal
        if alone:
            # The prior integrates to 1 exactly; given cells have an integral to be estimated.
            below = jnp.log(float(len(z)))
        else:
            rows = {name: _as_row(x) for name, x in parameters.items()}
            cells = likelihood.log_density(v[None, :], mean, **rows)
            weight = weight + jnp.sum(jnp.where(line.given[None, :], cells, 0.0), axis=1)
            below = logsumexp(weight)
        at = {name: _as_row(x if jnp.ndim(x) == 0 else x[target]) for name, x in parameters.items()}
        seen = line.given[None, target] if alone else True
        scored = (score(v[None, target], mean[:, target], **at) for score in scores)
        predicted = (jnp.sum(jnp.where(seen, x, 0.0), axis=1) for x in scored)
        return tuple(logsumexp(weight + x) - below for x in predicted)

    return lax.map(one, draws, batch_size=batch)


def _as_row(x: Array) -> Array:
    return x if jnp.ndim(x) == 0 else x[None, :]


def _log_prior(shape: Array, rate: Array, z: Array) -> Array:
    """Return the log density of z = log w, of shape (point, component), under gamma priors."""
    constant = jnp.sum(shape * jnp.log(rate) - gammaln(shape))
    return jnp.sum(shape[None, :] * z - rate[None, :] * jnp.exp(z), axis=-1) + constant


def _center_and_root(line: Line, draw: FactorDraw) -> tuple[Array, Array]:
    """Return the maximum in z = log w, and the Cholesky factor of the curvature there.

    The score in z is ``a - b w + w * (H s)``. Where it vanishes, ``w * (H s) = b w - a``, and so
    the curvature is ``J' D J + a I`` with J = w * H and D the Fisher information: positive definite.
    """
    likelihood, H, shape = line.likelihood, draw.H, line.shape
    parameters = {**line.known, **draw.parameters}
    identity = jnp.eye(H.shape[0], dtype=H.dtype)

    def slope_and_information(z: Array) -> tuple[Array, Array, Array]:
        w = jnp.exp(z)
        mean = off_zero(w @ H + draw.offset)
        score = jnp.where(line.given, likelihood.score(line.v, mean, **parameters), 0.0)
        fisher = likelihood.fisher_information(line.v, mean, **parameters)
        fisher = jnp.where(line.given, fisher, 0.0)
        slope = w[:, None] * H
        return w, slope @ score, (slope * fisher[None, :]) @ slope.T

    def moving(state: tuple[Array, Array, Array]) -> Array:
        i, _, longest = state
        return (i < N_STEPS) & (longest > SHORT_STEP)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        i, z, _ = state
        w, score, information = slope_and_information(z)
        gradient = shape - draw.rate * w + score
        # Far from the maximum the prior's own curvature b w may be the larger one.
        lift = jnp.maximum(draw.rate * w, shape)
        newton = jnp.linalg.solve(information + identity * lift[None, :], gradient)
        newton = jnp.clip(newton, -MAX_STEP, MAX_STEP)
        return i + 1, z + newton, jnp.max(jnp.abs(newton))

    begin = jnp.asarray(0), jnp.log(draw.start), jnp.asarray(jnp.inf, draw.start.dtype)
    _, z, _ = lax.while_loop(moving, step, begin)
    return z, jnp.linalg.cholesky(slope_and_information(z)[2] + identity * shape[None, :])


def _student(key: Array, points: Array, center: Array, root: Array) -> tuple[Array, Array]:
    """Draw from a multivariate Student t with precision ``root root'``; return log densities."""
    size = center.shape[0]
    # Evenly spread points, shifted at random: an even cover needs fewer of them.
    shift = jax.random.uniform(key, (1, size + 2), center.dtype)
    tiny = jnp.finfo(center.dtype).eps
    uniform = jnp.clip((points + shift) % 1.0, tiny, 1.0 - tiny)
    # A chi-squared variable of four degrees is a sum of two exponential ones.
    chi_squared = -2.0 * jnp.sum(jnp.log(uniform[:, size:]), axis=1)
    unit = ndtri(uniform[:, :size]) * jnp.sqrt(DEGREES / chi_squared)[:, None]
    z = center[None, :] + jax.scipy.linalg.solve_triangular(root.T, unit.T, lower=False).T
    half = 0.5 * (DEGREES + size)
    constant = gammaln(half) - gammaln(0.5 * DEGREES) - 0.5 * size * jnp.log(DEGREES * jnp.pi)
    log_density = (
        constant
        + jnp.sum(jnp.log(jnp.diagonal(root)))
        - half * jnp.log1p(jnp.sum(unit**2, axis=1) / DEGREES)
    )
    return z, log_density


def even_points(size: int, n_points: int) -> np.ndarray:
    """Return points of the unit cube that fill it evenly: multiples of a generalised golden mean."""
    golden = 2.0
    for _ in range(50):
        golden = (1.0 + golden) ** (1.0 / (size + 1))
    return np.outer(np.arange(n_points), golden ** -np.arange(1.0, size + 1)) % 1.0
