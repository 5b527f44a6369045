r"""Integrals over a row of W or a column of H, by importance sampling around their mode.

Given H, the rows of W are independent with K unknowns each, few enough to integrate out; given W,
so are the columns of H. With :math:`z = \log w` the density of a row is smooth and falls off on
both sides, so a Student t distribution around its mode, with the curvature there (Laplace's
approximation), covers it.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln, logsumexp, ndtri

from bayesnmf.arrays import Array, off_zero
from bayesnmf.comparison.densities import split_known
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.likelihoods import Likelihood
from bayesnmf.posterior.result import original_factors
from bayesnmf.priors import Prior

#: Importance draws for each draw of the other factor: for a cell, whose density is the ratio of two
#: integrals over the same points, and for a whole line.
CELL_POINTS, LINE_POINTS = 64, 256


#: Degrees of freedom of the proposal: heavier tails than those of any row's density.
DEGREES = 4.0


#: Steps of Newton's method at most, none of them longer than this in any log w; they end when all
#: are shorter than the last number, since the proposal's centre need not be exact.
N_STEPS, MAX_STEP, SHORT_STEP = 30, 2.0, 0.01


#: Numbers (draws x points x columns) that are alive at once.
BATCH = 2**21


class Integral:
    """Predictive densities of cells, with a row of W, or a column of H, integrated out.

    Given H the rows of W are independent a posteriori, and given W the columns of H.

    Parameters
    ----------
    pointwise : Pointwise
        The draws and the measure.
    factor : {"W", "H"}, default "W"
        Whose entries are integrated out: those of row i of W, given H, or of column j of H, given
        W. Row i or column j of V is the "line" below.
    draws : ndarray of int, optional
        Draws to use; all of them by default.
    seed : int, default 0
        Seed of the importance draws.

    Raises
    ------
    ValueError
        For a program, whose rows need not be independent.
    """

    def __init__(
        self,
        pointwise: Pointwise,
        factor: Literal["W", "H"] = "W",
        draws: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        model = pointwise.model.nmf
        if model is None:
            raise ValueError(
                "rows of W can be integrated out of an NMF only, and "
                f"{pointwise.model.name} is a program: "
                "leave out cells (task='cell')"
            )
        self.likelihood, known = split_known(model.likelihood)
        prior: Prior = model.prior_W if factor == "W" else model.prior_H
        self.shape = float(prior.shape)
        self.discretised, self.seed = pointwise.discretised, seed
        W, H = original_factors(pointwise.fit)
        #: Cells of a line of V, and the known parameters of all cells.
        self.cells = pointwise.cells.row if factor == "W" else pointwise.cells.column
        shape = pointwise.cells.shape
        self.known = {
            name: np.broadcast_to(np.asarray(x, float), shape) for name, x in known.items()
        }
        if factor == "H":
            W, H = H.swapaxes(1, 2), W.swapaxes(1, 2)
            self.known = {name: x.T for name, x in self.known.items()}
        draws = np.arange(len(W)) if draws is None else draws
        self.start, self.other = np.asarray(W[draws], float), np.asarray(H[draws], float)
        posterior = pointwise.fit.tree["posterior"].dataset
        self.drawn = {
            name: np.asarray(posterior[name].to_numpy().reshape(-1)[draws], float)
            for name in model.likelihood.priors
        }
        site = "rate" if "rate" in model.hyper_priors else f"rate_{factor}"
        hyper = site in model.hyper_priors
        rates = posterior[site].to_numpy() if hyper else np.asarray(prior.rate)
        #: The rate of each component at every draw.
        self.rates = np.broadcast_to(
            rates.reshape(-1, H.shape[1])[draws] if hyper else rates, self.other.shape[:2]
        ).astype(float)

    def line(self, line: int) -> tuple[np.ndarray, np.ndarray]:
        """Return log densities of a whole line of V given the other factor, at every draw.

        Returns
        -------
        values, fitted : ndarray of shape (draw,)
            On the measure asked for, and in the posterior; the same array unless they differ.
        """
        known = {name: x[line] for name, x in self.known.items()}
        return self._run(line, self.cells(line), self._starts(line), None, known)

    def cell(self, line: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return log densities of one cell given the other factor and the rest of its line."""
        known = {name: x[line] for name, x in self.known.items()}
        return self._run(line, self.cells(line), self._starts(line), position, known)

    def new_line(self, v: np.ndarray, known: dict[str, np.ndarray], number: int) -> np.ndarray:
        """Return log densities, on the measure asked for, of a line that the fit has not seen.

        Parameters
        ----------
        v : ndarray of shape (n,)
            Its cells; NaN where missing.
        known : dict
            Known parameters of its cells.
        number : int
            Tells its importance draws from those of other lines.
        """
        prior_mean = self.shape / self.rates
        return self._run(number, v, prior_mean, None, known)[0]

    def _starts(self, line: int) -> np.ndarray:
        return np.maximum(self.start[:, line], np.finfo(float).tiny ** 0.25)

    def _run(
        self,
        number: int,
        v: np.ndarray,
        start: np.ndarray,
        position: int | None,
        known: dict[str, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the cell at `position` given the others, or the whole line given nothing."""
        observed = ~np.isnan(v)
        target = np.arange(len(v)) if position is None else np.array([position])
        given = observed.copy()
        given[target] = False
        alone = not given.any()
        points = _spread(self.other.shape[1] + 2, LINE_POINTS if alone else CELL_POINTS)
        batch = max(BATCH // (len(points) * len(v)), 1)
        with jax.enable_x64(True):
            key = jax.random.fold_in(jax.random.key(self.seed), number)
            keys = jax.random.split(key, len(self.other))
            draws = _integrate(
                self.likelihood,
                self.shape,
                self.rates,
                self.other,
                start,
                self.drawn,
                keys,
                np.where(observed, v, self.likelihood.placeholder),
                observed if alone else given,
                target,
                known,
                points,
                mass=self.discretised,
                alone=alone,
                batch=min(batch, len(self.other)),
            )
            values, *fitted = (np.asarray(x) for x in draws)
        return values, fitted[0] if fitted else values


@partial(jax.jit, static_argnames=("mass", "alone", "batch"))
def _integrate(
    likelihood: Likelihood,
    shape: Array,
    rates: Array,
    H: Array,
    start: Array,
    drawn: dict[str, Array],
    keys: Array,
    v: Array,
    given: Array,
    target: Array,
    known: dict[str, Array],
    points: Array,
    *,
    mass: bool,
    alone: bool,
    batch: int,
) -> tuple[Array, ...]:
    """Return the log predictive density for every draw of H; see :class:`Integral`.

    With `mass`, the log mass comes first. `target` holds positions; `alone` says that nothing but
    the prior is given, and `given` then says which cells there are to be predicted.
    """
    scores = [likelihood.log_mass, likelihood.log_density][0 if mass else 1 :]

    def one(draw: tuple[Array, Array, Array, dict[str, Array], Array]) -> tuple[Array, ...]:
        rate, H, start, drawn, key = draw
        parameters = {**known, **drawn}
        # The proposal follows what the integral's weight follows: the given cells, or the prior
        # times the target where nothing is given.
        center, root = _mode(likelihood, shape, rate, H, start, parameters, v, given)
        z, log_proposal = _student(key, points, center, root)
        mean = off_zero(jnp.exp(z) @ H)
        weight = _log_prior(shape, rate, z) - log_proposal
        if alone:
            # The prior integrates to 1 exactly; given cells have an integral to be estimated.
            below = jnp.log(float(len(z)))
        else:
            rows = {name: _as_row(x) for name, x in parameters.items()}
            cells = likelihood.log_density(v[None, :], mean, **rows)
            weight = weight + jnp.sum(jnp.where(given[None, :], cells, 0.0), axis=1)
            below = logsumexp(weight)
        at = {name: _as_row(x if jnp.ndim(x) == 0 else x[target]) for name, x in parameters.items()}
        seen = given[None, target] if alone else True
        scored = (score(v[None, target], mean[:, target], **at) for score in scores)
        predicted = (jnp.sum(jnp.where(seen, x, 0.0), axis=1) for x in scored)
        return tuple(logsumexp(weight + x) - below for x in predicted)

    return lax.map(one, (rates, H, start, drawn, keys), batch_size=batch)


def _as_row(x: Array) -> Array:
    return x if jnp.ndim(x) == 0 else x[None, :]


def _log_prior(shape: Array, rate: Array, z: Array) -> Array:
    """Return the log density of z = log w, of shape (point, component), under gamma priors."""
    constant = jnp.sum(shape * jnp.log(rate) - gammaln(shape))
    return jnp.sum(shape * z - rate[None, :] * jnp.exp(z), axis=-1) + constant


def _mode(
    likelihood: Likelihood,
    shape: Array,
    rate: Array,
    H: Array,
    start: Array,
    parameters: dict[str, Array],
    v: Array,
    cells: Array,
) -> tuple[Array, Array]:
    """Find the mode in z = log w; return it and the Cholesky factor of the curvature there.

    The score in z is ``a - b w + w * (H s)``. Where it vanishes, ``w * (H s) = b w - a``, and so
    the curvature is ``J' D J + a I`` with J = w * H and D the Fisher weight: positive definite.
    """
    identity = jnp.eye(H.shape[0], dtype=H.dtype)

    def curvature(z: Array) -> tuple[Array, Array, Array]:
        w = jnp.exp(z)
        mean = off_zero(w @ H)
        score = jnp.where(cells, likelihood.score(v, mean, **parameters), 0.0)
        weight = jnp.where(cells, likelihood.fisher_information(v, mean, **parameters), 0.0)
        slope = w[:, None] * H
        return w, slope @ score, (slope * weight[None, :]) @ slope.T

    def moving(state: tuple[Array, Array, Array]) -> Array:
        i, _, longest = state
        return (i < N_STEPS) & (longest > SHORT_STEP)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        i, z, _ = state
        w, score, information = curvature(z)
        gradient = shape - rate * w + score
        # Far from the mode the prior's own curvature b w may be the larger one.
        lift = jnp.maximum(rate * w, shape)
        newton = jnp.linalg.solve(information + identity * lift[None, :], gradient)
        newton = jnp.clip(newton, -MAX_STEP, MAX_STEP)
        return i + 1, z + newton, jnp.max(jnp.abs(newton))

    begin = jnp.asarray(0), jnp.log(start), jnp.asarray(jnp.inf, start.dtype)
    _, z, _ = lax.while_loop(moving, step, begin)
    return z, jnp.linalg.cholesky(curvature(z)[2] + identity * shape)


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


def _spread(size: int, n_points: int) -> np.ndarray:
    """Return points of the unit cube that fill it evenly: multiples of a generalised golden mean."""
    golden = 2.0
    for _ in range(50):
        golden = (1.0 + golden) ** (1.0 / (size + 1))
    return np.outer(np.arange(n_points), golden ** -np.arange(1.0, size + 1)) % 1.0
