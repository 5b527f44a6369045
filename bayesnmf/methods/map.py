"""MAP: the maximum of the posterior, of which the classic factorisations are special cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike

from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.methods.draws import Draws
from bayesnmf.methods.matching import similarity
from bayesnmf.methods.optimise.initial import (
    Start,
    generator_of,
    given_start,
    nndsvd_start,
    random_start,
    refuse_dead,
)
from bayesnmf.methods.optimise.lbfgs import program_optimum
from bayesnmf.methods.optimise.penalty import refuse_drift
from bayesnmf.methods.optimise.search import Search, Solution, find_optima
from bayesnmf.methods.options import require_counts, require_tolerance
from bayesnmf.model import NMF, Model
from bayesnmf.observed import serves_sparse
from bayesnmf.progress import Progress

#: Above this many components the Hessians cost more than they save.
MAX_NEWTON_COMPONENTS = 32


#: Starts that have a name.
WORDS = ("random", "nndsvd")


#: What `init` can be, for the error.
EXPECTED = (
    "init must be 'random', 'nndsvd', a pair of arrays (W, H), or a list of these, each of which is "
    "one start"
)


#: Why log space is refused under priors such as ARD.
NO_LOG_SPACE = (
    "priors whose rates are inferred, such as 'ard', have no MAP estimate in log space: use "
    "space='natural', or gamma priors"
)


#: A start, or the `n_init` random ones.
type Init = Literal["random", "nndsvd"] | tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class MAP:
    """MAP estimate: the W and H of the highest posterior density (maximum a posteriori).

    With flat priors this is the classic factorisation: Kullback-Leibler for the Poisson
    likelihood, Frobenius for the Gaussian, Itakura-Saito for the gamma. It is one point, so it
    says nothing of how certain W and H are; for that use :class:`bayesnmf.MCMC`.

    Parameters
    ----------
    solver : {"auto", "newton", "accelerated", "mu"}, default "auto"
        "newton": accelerated block Newton steps, and where those crawl steps of both factors at once.
        "accelerated": accelerated multiplicative updates. "mu": plain multiplicative updates, those of scikit-learn for the classic
        objectives. "auto": "newton" up to 32 components and where one factor is known,
        "accelerated" elsewhere. None of them increases the objective.
    init : {"random", "nndsvd"}, pair of arrays, or list of these, default "random"
        "random": `n_init` starts from half-normal factors. "nndsvd": one start from the singular
        vectors. (W, H): these factors. A list: all the starts that its entries name. Labelled
        factors, such as those of another fit, are matched by their names: rows of W and columns of
        H with those of V, rows of H with the columns of W.
    max_iter : int, default 10000
        Steps at most, per start.
    tol : float, default 1e-4
        Stop when the scaled optimality residual is below `tol`: at a MAP estimate every entry is
        either 0 with the objective rising from it, or has slope 0. Entries are measured in the
        largest of their component, slopes in nats per cell for a step of that size.
    n_init : int, default 4
        Number of random starts. The best optimum of all starts is returned. Where a factor is known
        and the log density is concave in the mean (Poisson, Gaussian) there is one optimum, and one
        start.
    stop : {"kkt", "divergence"}, default "kkt"
        "kkt": as above. "divergence", for ``solver="mu"``: scikit-learn's rule, which looks every
        ten iterations whether the root of twice the divergence has fallen by less than `tol`
        times its first value; `converged` is then no certificate.
    space : {"natural", "log"}, default "natural"
        Whose density is maximised. "natural": that of W and H, in which entries can be exactly 0.
        "log": that of log W and log H. Its maximum is strictly positive and near the posterior
        mean, and an entry of which the data say nothing sits at the mean of its prior.

    Notes
    -----
    The fit's attributes hold, for each start, best first, its ``objectives`` and ``similarities``:
    the mean cosine of its components with those of the best start.

    The MAP estimate of a program is found by L-BFGS, from one random start, in log space whatever
    `space` says: `solver`, `init` and `stop` are refused there, and `tol` and `n_init` have no
    effect. Priors whose rates are inferred, such as ARD, have no MAP estimate in log space. A rate on one
    factor beside a flat prior on the other has none at all, and is refused.

    References
    ----------
    Fevotte, C. and Idier, J. (2011). Algorithms for nonnegative matrix factorization with the
    beta-divergence. Neural Computation 23, 2421-2456. doi:10.1162/NECO_a_00168

    Examples
    --------
    >>> MAP(init="nndsvd").n_init
    4
    """

    solver: Literal["auto", "newton", "accelerated", "mu"] = "auto"
    init: Init | Sequence[Init] = "random"
    max_iter: int = 10_000
    tol: float = 1e-4
    n_init: int = 4
    stop: Literal["kkt", "divergence"] = "kkt"
    space: Literal["natural", "log"] = "natural"

    name: ClassVar[str] = "map"
    needs_density: ClassVar[bool] = False
    _options: ClassVar[dict[str, tuple[str, ...]]] = {
        "solver": ("auto", "newton", "accelerated", "mu"),
        "stop": ("kkt", "divergence"),
        "space": ("natural", "log"),
    }

    def __post_init__(self) -> None:
        for name, valid in self._options.items():
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}; valid: {', '.join(valid)}"
                )
        object.__setattr__(self, "init", _checked(self.init))
        require_counts(self, max_iter=1, n_init=1)
        require_tolerance(self.tol)
        if self.stop == "divergence" and self.solver != "mu":
            raise ValueError("stop='divergence' is the rule of solver='mu'")

    def keeps_sparse(self, model: Model, masked: bool) -> bool:
        """Return whether sparse data, with missing cells or not, need not be expanded."""
        return model.nmf is not None and serves_sparse(model.nmf, masked)

    @property
    def inits(self) -> list[Init]:
        """What `init` names, one by one."""
        return self.init if isinstance(self.init, list) else [self.init]  # type: ignore[list-item]

    def run(self, model: Model, matrix: AnyMatrix, key: jax.Array, progress: Progress) -> Draws:
        """Find the MAP estimate and return it as one chain of one draw."""
        nmf = model.nmf
        if nmf is not None:
            return self._run_nmf(nmf, matrix, key, progress)
        assert isinstance(matrix, Matrix)  # keeps_sparse is False of a program
        self._refuse_for_programs()
        progress.stage("MAP estimate", 1)
        found = program_optimum(model, matrix, key, self.max_iter)
        info = {"n_iter": found.n_iter, "objective": found.objective}
        return Draws(_one_draw(found.sites), {}, found.converged, found.message, info)

    def _run_nmf(self, model: NMF, matrix: AnyMatrix, key: jax.Array, progress: Progress) -> Draws:
        log_space = self.space == "log"
        if log_space and model.hyper_priors:
            raise ValueError(NO_LOG_SPACE)
        if self.stop == "kkt":  # the other rule ends somewhere on the way, as scikit-learn does
            refuse_drift(model, matrix.n_rows, matrix.n_columns, log_space=log_space)
        starts = self._starts(model, matrix, key)
        solutions = find_optima(self.search(model), model, matrix, starts, progress)
        best = solutions[0]
        info = {
            "n_iter": best.n_iter,
            "objective": best.objective,
            "residual": best.residual,
            "objectives": [solution.objective for solution in solutions],
            "similarities": _similarities(solutions),
        }
        message = self._describe(model, matrix, solutions)
        return Draws(_one_draw(best.sites), {}, best.converged, message, info)

    def _refuse_for_programs(self) -> None:
        """Refuse options that know the structure of an NMF, rather than ignore them."""
        for name in ("solver", "init", "stop"):
            if getattr(self, name) != getattr(MAP, name):
                raise ValueError(
                    f"{name}= is for a bayesnmf.NMF: the MAP estimate of a program is found by "
                    f"L-BFGS from one random start. Leave {name} out"
                )

    def search(self, model: NMF) -> Search:
        """Return how to search for the MAP estimate of a model with these options."""
        solver: str = self.solver
        if solver == "auto":
            # With one factor known, Newton steps need few iterations, and no other kind converges.
            whole = model.n_known == model.n_components
            few = whole or model.n_components <= MAX_NEWTON_COMPONENTS
            # Without a proven majorisation, plain updates are no map to accelerate.
            solver = "newton" if few or not model.likelihood.majorises else "accelerated"
        by_divergence, log_space = self.stop == "divergence", self.space == "log"
        return Search(solver, self.max_iter, self.tol, by_divergence, log_space, fills=log_space)

    def _starts(self, model: NMF, matrix: AnyMatrix, key: jax.Array) -> list[Start]:
        starts: list[Start] = []
        for init in self.inits:
            if not isinstance(init, str):
                start = given_start(model, matrix, init)
                refuse_dead(start, self.solver)
                starts.append(start)
            elif init == "nndsvd":
                starts.append(nndsvd_start(model, matrix))
            else:
                # Given one factor, a log-concave likelihood has one optimum.
                unique = model.likelihood.log_concave and model.n_known == model.n_components
                generators = generator_of(key).spawn(1 if unique else self.n_init)
                starts += [random_start(model, matrix, rng) for rng in generators]
        return starts

    def _describe(self, model: NMF, matrix: AnyMatrix, solutions: list[Solution]) -> str:
        """Say how the search ended."""
        best, ends = solutions[0], [solution.objective for solution in solutions]
        text = (
            f"{_ending(best, matrix)} after {best.n_iter} steps, objective {best.objective:.6g}, "
            f"optimality residual {best.residual:.1e}"
        )
        if len(ends) > 1:
            text += f"; {len(ends)} starts ended within {max(ends) - min(ends):.3g} of each other"
        notes = []
        if model.likelihood.is_quasi(matrix):
            notes.append(
                f"V holds fractions, so the {model.likelihood.name.replace('_', ' ')} objective is a "
                "quasi-likelihood, not a density"
            )
        if self.space == "log":
            notes.append("This is the MAP estimate in log space")
        elif min(np.min(model.prior_W.shape), np.min(model.prior_H.shape)) < 1:
            notes.append("Under a prior with shape below 1 the MAP estimate is taken in log space")
        return ". ".join([text, *notes])


def _checked(init: Any) -> Any:
    """Return `init` as a word, a pair of factors, or a list of these; raise for anything else."""
    if isinstance(init, str):
        if init not in WORDS:
            raise ValueError(
                f"unknown init {init!r}; valid: {', '.join(WORDS)}, a pair (W, H), or a list of these"
            )
        return init
    if _is_pair(init):
        return tuple(init)
    if not isinstance(init, (tuple, list)) or not init:
        raise TypeError(EXPECTED)
    if not all(isinstance(part, str) or _is_pair(part) for part in init):
        raise TypeError(EXPECTED)
    for word in WORDS:
        if sum(isinstance(part, str) and part == word for part in init) > 1:
            raise ValueError(f"init names {word!r} twice, which would give the same starts again")
    return [_checked(part) for part in init]


def _is_pair(value: Any) -> bool:
    """Return whether a value is a pair of factors: two tables, none of them a pair itself."""
    if not (isinstance(value, (tuple, list)) and len(value) == 2):
        return False
    return not any(isinstance(part, (str, tuple)) or _is_nested(part) for part in value)


def _is_nested(part: Any) -> bool:
    """Return whether a list holds arrays, as a pair of factors does, instead of rows of numbers."""
    return isinstance(part, list) and any(np.ndim(row) > 1 for row in part)


def _one_draw(sites: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[None, None] for name, value in sites.items()}


def _similarities(solutions: list[Solution]) -> list[float]:
    """Return how alike the components of each start are to those of the best one."""
    reference = solutions[0].sites["H"]
    return [similarity(solution.sites["H"][None], reference) for solution in solutions]


def _ending(best: Solution, matrix: AnyMatrix) -> str:
    if best.converged:
        return "converged"
    if not best.finite:
        return "stopped at numbers that are not finite, not converged,"
    if best.stalled:
        return f"stopped at the precision of {matrix.dtype}, not converged,"
    return "stopped at max_iter, not converged,"
