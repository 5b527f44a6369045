"""MAP: the posterior mode, whose classic special cases are the multiplicative updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from tqdm.auto import tqdm

from bayesnmf.data import Matrix
from bayesnmf.model import NMF, Model

from . import multiplicative
from .draws import Draws
from .initial import Start, given_start, nndsvd_start, random_start
from .programs import program_mode

#: Iterations between two looks at the stopping rule.
STRIDE = 10


@dataclass(frozen=True)
class MAP:
    """Posterior mode of W and H (maximum a posteriori).

    With flat priors this is the classic factorisation: Kullback-Leibler for the Poisson
    likelihood, Frobenius for the Gaussian, Itakura-Saito for the gamma.

    Parameters
    ----------
    solver : {"auto", "mu"}, default "auto"
        "mu": multiplicative updates, which never increase the objective. "auto" is the fastest
        solver there is for the model.
    init : {"random", "nndsvd"} or pair of arrays, default "random"
        Half-normal factors, factors from the singular vectors, or (W, H) themselves.
    max_iter : int, default 10000
        Iterations at most, per start.
    tol : float, default 1e-6
        Stop when ten iterations together lower the objective by less than `tol` nats per
        observed cell.
    n_init : int, default 4
        Random starts, of which the best optimum is returned. Other values of `init` have one.

    References
    ----------
    Fevotte, C. and Idier, J. (2011). Algorithms for nonnegative matrix factorization with the
    beta-divergence. Neural Computation 23, 2421-2456. doi:10.1162/NECO_a_00168

    Examples
    --------
    >>> MAP(init="nndsvd").n_init
    4
    """

    solver: str = "auto"
    init: Any = "random"
    max_iter: int = 10_000
    tol: float = 1e-6
    n_init: int = 4

    name: ClassVar[str] = "map"
    needs_density: ClassVar[bool] = False
    _solvers: ClassVar[tuple[str, ...]] = ("auto", "mu")

    def __post_init__(self) -> None:
        if self.solver not in self._solvers:
            raise ValueError(f"unknown solver {self.solver!r}; valid: {', '.join(self._solvers)}")
        if isinstance(self.init, str):
            if self.init not in ("random", "nndsvd"):
                raise ValueError(
                    f"unknown init {self.init!r}; valid: random, nndsvd, or a pair (W, H)"
                )
        elif not (isinstance(self.init, (tuple, list)) and len(self.init) == 2):
            raise TypeError("init must be 'random', 'nndsvd' or a pair of arrays (W, H)")
        for name in ("max_iter", "n_init"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be 0 or more, not {self.tol}")

    def run(self, model: Model, matrix: Matrix, key: jax.Array, progress: bool) -> Draws:
        """Find the mode and return it as one chain of one draw."""
        if not isinstance(model, NMF):
            mode = program_mode(model, matrix, key, self.max_iter)
            sites, converged, message = mode.sites, mode.converged, mode.message
            info: dict[str, Any] = {"n_iter": mode.n_iter, "objective": mode.objective}
        else:
            solutions = find_modes(self, model, matrix, key, progress)
            best, ends = solutions[0], [solution.objective for solution in solutions]
            sites, converged = best.sites, best.converged
            message = _describe(self, model, matrix, best, ends)
            info = {"n_iter": best.n_iter, "objective": best.objective, "objectives": ends}
        stacked = {name: np.asarray(value)[None, None] for name, value in sites.items()}
        return Draws(stacked, {}, converged, message, info)


@dataclass(frozen=True)
class Solution:
    """One local optimum: its sites, its objective, and how the iteration ended."""

    sites: dict[str, np.ndarray]
    objective: float
    n_iter: int
    converged: bool


def find_modes(
    method: MAP, model: NMF, matrix: Matrix, key: jax.Array, progress: bool,
    *, log_space: bool = False,
) -> list[Solution]:  # fmt: skip
    """Solve from every start and return the optima, best first."""
    starts = _starts(method, model, matrix, key)
    data = multiplicative.data_of(model, matrix)
    allowed = method.tol * matrix.cells.size
    solutions = []
    with tqdm(total=len(starts), desc="map", disable=not progress, leave=False) as bar:
        for W, H in starts:
            solutions.append(_solve(method, model, data, (W, H), allowed, bar, log_space))
            bar.update()
    return sorted(solutions, key=lambda solution: solution.objective)


def _starts(method: MAP, model: NMF, matrix: Matrix, key: jax.Array) -> list[Any]:
    if not isinstance(method.init, str):
        return [given_start(model, matrix, method.init)]
    if method.init == "nndsvd":
        return [nndsvd_start(model, matrix)]
    return [random_start(model, matrix, k) for k in jax.random.split(key, method.n_init)]


def _solve(
    method: MAP, model: NMF, data: multiplicative.Data, start: Start, allowed: float, bar: Any,
    log_space: bool,
) -> Solution:  # fmt: skip
    parameters = model.likelihood.start()
    point = multiplicative.start(model, data, *start, parameters, log_space=log_space)
    n_iter, before, converged = 0, float(point.objective), False
    while n_iter < method.max_iter and not converged:
        steps = min(STRIDE, method.max_iter - n_iter)
        point = multiplicative.iterate(model, data, point, num_steps=steps, log_space=log_space)
        now = float(point.objective)
        n_iter += steps
        converged = steps == STRIDE and before - now <= allowed
        before = now
        bar.set_postfix(iteration=n_iter, objective=f"{now:.6g}", refresh=False)
        bar.update(0)
    sites = {"W": point.W, "H": point.H, **point.parameters}
    return Solution(jax.tree.map(np.asarray, sites), before, n_iter, converged)


def _describe(method: MAP, model: NMF, matrix: Matrix, best: Solution, ends: list[float]) -> str:
    ended = "converged" if best.converged else "stopped at max_iter, not converged,"
    text = f"{ended} after {best.n_iter} multiplicative updates, objective {best.objective:.6g}"
    if len(ends) > 1:
        text += f"; {len(ends)} starts ended within {max(ends) - min(ends):.3g} of each other"
    notes = []
    if model.likelihood.is_quasi(matrix):
        notes.append(
            f"V holds fractions, so the {model.likelihood.name.replace('_', ' ')} objective is a "
            "quasi-likelihood, not a density"
        )
    if min(model.prior_W.shape, model.prior_H.shape) < 1:
        notes.append("a prior with shape below 1 has its mode taken in log space")
    return ". ".join([text, *notes])
