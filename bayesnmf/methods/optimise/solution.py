"""A search for an optimum, as it was asked for and as it ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import numpy as np

from bayesnmf.arrays import transposed
from bayesnmf.methods.optimise import descent, multiplicative
from bayesnmf.methods.optimise.acceleration import Factors
from bayesnmf.model import NMF
from bayesnmf.model.rates import optimal_rates
from bayesnmf.observed.interface import Observed
from bayesnmf.progress import Progress


@dataclass(frozen=True)
class Search:
    """How to search: the solver, when to stop, and whether in log space.

    Parameters
    ----------
    solver : {"newton", "accelerated", "mu"}
        Block Newton steps, accelerated multiplicative updates, or plain ones.
    max_iter : int
        Steps at most.
    tol : float
        Scaled optimality residual to reach, or with `by_divergence` scikit-learn's tolerance.
    by_divergence : bool
        Stop plain updates by scikit-learn's rule.
    log_space : bool
        Seek the MAP estimate of the logarithms of W and H.
    fills : bool
        Fill the model with components of zeros, so that ranks share compiled programs. In log space alone.
    batched : bool
        Run all starts in one batch; by default everywhere but on CPUs.
    """

    solver: str
    max_iter: int
    tol: float
    by_divergence: bool = False
    log_space: bool = False
    fills: bool = False
    batched: bool = field(default_factory=lambda: jax.default_backend() != "cpu")


@dataclass(frozen=True)
class Solution:
    """One local optimum: its sites, and how the search for it ended.

    `residual` is the scaled optimality residual of :func:`descent.scaled_residual`; `stalled`
    says that the objective no longer changed within floating point.
    """

    sites: dict[str, np.ndarray]
    objective: float
    residual: float
    n_iter: int
    converged: bool
    stalled: bool = False

    @property
    def finite(self) -> bool:
        """Whether the objective and every site are finite; nothing else can have converged."""
        return bool(
            np.isfinite(self.objective) and all(np.isfinite(x).all() for x in self.sites.values())
        )


def factors_at(point: multiplicative.Point) -> Factors:
    """Return the factors of a point, component first."""
    return Factors(transposed(point.W), point.H, point.parameters)


def certified(
    model: NMF, data: Observed, point: multiplicative.Point, search: Search
) -> descent.Certificate:
    """Return how near to an optimum of its search a point is."""
    at = factors_at(point)
    return descent.certificate(model, data, at, point.objective, log_space=search.log_space)


def solution_at(
    model: NMF,
    point: multiplicative.Point,
    residual: float,
    n_iter: int,
    converged: bool,
    stalled: bool = False,
) -> Solution:
    """Return the solution that ends at a point, rates under hyper-priors included."""
    rates = optimal_rates(model, transposed(point.W), point.H)
    sites = jax.tree.map(np.asarray, {"W": point.W, "H": point.H, **point.parameters, **rates})
    solution = Solution(sites, float(point.objective), residual, n_iter, converged, stalled)
    # Whatever a rule said: numbers that are not finite are no optimum.
    return solution if solution.finite else replace(solution, converged=False)


def show_step(progress: Progress, n_iter: int, objective: float) -> None:
    """Show how far a search has come."""
    progress.note(f"step {n_iter}, objective {objective:.6g}")
