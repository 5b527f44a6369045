"""SVI: a variational approximation of the posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.draws import Draws, require_room
from bayesnmf.methods.optimise.initial import generator_of
from bayesnmf.methods.options import require_counts, require_tolerance
from bayesnmf.methods.variational import coordinate_ascent
from bayesnmf.methods.variational.approximation import Approximation, by_ascent, by_guide
from bayesnmf.methods.variational.guide import fitted_guide
from bayesnmf.model import NMF, Model
from bayesnmf.model.sites import deterministic_sites, log_joint
from bayesnmf.observed import serves_sparse
from bayesnmf.progress import Progress


@dataclass(frozen=True)
class SVI:
    """Variational inference: the best of simple distributions, then how W and H move together.

    The simple distributions treat all entries as independent. That gives means, but understates how far components
    trade with each other. So the draws come from a distribution with the same means, whose logarithms move
    together as the curvature of the posterior at the means says (linear response).

    Parameters
    ----------
    algorithm : {"auto", "cavi", "guide"}, default "auto"
        "cavi": coordinate ascent, for Poisson counts, dense or sparse: gamma distributions, an exact bound, tens of Newton steps. "guide":
        NumPyro's stochastic variational inference with log-normal distributions, for every model; sparse data are expanded. "auto":
        "cavi" where it serves, else "guide".
    num_steps : int, default 50000
        Steps at most: of "cavi" for each start, or gradient steps of the guide.
    tol : float, default 1e-6
        Stop "cavi" when a Newton step raises the evidence lower bound (ELBO) by no more than `tol` nats an observed cell, and the guide
        when for three times 1000 steps the mean ELBO has not improved by that much and by more than its Monte Carlo error.
    num_samples : int, default 1000
        Draws.
    n_init : int, default 4
        Random starts of "cavi"; the best is kept. The guide starts at the MAP estimate in log space.
    linear_response : bool, default True
        False: draw all entries independently. For a program, which has no W and H that are known to it, entries are always independent.

    Notes
    -----
    The fit's attributes hold ``elbo`` and ``elbo_error``, of the distribution of the draws, ``elbo_fitted``, the
    bound that was maximised (of independent entries; that of "cavi" also takes the allocation of the counts as independent of them), and of "cavi" ``elbos``, those of all starts, best first.

    References
    ----------
    Cemgil, A. T. (2009). Bayesian inference for nonnegative matrix factorisation models. Computational Intelligence
    and Neuroscience 2009, 785152. doi:10.1155/2009/785152

    Giordano, R., Broderick, T. and Jordan, M. I. (2018). Covariances, robustness, and variational Bayes. Journal of
    Machine Learning Research 19 (51), 1-49. https://jmlr.org/papers/v19/17-670.html

    Kucukelbir, A. et al. (2017). Automatic differentiation variational inference. Journal of
    Machine Learning Research 18 (14), 1-45. https://jmlr.org/papers/v18/16-107.html

    Examples
    --------
    >>> SVI(num_samples=200).algorithm
    'auto'
    """

    algorithm: Literal["auto", "cavi", "guide"] = "auto"
    num_steps: int = 50_000
    tol: float = 1e-6
    num_samples: int = 1000
    n_init: int = 4
    linear_response: bool = True

    name: ClassVar[str] = "svi"
    needs_density: ClassVar[bool] = True
    _algorithms: ClassVar[tuple[str, ...]] = ("auto", "cavi", "guide")

    def __post_init__(self) -> None:
        if self.algorithm not in self._algorithms:
            raise ValueError(
                f"unknown algorithm {self.algorithm!r}; valid: {', '.join(self._algorithms)}"
            )
        require_counts(self, num_steps=1, num_samples=1, n_init=1)
        require_tolerance(self.tol)

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return whether sparse data, with missing cells or not, need not be expanded."""
        nmf = model.nmf
        return nmf is not None and self._ascends(nmf) and serves_sparse(nmf, masked)

    def run(self, model: Model, matrix: AnyMatrix, key: jax.Array, progress: Progress) -> Draws:
        """Approximate the posterior and return draws as one chain."""
        require_room(model, matrix, self.num_samples, "Ask for fewer draws (num_samples)")
        if model.nmf is None:
            if self.algorithm == "cavi":
                raise ValueError(
                    "algorithm='cavi' is for a bayesnmf.NMF with the Poisson likelihood: for a program use 'guide'"
                )
            assert isinstance(matrix, Matrix)  # keeps_sparse is False
            return self._run_program(model, matrix, key, progress)
        found = self._approximation(model.nmf, matrix, key, progress)
        progress.stage("draws", 1)
        drawn = found.draw(self.num_samples, generator_of(jax.random.fold_in(key, 1)))
        stats = {"lp": drawn.lp[None], "lq": drawn.lq[None]}
        sites = {name: x[None] for name, x in drawn.sites.items()}
        info = {"elbo": drawn.elbo, "elbo_error": drawn.elbo_error, **found.info}
        draws = _told(sites, stats, found.converged, found.n_iter, info)
        if not found.interrupted:
            return draws
        starts = f"; interrupted after {len(info['elbos'])} of {self.n_init} starts"
        return replace(draws, message=draws.message + starts, interrupted=True)

    def _approximation(
        self, model: NMF, matrix: AnyMatrix, key: jax.Array, progress: Progress
    ) -> Approximation:
        options: dict[str, Any] = {
            "tol": self.tol,
            "correlated": self.linear_response,
            "progress": progress,
        }
        if self._ascends(model):
            return by_ascent(
                model, matrix, key, n_init=self.n_init, max_iter=self.num_steps, **options
            )
        if self.algorithm == "cavi":
            raise ValueError(
                f"algorithm='cavi' is for the Poisson likelihood, not for {model.title}: use algorithm='guide'"
            )
        assert isinstance(matrix, Matrix)  # keeps_sparse is False
        return by_guide(model, matrix, key, num_steps=self.num_steps, **options)

    def _ascends(self, model: NMF) -> bool:
        return self.algorithm != "guide" and coordinate_ascent.serves(model)

    def _run_program(
        self, model: Model, matrix: Matrix, key: jax.Array, progress: Progress
    ) -> Draws:
        key_map, key_init, key_draws, key_elbo = jax.random.split(key, 4)
        options: dict[str, Any] = {
            "num_steps": self.num_steps,
            "tol": self.tol,
            "progress": progress,
        }
        guide = fitted_guide(model, matrix, (key_map, key_init), **options)
        progress.stage("draws", 1)
        elbo, error = guide.bound(key_elbo)
        draws = guide.draws(key_draws, self.num_samples)
        sites = deterministic_sites(model, matrix, draws)
        stats = {"lp": log_joint(model, matrix, draws)}
        info = {"elbo": elbo, "elbo_error": error}
        return _told(sites, stats, guide.converged, guide.n_iter, info)


def _told(
    sites: dict[str, np.ndarray],
    stats: dict[str, np.ndarray],
    converged: bool,
    n_iter: int,
    info: dict[str, Any],
) -> Draws:
    """Return draws with a message that says how the run ended."""
    ended = "converged" if converged else "stopped at num_steps, not converged,"
    values = (info["elbo"], *stats.values(), *sites.values())
    if not all(np.isfinite(x).all() for x in values):
        converged, ended = False, "stopped at numbers that are not finite, not converged,"
    fitted = info.get("elbo_fitted")
    beside = "" if fitted is None else f"; the bound that was maximised is {fitted:.6g}"
    message = (
        f"{ended} after {n_iter} steps, ELBO {info['elbo']:.6g} (Monte Carlo error "
        f"{info['elbo_error']:.2g}{beside})"
    )
    return Draws(sites, stats, converged, message, {**info, "n_iter": n_iter})
