"""The MAP estimate in log space: where sampling and variational inference start."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.methods.optimise.initial import Start, generator_of, random_start
from bayesnmf.methods.optimise.knockout import best_by_updates
from bayesnmf.methods.optimise.lbfgs import program_optimum
from bayesnmf.methods.optimise.search import find_optima
from bayesnmf.methods.optimise.solution import Search
from bayesnmf.model import NMF, Model
from bayesnmf.model.mean import product
from bayesnmf.model.rates import conditional
from bayesnmf.model.sites import latent_names
from bayesnmf.observed import serves_sparse
from bayesnmf.observed.cells import dense_cells_of
from bayesnmf.progress import Part, Progress

#: What the progress bar says meanwhile.
STAGE = "start values"


#: Random starts of the search; the best optimum is kept.
N_STARTS = 4
#: Starts of a chain where a product of the factors takes fewer multiplications than this: plain updates from more of
#: them then take less time than the program of Newton's steps takes to compile.
N_STARTS_SMALL, SMALL = 8, 500_000


#: Residual at which an optimum is near enough to start a chain from.
START_TOL = 1e-2


#: From this many cells on, variational inference starts from one short search, since its own steps
#: would take less time than an exact optimum. Where fewer than this share of the cells is not zero, the
#: search sees the others alone.
LARGE, SHORT, FILLED = 2**22, 50, 0.1


class Find(Protocol):
    """A search that returns the sites at the best optimum that it finds from some starts."""

    def __call__(
        self, model: NMF, matrix: AnyMatrix, starts: list[Start], *, log_space: bool
    ) -> dict[str, np.ndarray]:
        """Search."""


def log_map(
    model: Model, matrix: Matrix, key: jax.Array, progress: Progress
) -> dict[str, np.ndarray]:
    """Return the values of the latent sites at the MAP estimate in log space.

    Unlike the MAP estimate itself it is strictly positive, so it has finite unconstrained coordinates.
    """
    progress.stage(STAGE, 1)
    nmf = model.nmf
    if nmf is not None:
        rng = generator_of(key)
        if matrix.n_rows * matrix.n_columns >= LARGE:
            find = _newton(progress, max_iter=SHORT, tol=START_TOL)
            return _best_optimum(find, nmf, _sparse(nmf, matrix), rng, n_starts=1)
        return _best_optimum(_newton(progress, max_iter=1000, tol=1e-4), nmf, matrix, rng)
    sites = program_optimum(model, matrix, key, max_iter=2000).sites
    return {name: sites[name] for name in latent_names(model, matrix)}


def log_maps(
    model: NMF, matrix: AnyMatrix, key: jax.Array, number: int, progress: Progress
) -> list[dict[str, np.ndarray]]:
    """Return points near distinct optima, one for each chain.

    Each is the best of a few starts of its own, so chains that disagree have found modes that
    compete, and not merely a poor one. Where a factor is known, given rates there is no other mode, and one start
    is enough.
    """
    generators = progress.over(generator_of(key).spawn(number), STAGE)
    find, n_starts = _newton(progress, max_iter=200, tol=START_TOL), N_STARTS
    if isinstance(matrix, Matrix) and _updates_serve(model, matrix):
        find, n_starts = best_by_updates, N_STARTS_SMALL
    if model.n_components in (model.n_known_W, model.n_known_H):
        n_starts = 1
    return [_best_optimum(find, model, matrix, rng, n_starts) for rng in generators]


def _updates_serve(model: NMF, matrix: Matrix) -> bool:
    """Return whether thousands of plain updates take less time than Newton's program takes to compile."""
    likelihood = model.likelihood
    # A parameter that follows every update needs the densities of all cells several times over.
    cheap = likelihood.majorises and (likelihood.is_conjugate or not likelihood.priors)
    return cheap and matrix.n_rows * matrix.n_columns * model.n_components < SMALL


def _sparse(model: NMF, matrix: Matrix) -> AnyMatrix:
    """Return the data in sparse storage where that serves the model and is smaller."""
    masked = matrix.n_observed < matrix.values.size
    filled = np.count_nonzero(matrix.values) / matrix.values.size  # NaN counts, since it is stored
    if matrix.dtype != np.float64 or filled > FILLED or not serves_sparse(model, masked):
        return matrix
    return SparseMatrix.of(scipy.sparse.csr_array(matrix.values))


def _newton(progress: Progress, *, max_iter: int, tol: float) -> Find:
    """Return the search for the best optimum by Newton's steps."""

    def find(
        model: NMF, matrix: AnyMatrix, starts: list[Start], *, log_space: bool
    ) -> dict[str, np.ndarray]:
        search = Search("newton", max_iter=max_iter, tol=tol, log_space=log_space)
        return find_optima(search, model, matrix, starts, Part(progress))[0].sites

    return find


def _best_optimum(
    find: Find,
    model: NMF,
    matrix: AnyMatrix,
    rng: np.random.Generator,
    n_starts: int = N_STARTS,
) -> dict[str, np.ndarray]:
    """Return the best optimum in log space of a few random starts.

    Rates under hyper-priors have no such optimum: with ``log b`` at its best the density hardly depends
    on the size of a component, so none empties out. Their values come from an optimum of the factors
    themselves, and the factors' logarithms follow given them.
    """
    starts = [random_start(model, matrix, own) for own in rng.spawn(n_starts)]
    if not model.hyper_priors:
        return find(model, matrix, starts, log_space=True)
    found = find(model, matrix, starts, log_space=False)
    # At the optimum an empty component has a rate far beyond all that the hyper-prior allows.
    rates = {
        name: np.minimum(found[name], matrix.dtype.type(hyper.mean))
        for name, hyper in model.hyper_priors.items()
    }
    start = [(found["W"], found["H"])]
    return find(model.with_rates(rates), matrix, start, log_space=True) | rates


def log_scales(
    model: Model, matrix: Matrix, center: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return approximate posterior standard deviations of the logarithms of W, H and rates.

    The negative second derivative in ``log w`` at its maximum is ``shape + w**2 sum(u h**2)``
    (u, the Fisher information, in place of the observed one); its inverse square root ignores the coupling of
    coefficients. Empty for a program, whose likelihood is not known.
    """
    if model.nmf is None:
        return {}
    nmf = model.nmf
    likelihood, data = nmf.likelihood, dense_cells_of(nmf, matrix)
    W, H = jnp.asarray(center["W"]), jnp.asarray(center["H"])
    parameters = {name: jnp.asarray(center[name]) for name in likelihood.priors}
    information = likelihood.fisher_information(
        data.values, product(W, H), **likelihood.known, **parameters
    )
    information = data.kept(information)
    precision_W = nmf.prior_W.shape_term(W).T + W**2 * (information @ (H**2).T)
    precision_H = nmf.prior_H.shape_term(H) + H**2 * ((W**2).T @ information)
    scales = {"W": np.asarray(precision_W**-0.5), "H": np.asarray(precision_H**-0.5)}
    for name, (shape, rate) in conditional(nmf, W.T, H).items():
        scales[name] = np.broadcast_to(shape**-0.5, rate.shape).astype(matrix.dtype)
    return scales
