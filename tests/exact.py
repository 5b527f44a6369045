"""Answers known without the package: SciPy's densities, and the exact rank-one posterior.

A helper of the tests, which validate it by brute force in ``statistical/test_rank_one.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from likelihood_cases import CASES
from scipy import special, stats

from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import NMF

# -- densities by SciPy -----------------------------------------------------------------------


def law(likelihood: Likelihood, mean: Any, **parameters: Any) -> Any:
    """Return the frozen SciPy distribution of cells with the given mean WH."""
    name = likelihood.name
    name += f"-{likelihood.link}" if name == "beta" else ""
    name += "-exposure" if "exposure" in likelihood.known else ""
    return CASES[name].law(mean, **likelihood.known, **parameters)


def log_likelihood(model: NMF, V: Any, W: Any, H: Any, **parameters: Any) -> float:
    """Return the log density of the observed cells; NaN in V is missing."""
    cells = law(model.likelihood, W @ H, **parameters)
    density = cells.logpmf if isinstance(cells.dist, stats.rv_discrete) else cells.logpdf
    observed = ~np.isnan(V)
    return float(density(np.where(observed, V, 0.5))[observed].sum())


def log_parameter_prior(likelihood: Likelihood, **parameters: Any) -> float:
    """Return the log prior density of the likelihood's inferred parameters."""
    total = 0.0
    for name, x in parameters.items():
        if name == "concentration":  # its inverse is exponential
            total += stats.expon.logpdf(1 / x) - 2 * np.log(x)
        elif name == "sigma":  # its precision is exponential
            precision = stats.expon(scale=likelihood.scale**-2.0)
            total += precision.logpdf(x**-2) + np.log(2) - 3 * np.log(x)
        else:
            total += stats.expon.logpdf(x, scale=100.0)
    return float(total)


def log_joint(model: NMF, V: Any, W: Any, H: Any, **parameters: Any) -> float:
    """Return the log density of data, factors and parameters under a resolved model."""
    total = log_likelihood(model, V, W, H, **parameters)
    for prior, factor in ((model.prior_W, W), (model.prior_H, H)):
        total += stats.gamma.logpdf(factor, prior.shape, scale=1 / prior.rate).sum()
    return float(total + log_parameter_prior(model.likelihood, **parameters))


# -- the rank-one posterior -------------------------------------------------------------------


@dataclass(frozen=True)
class RankOne:
    r"""Exact posterior of ``V_ij ~ Poisson(w_i h_j)`` with gamma priors on w and h.

    With row sums r, column sums c and N the total, the joint density is proportional to
    ``prod w_i^(a_w + r_i - 1) e^(-b_w w_i) prod h_j^(a_h + c_j - 1) e^(-b_h h_j) e^(-s t)``,
    ``s = sum w``, ``t = sum h``. So the proportions ``w / s`` and ``h / t`` are Dirichlet and
    independent of (s, t); t given s is gamma with shape ``B = m a_h + N`` and rate ``b_h + s``;
    and s has the density ``s^(A - 1) e^(-b_w s) (b_h + s)^(-B)``, ``A = n a_w + N``, which is
    log-concave in ``log s``: the trapezium rule on that axis has no visible error.
    """

    V: np.ndarray
    shape_W: float
    rate_W: float
    shape_H: float
    rate_H: float

    @property
    def dirichlet_W(self) -> np.ndarray:
        """Parameters of the distribution of ``w / s``."""
        return self.shape_W + self.V.sum(axis=1)

    @property
    def dirichlet_H(self) -> np.ndarray:
        """Parameters of the distribution of ``h / t``."""
        return self.shape_H + self.V.sum(axis=0)

    def _grid(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return s on a grid, its probabilities and the log of its density's integral."""
        A, B = self.dirichlet_W.sum(), self.dirichlet_H.sum()
        log_s, step = np.linspace(-60.0, 30.0, 400_001, retstep=True)
        s = np.exp(log_s)
        log_f = A * log_s - self.rate_W * s - B * np.log(self.rate_H + s)
        total = special.logsumexp(log_f)
        return s, np.exp(log_f - total), float(total + np.log(step))

    def log_evidence(self) -> float:
        """Return log p(V)."""
        V, a, b, p, q = self.V, self.shape_W, self.rate_W, self.shape_H, self.rate_H
        total = -special.gammaln(V + 1).sum()
        total += V.shape[0] * (a * np.log(b) - special.gammaln(a))
        total += V.shape[1] * (p * np.log(q) - special.gammaln(p))
        total += special.gammaln(self.dirichlet_W).sum() + special.gammaln(self.dirichlet_H).sum()
        # Integrating the proportions of w leaves the density of s over Gamma(A).
        return float(total - special.gammaln(self.dirichlet_W.sum()) + self._grid()[2])

    def moments(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return posterior mean and standard deviation of each identifiable quantity.

        They are "W/sum W" (n_rows), "H/sum H" (n_columns), "sum W" and "sum H".
        """
        s, weight, _ = self._grid()
        B, rate = self.dirichlet_H.sum(), self.rate_H + s
        return {
            "W/sum W": _dirichlet_moments(self.dirichlet_W),
            "H/sum H": _dirichlet_moments(self.dirichlet_H),
            "sum W": _moments(weight @ s, weight @ s**2),
            "sum H": _moments(weight @ (B / rate), weight @ (B * (B + 1) / rate**2)),
        }

    def sample(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw independent w of shape (size, n_rows) and h of shape (size, n_columns)."""
        grid, weight, _ = self._grid()
        s = np.interp(rng.random(size), np.cumsum(weight), grid)
        t = rng.gamma(self.dirichlet_H.sum(), 1 / (self.rate_H + s))
        w, h = rng.dirichlet(self.dirichlet_W, size), rng.dirichlet(self.dirichlet_H, size)
        return s[:, None] * w, t[:, None] * h


def _moments(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.atleast_1d(first), np.sqrt(np.atleast_1d(second - first**2))


def _dirichlet_moments(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = parameters / parameters.sum()
    return mean, np.sqrt(mean * (1 - mean) / (parameters.sum() + 1))


def rank_one_scores(w: np.ndarray, h: np.ndarray, exact: RankOne) -> np.ndarray:
    """Return z-scores of means, standard deviations and 5 % and 95 % quantiles.

    Draws are of shape (chain, draw, n_rows) and (chain, draw, n_columns); scored are the entries
    of w and of h, and their sums.
    """
    from arviz_stats.base import array_stats

    iid_w, iid_h = exact.sample(np.random.default_rng(11), 200_000)
    axes, z = {"chain_axis": 0, "draw_axis": 1}, []
    for x, y in ((w, iid_w), (h, iid_h), (w.sum(-1), iid_w.sum(-1)), (h.sum(-1), iid_h.sum(-1))):
        x, y = x.reshape(*x.shape[:2], -1), y.reshape(len(y), -1)  # noqa: PLW2901
        for summary, options in (
            (np.mean, {"method": "mean"}),
            (np.std, {"method": "sd"}),
            (lambda a, axis: np.quantile(a, 0.05, axis=axis), {"method": "quantile", "prob": 0.05}),
            (lambda a, axis: np.quantile(a, 0.95, axis=axis), {"method": "quantile", "prob": 0.95}),
        ):
            error = array_stats.mcse(x, **axes, **options)
            own = array_stats.mcse(y[None], **axes, **options)
            difference = summary(x, axis=(0, 1)) - summary(y, axis=0)
            z.append(difference / np.hypot(error, own))
    return np.concatenate(z)
