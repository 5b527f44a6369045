"""MAP: the posterior mode, whose classic special cases are the multiplicative updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.draws import Draws
from bayesnmf.methods.optimise.initial import (
    Start,
    given_start,
    nndsvd_start,
    random_start,
    refuse_dead,
)
from bayesnmf.methods.optimise.lbfgs import program_mode
from bayesnmf.methods.optimise.search import Search, Solution, find_modes
from bayesnmf.methods.options import require_counts, require_tolerance
from bayesnmf.model import NMF, Model
from bayesnmf.observed import serves_sparse

#: Above this many components the Hessians cost more than they save.
MAX_NEWTON_COMPONENTS = 32


@dataclass(frozen=True)
class MAP:
    """Posterior mode of W and H (maximum a posteriori).

    With flat priors this is the classic factorisation: Kullback-Leibler for the Poisson
    likelihood, Frobenius for the Gaussian, Itakura-Saito for the gamma.

    Parameters
    ----------
    solver : {"auto", "newton", "accelerated", "mu"}, default "auto"
        "newton": accelerated block Newton steps. "accelerated": accelerated multiplicative
        updates. "mu": plain multiplicative updates, those of scikit-learn for the classic
        objectives. "auto": "newton" up to 32 components, "accelerated" above. None of them
        increases the objective.
    init : {"random", "nndsvd"} or pair of arrays, default "random"
        Half-normal factors, factors from the singular vectors, or (W, H) themselves. Labelled
        factors, such as those of another fit, are matched by their names: rows of W and columns
        of H with those of V, rows of H with the columns of W.
    max_iter : int, default 10000
        Steps at most, per start.
    tol : float, default 1e-4
        Stop when the scaled optimality residual is below `tol`: at a mode every entry is either
        0 with the objective rising from it, or has slope 0. Entries are measured in the largest
        of their component, slopes in nats per cell for a step of that size.
    n_init : int, default 4
        Random starts, of which the best optimum is returned. Other values of `init` have one.
    stop : {"kkt", "divergence"}, default "kkt"
        "kkt": as above. "divergence", for ``solver="mu"``: scikit-learn's rule, which looks every
        ten iterations whether the root of twice the divergence has fallen by less than `tol`
        times its first value; `converged` is then no certificate.

    Notes
    -----
    The mode of a program is found by L-BFGS, from one random start in log space: `solver`, `init`
    and `stop` are refused there, and `tol` and `n_init` have no effect.

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
    tol: float = 1e-4
    n_init: int = 4
    stop: str = "kkt"

    name: ClassVar[str] = "map"
    needs_density: ClassVar[bool] = False
    _options: ClassVar[dict[str, tuple[str, ...]]] = {
        "solver": ("auto", "newton", "accelerated", "mu"),
        "stop": ("kkt", "divergence"),
    }

    def __post_init__(self) -> None:
        for name, valid in self._options.items():
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}; valid: {', '.join(valid)}"
                )
        if isinstance(self.init, str):
            if self.init not in ("random", "nndsvd"):
                raise ValueError(
                    f"unknown init {self.init!r}; valid: random, nndsvd, or a pair (W, H)"
                )
        elif not (isinstance(self.init, (tuple, list)) and len(self.init) == 2):
            raise TypeError("init must be 'random', 'nndsvd' or a pair of arrays (W, H)")
        require_counts(self, max_iter=1, n_init=1)
        require_tolerance(self.tol)
        if self.stop == "divergence" and self.solver != "mu":
            raise ValueError("stop='divergence' is the rule of solver='mu'")

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return whether sparse data, with missing cells or not, need not be expanded."""
        return model.nmf is not None and serves_sparse(model.nmf, masked)

    def run(self, model: Model, matrix: AnyMatrix, key: jax.Array, progress: bool) -> Draws:
        """Find the mode and return it as one chain of one draw."""
        nmf = model.nmf
        if nmf is not None:
            solutions = find_modes(
                self._search(nmf), nmf, matrix, self._starts(nmf, matrix, key), progress
            )
            best, ends = solutions[0], [solution.objective for solution in solutions]
            sites, converged = best.sites, best.converged
            message = _describe(nmf, matrix, best, ends)
            info: dict[str, Any] = {
                "n_iter": best.n_iter,
                "objective": best.objective,
                "objectives": ends,
                "residual": best.residual,
            }
        else:
            assert isinstance(matrix, Matrix)  # keeps_sparse is False of a program
            self._refuse_for_programs()
            mode = program_mode(model, matrix, key, self.max_iter)
            sites, converged, message = mode.sites, mode.converged, mode.message
            info = {"n_iter": mode.n_iter, "objective": mode.objective}
        stacked = {name: np.asarray(value)[None, None] for name, value in sites.items()}
        return Draws(stacked, {}, converged, message, info)

    def _refuse_for_programs(self) -> None:
        """Refuse options that know the structure of an NMF, rather than ignore them."""
        for name in ("solver", "init", "stop"):
            if getattr(self, name) != getattr(MAP, name):
                raise ValueError(
                    f"{name}= is for a bayesnmf.NMF: the mode of a program is found by L-BFGS from "
                    f"one random start. Leave {name} out"
                )

    def _search(self, model: NMF) -> Search:
        solver = self.solver
        if solver == "auto":
            few = model.n_components <= MAX_NEWTON_COMPONENTS
            # Without a proven majorisation, plain updates are no map to accelerate.
            solver = "newton" if few or not model.likelihood.majorises else "accelerated"
        return Search(solver, self.max_iter, self.tol, self.stop == "divergence")

    def _starts(self, model: NMF, matrix: AnyMatrix, key: jax.Array) -> list[Start]:
        if not isinstance(self.init, str):
            start = given_start(model, matrix, self.init)
            refuse_dead(start, self.solver)
            return [start]
        if self.init == "nndsvd":
            return [nndsvd_start(model, matrix)]
        return [random_start(model, matrix, k) for k in jax.random.split(key, self.n_init)]


def _describe(model: NMF, matrix: AnyMatrix, best: Solution, ends: list[float]) -> str:
    if best.converged:
        ended = "converged"
    elif not best.finite:
        ended = "stopped at numbers that are not finite, not converged,"
    elif best.stalled:
        ended = f"stopped at the precision of {matrix.dtype}, not converged,"
    else:
        ended = "stopped at max_iter, not converged,"
    text = (
        f"{ended} after {best.n_iter} steps, objective {best.objective:.6g}, optimality residual "
        f"{best.residual:.1e}"
    )
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
