"""Integrals over a row of W or a column of H: predictive densities of cells and of whole lines."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import off_zero
from bayesnmf.comparison.densities import split_known
from bayesnmf.comparison.importance import FactorDraw, Line, even_points, predict_line
from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.model import NMF, Model
from bayesnmf.posterior.original import original_factors
from bayesnmf.posterior.result import Fit
from bayesnmf.priors import EntrywiseGamma, Prior

#: Importance draws for each draw of the other factor: for a cell, whose density is the ratio of two
#: integrals over the same points, and for a whole line.
CELL_POINTS, LINE_POINTS = 64, 256


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
        model = _require_nmf(pointwise.model)
        draws = np.arange(pointwise.n_draws) if draws is None else draws
        self.discretised, self.seed = pointwise.discretised, seed
        self.likelihood, known = split_known(model.likelihood)
        #: Cells of a line of V, and the known parameters of all cells.
        self.cells = pointwise.cells.row if factor == "W" else pointwise.cells.column
        shape = pointwise.cells.shape
        self.known = {
            name: np.broadcast_to(np.asarray(x, float), shape) for name, x in known.items()
        }
        W, H = original_factors(pointwise.fit)
        if factor == "H":
            W, H = H.swapaxes(1, 2), W.swapaxes(1, 2)
            self.known = {name: x.T for name, x in self.known.items()}
        drawn, other = np.asarray(W[draws], float), np.asarray(H[draws], float)
        first = model.n_known_W if factor == "W" else model.n_known_H
        #: Known entries of every line, and draws of the others; draws of the other factor likewise.
        self.given, self.drawn = drawn[0, :, :first], drawn[:, :, first:]
        self.beside, self.other = other[:, :first], other[:, first:]
        self.parameters = _parameter_draws(pointwise.fit, model, draws)
        #: Shapes and rates of the prior, of shape (component, line) and (draw, component, line); a size of 1
        #: along the lines stands for all.
        self.shapes = _prior_shapes(model, factor)[first:]
        self.rates = _prior_rates(pointwise.fit, model, factor, draws)[:, first:]

    def line(self, line: int) -> tuple[np.ndarray, np.ndarray]:
        """Return log densities of a whole line of V given the other factor, at every draw.

        Returns
        -------
        values, fitted : ndarray of shape (draw,)
            On the measure asked for, and in the posterior; the same array unless they differ.
        """
        known = {name: x[line] for name, x in self.known.items()}
        offset = self._offset(self.given[line])
        prior = _at(self.shapes, line), _at(self.rates, line)
        return self._predict(line, self.cells(line), self._starts(line), None, known, offset, prior)

    def cell(self, line: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return log densities of one cell given the other factor and the rest of its line."""
        known = {name: x[line] for name, x in self.known.items()}
        offset = self._offset(self.given[line])
        starts, prior = self._starts(line), (_at(self.shapes, line), _at(self.rates, line))
        return self._predict(line, self.cells(line), starts, position, known, offset, prior)

    def new_line(
        self,
        v: np.ndarray,
        known: dict[str, np.ndarray],
        number: int,
        given: np.ndarray,
        prior: Prior | None = None,
    ) -> np.ndarray:
        """Return log densities, on the measure asked for, of a line that the fit has not seen.

        Parameters
        ----------
        v : ndarray of shape (n,)
            Its cells; NaN where missing.
        known : dict
            Known parameters of its cells.
        number : int
            Tells its importance draws from those of other lines.
        given : ndarray of shape (n_known,)
            Its known entries of the factor.
        prior : Prior, optional
            Of its other entries, where those of the fit say nothing of it.
        """
        shape, rates = _at(self.shapes, 0), _at(self.rates, 0)
        if isinstance(prior, EntrywiseGamma):
            own = prior.of_components(len(given))
            shape = np.broadcast_to(np.ravel(own.shape), shape.shape)
            rates = np.broadcast_to(np.ravel(own.rate), rates.shape) if np.ndim(own.rate) else rates
        offset = self._offset(given)
        return self._predict(number, v, shape / rates, None, known, offset, (shape, rates))[0]

    def _offset(self, given: np.ndarray) -> np.ndarray:
        """Return what known components add to the mean of a line, of shape (draw, cell)."""
        return np.einsum("k,dkj->dj", given, self.beside)

    def _starts(self, line: int) -> np.ndarray:
        return np.maximum(self.drawn[:, line], np.finfo(float).tiny ** 0.25)

    def _predict(
        self,
        number: int,
        v: np.ndarray,
        start: np.ndarray,
        position: int | None,
        known: dict[str, np.ndarray],
        offset: np.ndarray,
        prior: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the cell at `position` given the others, or the whole line given nothing."""
        observed = ~np.isnan(v)
        target = np.arange(len(v)) if position is None else np.array([position])
        given = observed.copy()
        given[target] = False
        if not self.other.shape[1]:
            return self._at_known_means(v, target[observed[target]], known, offset)
        alone = not given.any()
        points = even_points(self.other.shape[1] + 2, LINE_POINTS if alone else CELL_POINTS)
        batch = min(max(BATCH // (len(points) * len(v)), 1), len(self.other))
        v = np.where(observed, v, self.likelihood.placeholder)
        options = {"mass": self.discretised, "alone": alone, "batch": batch}
        with jax.enable_x64(True):
            key = jax.random.fold_in(jax.random.key(self.seed), number)
            keys = jax.random.split(key, len(self.other))
            cells = (prior[0], v, observed if alone else given, target, known)
            line = Line(self.likelihood, *jax.tree.map(jnp.asarray, cells))
            drawn = (prior[1], self.other, offset, start, self.parameters, keys)
            draws = FactorDraw(*jax.tree.map(jnp.asarray, drawn))
            densities = predict_line(line, draws, jnp.asarray(points), **options)
            values, *fitted = (np.asarray(x) for x in densities)
        return values, fitted[0] if fitted else values

    def _at_known_means(
        self, v: np.ndarray, target: np.ndarray, known: dict[str, np.ndarray], mean: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict cells whose means are known at every draw: there is nothing to integrate out."""
        given = {name: x[:, None] for name, x in self.parameters.items()}
        given |= {name: x[None, target] for name, x in known.items()}
        scores = [self.likelihood.log_mass] if self.discretised else []
        with jax.enable_x64(True):
            cells = jnp.asarray(v[None, target]), off_zero(jnp.asarray(mean[:, target]))
            parameters = {name: jnp.asarray(x) for name, x in given.items()}
            values, *fitted = (
                np.asarray(score(*cells, **parameters)).sum(axis=1)
                for score in (*scores, self.likelihood.log_density)
            )
        return values, fitted[0] if fitted else values


def _require_nmf(model: Model) -> NMF:
    if model.nmf is None:
        raise ValueError(
            f"rows of W can be integrated out of an NMF only, and {model.name} is a program: "
            "leave out cells (task='cell')"
        )
    return model.nmf


def _parameter_draws(fit: Fit, model: NMF, draws: np.ndarray) -> dict[str, np.ndarray]:
    posterior = fit.tree["posterior"].dataset
    return {
        name: np.asarray(posterior[name].to_numpy().reshape(-1)[draws], float)
        for name in model.likelihood.priors
    }


def _at(terms: np.ndarray, line: int) -> np.ndarray:
    """Return the prior's terms of one line."""
    return terms[..., line if terms.shape[-1] > 1 else 0]


def _prior_shapes(model: NMF, factor: Literal["W", "H"]) -> np.ndarray:
    """Return the shape of the prior of each component's entries, of shape (component, 1 or line)."""
    shape = np.asarray((model.prior_W if factor == "W" else model.prior_H).shape, float)
    n_lines = shape.shape[1] if shape.ndim else 1
    return np.broadcast_to(shape, (model.n_components, n_lines))


def _prior_rates(fit: Fit, model: NMF, factor: Literal["W", "H"], draws: np.ndarray) -> np.ndarray:
    """Return the rate of the prior of each component's entries, of shape (draw, component, 1 or line)."""
    site = "rate" if "rate" in model.hyper_priors else f"rate_{factor}"
    if site not in model.hyper_priors:
        prior = model.prior_W if factor == "W" else model.prior_H
        rate = np.atleast_2d(np.asarray(prior.rate, float))
        return np.broadcast_to(rate, (len(draws), fit.n_components, rate.shape[1]))
    rates = fit.tree["posterior"][site].to_numpy().reshape(-1, fit.n_components)
    return rates[draws][..., None].astype(float)
