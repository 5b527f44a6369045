"""The criteria that other packages choose a rank by, and the conventions that turn them into one.

Each takes what it needs at every rank and returns one rank.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from bayesnmf.methods.matching import match_rows

#: SigProfiler's thresholds of the silhouette of signatures: on average, and of the worst one.
MEAN_SILHOUETTE, LEAST_SILHOUETTE = 0.8, 0.2


def information(
    ranks: list[int], log_likelihood: np.ndarray, shape: tuple[int, int], penalty: float
) -> int:
    """Return the rank of the smallest information criterion; penalty 2 is AIC, log(cells) BIC.

    A factorisation of rank K has K (n + m - 1) free numbers, the scales being arbitrary.
    """
    n_free = np.array(ranks) * (sum(shape) - 1)
    return ranks[int(np.argmin(penalty * n_free - 2 * log_likelihood))]


def cophenetic(W: list[np.ndarray]) -> float:
    """Return the cophenetic correlation of restarts' consensus on which rows belong together.

    Parameters
    ----------
    W : list of ndarray of shape (n_rows, n_components)
        Of every restart; a row belongs to its largest component.

    References
    ----------
    Brunet, J.-P., Tamayo, P., Golub, T. R. and Mesirov, J. P. (2004). Metagenes and molecular pattern
    discovery using matrix factorization. PNAS 101, 4164-4169. doi:10.1073/pnas.0308531101
    """
    labels = np.array([factor.argmax(axis=1) for factor in W])
    consensus = (labels[:, :, None] == labels[:, None, :]).mean(axis=0)
    distance = squareform(1 - consensus, checks=False)
    if not distance.any() or np.ptp(distance) == 0:
        return 1.0
    return float(cophenet(linkage(distance, "average"), distance)[0])


def before_largest_drop(ranks: list[int], values: np.ndarray) -> int:
    """Return the rank after which the cophenetic correlation falls most; rank 1 has none."""
    kept = [i for i, rank in enumerate(ranks) if rank > 1]
    if len(kept) < 2:
        return ranks[kept[0]] if kept else ranks[0]
    fall = np.diff(values[kept])
    return ranks[kept[int(np.argmin(fall))]]


def silhouettes(H: np.ndarray) -> np.ndarray:
    """Return each component's mean silhouette, in cosine distance, over matched restarts.

    Parameters
    ----------
    H : ndarray of shape (n_restarts, n_components, n_columns)
    """
    n_restarts, k, _ = H.shape
    order = match_rows(H, H[0])
    matched = np.take_along_axis(H, order[..., None], axis=1)
    unit = matched / np.maximum(np.linalg.norm(matched, axis=-1, keepdims=True), 1e-300)
    flat = unit.reshape(-1, unit.shape[-1])
    labels = np.tile(np.arange(k), n_restarts)
    distance = np.maximum(1 - flat @ flat.T, 0.0)
    if k == 1:
        return np.ones(1)
    to = np.stack([distance[:, labels == c].sum(axis=1) for c in range(k)], axis=1)
    own = to[np.arange(len(labels)), labels] / max(n_restarts - 1, 1)
    others = to / n_restarts
    others[np.arange(len(labels)), labels] = np.inf
    nearest = others.min(axis=1)
    score = (nearest - own) / np.maximum(np.maximum(nearest, own), 1e-300)
    return np.array([score[labels == c].mean() for c in range(k)])


def largest_stable(ranks: list[int], scores: list[np.ndarray]) -> int:
    """Return the largest rank whose components are stable on average and one by one."""
    stable = [
        rank
        for rank, score in zip(ranks, scores, strict=True)
        if score.mean() >= MEAN_SILHOUETTE and score.min() >= LEAST_SILHOUETTE
    ]
    return max(stable, default=ranks[0])


def elbow(ranks: list[int], errors: np.ndarray) -> int:
    """Return the rank farthest below the chord from the first error to the smallest."""
    last = int(np.argmin(errors))
    if last < 2:
        return ranks[last]
    x = (np.array(ranks[: last + 1]) - ranks[0]) / (ranks[last] - ranks[0])
    y = (errors[: last + 1] - errors[last]) / (errors[0] - errors[last])
    return ranks[int(np.argmin(x + y))]
