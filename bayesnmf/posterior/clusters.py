"""Clusters of chains: which of them have found the same factorisation."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesnmf.posterior.components import align

#: Total variation between two chains' means from which a component is another component.
MIN_DISTANCE = 0.1


#: Share of the mass of WH from which a component counts.
MIN_SHARE = 0.01


#: The same in units of what separates the halves of either chain.
MIN_DRIFTS = 3.0


#: Draws of a chain below which nothing is split, and above which they are thinned.
MIN_DRAWS, MAX_DRAWS = 50, 500


class Profiles(NamedTuple):
    """Components of one chain, each a distribution over rows and one over columns.

    Parameters
    ----------
    W : ndarray of shape (draw, component, row)
    H : ndarray of shape (draw, component, column)
    share : ndarray of shape (component,)
        Share of the mass of WH, averaged over draws.
    """

    W: np.ndarray
    H: np.ndarray
    share: np.ndarray


def cluster(W: np.ndarray, H: np.ndarray, lp: np.ndarray, known: int = 0) -> np.ndarray:
    """Label every chain with the number of its mode.

    Two chains are apart when, after matching, a component that holds 1 % of the mass or more in
    both fulfils two conditions, in its row of H or in its column of W (as distributions):

    - it differs materially: the total variation between the chains' means is 0.1 or more, and
      three times that between the means of either chain's own halves or more;
    - the chains do not overlap. On the line through the means of their first halves, the
      ranges of all draws of their second halves are disjoint; and the other way round.

    Each half judges a direction that it did not choose, so that noise in the means of slowly
    mixing chains of many entries is not taken for distance. A mode is a set of chains linked by
    pairs that are not apart. The log density orders modes and splits none: two exact
    factorisations can have the same, and a chain can lag behind in it without being elsewhere.

    Parameters
    ----------
    W : ndarray of shape (chain, draw, row, component)
    H : ndarray of shape (chain, draw, component, column)
    lp : ndarray of shape (chain, draw)
        Log joint density.
    known : int, default 0
        Number of components that are known: each corresponds to itself.

    Returns
    -------
    ndarray of int of shape (chain,)
        0 for the mode of the highest mean log density, then 1 ...; all 0 for chains under 50
        draws and for draws that are not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> W = np.ones((3, 50, 4, 1)) + 0.01 * rng.random((3, 50, 4, 1))
    >>> H = np.ones((3, 50, 1, 2)) + 0.01 * rng.random((3, 50, 1, 2))
    >>> H[1, ..., 0] *= 3
    >>> cluster(W, H, np.zeros((3, 50))).tolist()
    [0, 1, 0]
    """
    n_chains, n_draws = lp.shape
    mode = np.arange(n_chains)
    finite = np.isfinite(W).all() and np.isfinite(H).all()
    if n_chains < 2 or n_draws < MIN_DRAWS or not finite:
        return np.zeros_like(mode)
    kept = np.linspace(0, n_draws - 1, min(n_draws, MAX_DRAWS)).astype(int)
    chains = [_profiles(W[c, kept][None], H[c, kept][None], lp[c, kept][None], known) for c in mode]
    for a, b in itertools.combinations(range(n_chains), 2):
        if mode[a] != mode[b] and not _apart(chains[a], chains[b], known):
            mode[mode == mode[b]] = mode[a]
    density = np.nan_to_num(lp.mean(axis=1), nan=-np.inf)
    best_first = sorted(np.unique(mode), key=lambda m: -density[mode == m].mean())
    return np.array([best_first.index(m) for m in mode])


def modes_in(tree: xr.DataTree, known: int) -> xr.DataArray:
    """Return the mode of each chain of a fit, of dim (chain,); all 0 unless the method is MCMC."""
    posterior = tree["posterior"].dataset
    mode = np.zeros(posterior.sizes["chain"], int)
    if tree.attrs["method"] == "mcmc":
        W, H = posterior["W"].to_numpy(), posterior["H"].to_numpy()
        mode = cluster(W, H, tree["sample_stats/lp"].to_numpy(), known)
    return xr.DataArray(mode, {"chain": posterior["chain"]}, ("chain",), name="mode")


def require_one(mode: xr.DataArray) -> None:
    """Raise when chains are in several modes, which no average or interval describes."""
    if mode.any():
        raise ValueError(refusal(mode))


def in_words(mode: xr.DataArray) -> str:
    """Name the chains of each mode, from labels of dim (chain,).

    Examples
    --------
    >>> in_words(xr.DataArray([0, 1, 0], {"chain": [0, 1, 2]}, ("chain",)))
    'mode 0: chains 0, 2; mode 1: chain 1'
    """
    parts = []
    for m in range(int(mode.max()) + 1):
        names = [str(name) for name in mode["chain"].to_numpy()[mode == m]]
        parts.append(f"mode {m}: chain{'s' if len(names) > 1 else ''} {', '.join(names)}")
    return "; ".join(parts)


def refusal(mode: xr.DataArray) -> str:
    """Say why chains in several modes are not pooled."""
    last = int(mode.max())
    return (
        f"the chains of this fit are in {last + 1} modes ({in_words(mode)}), and their average is none "
        f"of them: read one at a time, bn.modes(fit)[0] to bn.modes(fit)[{last}]"
    )


def warning(mode: xr.DataArray) -> str:
    """Say what a prediction from chains in several modes is."""
    return (
        f"the chains of this fit are in {int(mode.max()) + 1} modes, and predictions weigh every "
        "chain alike: bn.modes(fit) has each mode and its predictive weight"
    )


def _profiles(W: np.ndarray, H: np.ndarray, lp: np.ndarray, known: int) -> Profiles:
    """Align one chain by itself: matched to another mode its components would switch."""
    aligned = align(W, H, lp, known=known)
    weights = np.swapaxes(aligned.W[0], 1, 2)
    with np.errstate(over="ignore"):
        mass = weights.sum(axis=-1)
    mass = np.where(np.isfinite(mass), mass, 0)  # no share of a component that has no number
    share = np.where(aligned.H[0].any(axis=-1), mass, 0).mean(axis=0)
    return Profiles(
        weights / np.where(mass > 0, mass, 1)[..., None],
        aligned.H[0],
        share / max(share.sum(), np.finfo(float).tiny),
    )


def _apart(a: Profiles, b: Profiles, known: int) -> bool:
    """Return whether two chains have found different factorisations."""
    from scipy.optimize import linear_sum_assignment

    factors = ((a.W, b.W), (a.H, b.H))
    distances = [_total_variation(x.mean(axis=0), y.mean(axis=0)) for x, y in factors]
    total = distances[0] + distances[1]
    free = known + np.array(linear_sum_assignment(total[known:, known:]))
    matched = [*((k, k) for k in range(known)), *zip(*free, strict=True)]
    return any(
        distance[k, m] >= max(MIN_DISTANCE, MIN_DRIFTS * max(_drift(x[:, k]), _drift(y[:, m])))
        and _disjoint(x[:, k], y[:, m])
        for k, m in matched
        if min(a.share[k], b.share[m]) >= MIN_SHARE
        for distance, (x, y) in zip(distances, factors, strict=True)
    )


def _total_variation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the total variation between every row of `x` and every row of `y`."""
    return np.array([0.5 * np.abs(row - y).sum(axis=-1) for row in x])


def _drift(x: np.ndarray) -> float:
    """Return the total variation between the means of the halves of a chain."""
    half = len(x) // 2
    return 0.5 * float(np.abs(x[:half].mean(axis=0) - x[half:].mean(axis=0)).sum())


def _disjoint(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether each half of two chains is apart on the line that the other half chose."""
    half = len(x) // 2
    for chosen, judged in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        direction = x[chosen].mean(axis=0) - y[chosen].mean(axis=0)
        if (x[judged] @ direction).min() <= (y[judged] @ direction).max():
            return False
    return True
