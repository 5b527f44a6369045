"""Starting values of W and H."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from bayesnmf.arrays import floor_of
from bayesnmf.data import AnyMatrix, Matrix, SparseMatrix
from bayesnmf.data.labels import component_names, matched
from bayesnmf.model import NMF
from bayesnmf.model.entrywise import tells_apart
from bayesnmf.priors import EntrywiseGamma

#: Entries below this share of the largest count as zero in a start from singular vectors.
NEGLIGIBLE = 1e-6


#: Least entry of a grown component, as a share of its largest.
GROWN = 1e-3


#: A start is a pair of factors (W, H).
type Start = tuple[np.ndarray, np.ndarray]


def generator_of(key: jax.Array) -> np.random.Generator:
    """Return NumPy's generator for a random key: what is drawn once is not worth compiling."""
    return np.random.default_rng(np.ravel(jax.random.key_data(key)))


def random_start(model: NMF, matrix: AnyMatrix, rng: np.random.Generator) -> Start:
    """Draw half-normal factors whose product has the mean that the data suggest."""
    k = model.n_components
    scale_W, scale_H = random_scales(model, matrix)
    W = scale_W * np.abs(rng.standard_normal((matrix.n_rows, k)))
    H = scale_H * np.abs(rng.standard_normal((k, matrix.n_columns)))
    return in_place(model, matrix, (W.astype(matrix.dtype), H.astype(matrix.dtype)))


def in_place(model: NMF, matrix: AnyMatrix, start: Start) -> Start:
    """Move a start to the priors' means where these tell components apart, so that each begins in its place.

    A factor whose prior is alike for all components stays as it is, but for its scale.
    """
    means = [
        np.broadcast_to(np.asarray(prior.entry_means), factor.T.shape)
        if isinstance(prior, EntrywiseGamma) and tells_apart(prior, known)
        else None
        for prior, factor, known in (
            (model.prior_W, start[0], model.n_known_W),
            (model.prior_H, start[1].T, model.n_known_H),
        )
    ]
    if all(mean is None for mean in means):
        return start
    W = start[0] if means[0] is None else means[0].T.astype(matrix.dtype)
    H = start[1] if means[1] is None else means[1].astype(matrix.dtype)
    mean = max(model.likelihood.typical_mean(matrix), floor_of(matrix.dtype))
    ratio = mean / max(float(np.mean(W @ H)), floor_of(matrix.dtype))
    if means[0] is None:
        return (W * ratio).astype(matrix.dtype), H
    return W, (H * ratio).astype(matrix.dtype) if means[1] is None else H


def random_scales(model: NMF, matrix: AnyMatrix) -> tuple[float, float]:
    """Return the scales of the half-normal entries of W and of H in a random start.

    They are equal, but known components set the scale of their own factor.
    """
    mean = max(model.likelihood.typical_mean(matrix), floor_of(matrix.dtype))
    # A half-normal of scale s has mean s sqrt(2 / pi); K products of two make one cell.
    share = float(mean / model.n_components * np.pi / 2)
    known = model.H if model.H is not None else model.W
    size = 0.0 if known is None else float(np.mean(known) * np.sqrt(np.pi / 2))
    if size == 0:  # nothing is known, or that components are empty
        return np.sqrt(share), np.sqrt(share)
    return (share / size, size) if model.H is not None else (size, share / size)


def nndsvd_start(model: NMF, matrix: AnyMatrix) -> Start:
    """Build factors from the positive parts of the leading singular vectors.

    Zeros are filled with the average of the data (the variant called nndsvda), since a zero
    never leaves a multiplicative update. Missing cells are first filled with the product of
    their row and column means.

    References
    ----------
    Boutsidis, C. and Gallopoulos, E. (2008). SVD based initialization: a head start for
    nonnegative matrix factorization. Pattern Recognition 41, 1350-1362.
    doi:10.1016/j.patcog.2007.09.010
    """
    k = model.n_components
    if k >= min(matrix.shape) and isinstance(matrix, SparseMatrix):
        raise ValueError(
            f"init='nndsvd' of a sparse matrix needs n_components below {min(matrix.shape)}, the "
            "smaller side of V; use init='random'"
        )
    if k > min(matrix.shape):
        raise ValueError(
            f"init='nndsvd' needs n_components of at most {min(matrix.shape)}, the smaller side "
            "of V; use init='random'"
        )
    left, singular, right, average = _singular_vectors(model, matrix)
    W, H = np.zeros((matrix.n_rows, k)), np.zeros((k, matrix.n_columns))
    for i in range(k):
        a, b = _larger_half(left[:, i], right[i])
        norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
        if norm_a * norm_b > 0:
            size = np.sqrt(singular[i] * norm_a * norm_b)
            W[:, i], H[i] = size * a / norm_a, size * b / norm_b
    average = max(average, floor_of(matrix.dtype))
    for factor in (W, H):
        factor[factor < NEGLIGIBLE * factor.max()] = average
    return in_place(model, matrix, (W.astype(matrix.dtype), H.astype(matrix.dtype)))


def given_start(model: NMF, matrix: AnyMatrix, factors: tuple[Any, Any]) -> Start:
    """Check a start given by the user, and put labelled factors in the order of the data."""
    k = model.n_components
    W, H = factors
    components = component_names(W, 1)
    factors = (
        matched(W, matrix.row_names, None, "the initial W"),
        matched(H, components, matrix.column_names, "the initial H", owner="the initial W and V"),
    )
    expected = (("W", (matrix.n_rows, k)), ("H", (k, matrix.n_columns)))
    checked = []
    for (name, shape), factor in zip(expected, factors, strict=True):
        array = np.array(factor, matrix.dtype)
        if array.shape != shape:
            raise ValueError(f"the initial {name} has shape {array.shape}; it must be {shape}")
        bad = ~(np.isfinite(array) & (array >= 0))
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"the initial {name} holds {array[where]:g} at {where}; it must be non-negative "
                "and finite"
            )
        checked.append(array)
    return checked[0], checked[1]


def refuse_dead(start: Start, solver: str) -> None:
    """Raise for a start of zeros, and for one that holds a component which `solver` cannot move.

    Multiplicative updates never move a zero. The accelerated solvers lift zeros first, but a factor without
    any other entry says nothing of where to begin.
    """
    for name, factor, axis, word in zip("WH", start, (0, 1), ("column", "row"), strict=True):
        if not factor.any():
            raise ValueError(
                f"the initial {name} holds nothing but zeros, from which no step leads away. Give it "
                "positive entries, or use init='random'"
            )
        dead = np.flatnonzero(~factor.any(axis=axis))
        if solver == "mu" and dead.size:
            others = f" (and {dead.size - 1} more)" if dead.size > 1 else ""
            raise ValueError(
                f"component {dead[0]}{others} of the initial {name} is zero (its {word}), and solver='mu' "
                "never moves a zero. Give it positive entries, or use another solver, which lifts zeros"
            )


def _singular_vectors(
    model: NMF, matrix: AnyMatrix
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the leading singular triplets of the data, and their mean."""
    if isinstance(matrix, SparseMatrix):
        from scipy.sparse.linalg import svds

        # A fixed start vector: the same data give the same factors.
        first = np.ones(min(matrix.shape))
        left, singular, right = svds(matrix.stored, model.n_components, v0=first)
        return left[:, ::-1], singular[::-1], right[::-1], float(matrix.mean())
    target = _completed(
        model.likelihood.crude_mean(matrix.filled(model.likelihood.placeholder)), matrix.observed
    )
    left, singular, right = np.linalg.svd(target, full_matrices=False)
    return left, singular, right, float(target.mean())


def _completed(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    if observed.all():
        return values
    seen = np.where(observed, values, 0.0)
    rows = seen.sum(axis=1, keepdims=True) / observed.sum(axis=1, keepdims=True)
    columns = seen.sum(axis=0, keepdims=True) / observed.sum(axis=0, keepdims=True)
    mean = max(values[observed].mean(), np.finfo(values.dtype).tiny)
    return np.where(observed, values, rows * columns / mean)


def grown_start(model: NMF, matrix: Matrix, factors: tuple[Any, Any]) -> Start:
    """Add components to factors of a smaller rank, each where the residual is most alike.

    A new component is the larger positive half of the leading singular pair of the residual, whose
    cells are first divided by the roots of the mean's row and column totals, so that no large row
    takes it all.

    Parameters
    ----------
    model : NMF
        Of a rank of at least that of the factors.
    matrix : Matrix
    factors : pair of arrays of shape (n_rows, k) and (k, n_columns)
    """
    W, H = (np.asarray(x, matrix.dtype) for x in factors)
    target = model.likelihood.crude_mean(matrix.filled(model.likelihood.placeholder))
    tiny = floor_of(matrix.dtype)
    for _ in range(model.n_components - W.shape[1]):
        mean = np.maximum(W @ H, tiny)
        total = mean.sum()
        size_W, size_H = np.sqrt(mean.sum(axis=1) / total), np.sqrt(mean.sum(axis=0) / total)
        residual = np.where(matrix.observed, target - mean, 0.0) / np.outer(size_W, size_H)
        left, singular, right = np.linalg.svd(residual, full_matrices=False)
        w, h = _larger_half(left[:, 0], right[0])
        scale = np.sqrt(max(singular[0], tiny))
        w, h = scale * size_W * w, scale * size_H * h
        W = np.column_stack([W, _lifted_column(w, W.mean())]).astype(matrix.dtype)
        H = np.vstack([H, _lifted_column(h, H.mean())]).astype(matrix.dtype)
    # Both factors alike in size, as the acceleration likes them.
    ratio = np.sqrt(max(H.sum(), tiny) / max(W.sum(), tiny)).astype(matrix.dtype)
    return W * ratio, H / ratio


def _larger_half(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, of the two sign halves of a singular pair, the one that carries more."""
    halves = [(np.maximum(s * u, 0), np.maximum(s * v, 0)) for s in (1.0, -1.0)]
    return max(halves, key=lambda half: np.linalg.norm(half[0]) * np.linalg.norm(half[1]))


def _lifted_column(x: np.ndarray, least: float) -> np.ndarray:
    """Lift zeros, from which multiplicative updates never move."""
    return np.maximum(x, GROWN * (x.max() if x.max() > 0 else least))
