"""Shears: mass that components can trade without changing WH."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesnmf.markup import fragment
from bayesnmf.posterior.requirements import require_one_mode
from bayesnmf.posterior.result import Fit

#: Share of a component's mass from which a trade is worth telling.
MIN_TRADE = 0.25


#: Numbers held at once, of shape (draw, component, column).
BLOCK = 2**22


#: Draws from which mean shares are estimated.
MAX_TRADED = 200


@dataclass(frozen=True)
class Uniqueness:
    """How much mass each pair of components could trade without changing WH.

    Returned by :func:`bayesnmf.uniqueness`. Shares near 0 mean that the data determine the
    components; a large share means that another W and H explain the data as well.

    Parameters
    ----------
    table : DataFrame
        One row an ordered pair: ``source``, ``target``; ``via`` "H": the source gives up
        a part of its row of H that has the target's profile, or "W": a part of its column of
        W that has the target's weights; ``mean``, ``5%``, ``95%``: posterior of the largest
        share of the source's mass that can so move (intervals are NaN for a single draw).
    message : str
        The pairs that can trade a quarter of a component or more, in words.
    """

    table: pd.DataFrame
    message: str

    def __repr__(self) -> str:
        return f"{self.message}\n{self.table.to_string(float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        return fragment("Uniqueness", self.message, self.table, float_format="{:.3f}".format)


def uniqueness(fit: Fit) -> Uniqueness:
    r"""Say which components can trade mass without changing WH.

    For components k and l, :math:`W_l \leftarrow W_l + t W_k,\; H_k \leftarrow H_k - t H_l`
    leaves WH as it is, and non-negative for t in
    :math:`[-\min_i W_{il} / W_{ik},\; \min_j H_{kj} / H_{lj}]`. With :math:`h_k` the row of H and
    :math:`w_k` the column of W as distributions, t > 0 moves up to :math:`\min_j h_{kj} / h_{lj}`
    of the mass of k to l, and t < 0 up to :math:`\min_i w_{il} / w_{ik}` of the mass of l to k.
    These shares depend on no scale. A component that alone uses some row and some column gives
    and takes nothing.

    Parameters
    ----------
    fit : Fit
        Result of :func:`bayesnmf.fit`.

    Returns
    -------
    Uniqueness

    Raises
    ------
    ValueError
        When the chains are in several modes: ask for each of :func:`bayesnmf.modes`.

    Notes
    -----
    The ranges are at the draws, so what can be traded is in the intervals already. The
    likelihood says nothing of it: it is left to the priors. Pairs that trade nothing are no proof of
    uniqueness, since more than two components can trade at once.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> result = uniqueness(bn.fit(V, bn.NMF(2), "map", progress=False))
    >>> result.table[["source", "target", "via"]].to_numpy().tolist()
    [[0, 1, 'H'], [0, 1, 'W'], [1, 0, 'H'], [1, 0, 'W']]
    """
    require_one_mode(fit)
    posterior = fit.tree["posterior"].dataset
    W, H = (posterior[name].to_numpy() for name in ("W", "H"))
    W, H = (x.reshape(-1, *x.shape[2:]) for x in (W, H))
    names = posterior["component"].to_numpy()
    shares = {"H": tradable(H), "W": tradable(np.swapaxes(W, 1, 2))}
    possible, rows = possible_trades(fit), []
    for (k, source), (m, target) in itertools.permutations(enumerate(names), 2):
        for via, share in shares.items():
            x = share[:, k, m] * possible[via][k, m]
            low, high = np.quantile(x, (0.05, 0.95)) * (np.nan if len(x) == 1 else 1.0)
            rows.append((source, target, via, x.mean(), low, high))
    table = pd.DataFrame(rows, columns=["source", "target", "via", "mean", "5%", "95%"])
    return Uniqueness(table, _message(table))


def possible_trades(fit: Fit) -> dict[str, np.ndarray]:
    """Return which component can trade with which, by the factor that the source gives up a part of.

    A trade by way of H changes the source's row of H and the target's column of W, one by way of W
    the source's column of W and the target's row of H. What is known does not change.

    Returns
    -------
    dict of str to ndarray of bool of shape (component, component)
        Source by target, for "H" and "W".
    """
    place = np.arange(fit.n_components)
    free = {factor: place >= number for factor, number in fit.known.items()}
    return {"H": np.outer(free["H"], free["W"]), "W": np.outer(free["W"], free["H"])}


def mean_trades(fit: Fit) -> np.ndarray:
    """Return the mean share of each component that each other could take, (component, component).

    Of some draws, evenly spaced.
    """
    possible, trade = possible_trades(fit), np.zeros((fit.n_components,) * 2)
    if not any(pairs.any() for pairs in possible.values()):
        return trade
    posterior = fit.tree["posterior"].dataset
    W, H = (posterior[name].to_numpy() for name in ("W", "H"))
    W, H = (x.reshape(-1, *x.shape[2:]) for x in (W, H))
    chosen = np.linspace(0, len(H) - 1, min(len(H), MAX_TRADED)).astype(int)
    by_W, by_H = (tradable(x).mean(axis=0) for x in (np.swapaxes(W[chosen], 1, 2), H[chosen]))
    trade = np.maximum(by_W * possible["W"], by_H * possible["H"])
    np.fill_diagonal(trade, 0)
    return trade


def tradable(profiles: np.ndarray) -> np.ndarray:
    """Return the share of each component that has another's profile.

    Parameters
    ----------
    profiles : ndarray of shape (draw, component, entry)
        Rows of H, or columns of W; of any scale.

    Returns
    -------
    ndarray of shape (draw, component, component)
        Largest x for which profile k, as a distribution, minus x times profile l is
        non-negative; 1 where k is l, 0 where either is empty.

    Examples
    --------
    >>> tradable(np.array([[[3.0, 1.0], [0.0, 1.0]]]))
    array([[[1.  , 0.25],
            [0.  , 1.  ]]])
    """
    n_draws, n_components, n_entries = profiles.shape
    result = np.empty((n_draws, n_components, n_components))
    step = max(BLOCK // (n_components * n_entries), 1)
    for begin in range(0, n_draws, step):
        block = np.asarray(profiles[begin : begin + step], np.float64)
        total = block.sum(axis=-1, keepdims=True)
        unit = block / np.where(total > 0, total, 1)
        for m in range(n_components):
            target = unit[:, m : m + 1]
            # An entry that the target lacks limits nothing.
            ratio = np.divide(unit, target, out=np.full_like(unit, np.inf), where=target > 0)
            share = ratio.min(axis=-1)
            result[begin : begin + step, :, m] = np.where(np.isfinite(share), share, 0)
    return result


def _message(table: pd.DataFrame) -> str:
    trades = table[table["mean"] >= MIN_TRADE]
    if trades.empty:
        return "No two components can trade a quarter of either without changing WH."
    # The larger of the two ways; pairs in order of how much can move.
    largest = trades.sort_values("mean", ascending=False).drop_duplicates(["source", "target"])
    parts = [
        f"{row['mean']:.0%} of {row['source']} to {row['target']}" for _, row in largest.iterrows()
    ]
    return f"Components can trade mass without changing WH: up to {', '.join(parts)}."
