"""Weights of components in rows, as a figure shows them: the largest components, and the sum of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesnmf.plots.colours import OTHERS, component_colour, dashes_of, hatch_of
from bayesnmf.plots.intervals import described
from bayesnmf.plots.names import shown
from bayesnmf.plots.row_order import RowOrder
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.summary import tails_of

#: Components that have a colour and a pattern of their own; with more, the smallest are drawn as one.
MAX_COMPONENTS = 12


@dataclass(frozen=True)
class Weights:
    """Draws of W of some rows, or of its shares.

    Parameters
    ----------
    draws : ndarray of shape (draw, component, row)
    names : sequence of str
        Names of components as a figure can show them.
    n_others : int
        Number of components of which the last one is the sum, or 0.
    """

    draws: np.ndarray
    names: Sequence[str]
    n_others: int = 0

    @classmethod
    def of(cls, fit: Fit, order: RowOrder, share: bool) -> Weights:
        """Return the weights of rows in an order; `share` divides each row by its sum."""
        W = fit.tree["posterior"].dataset["W"].isel(row=order.rows)
        W = W.transpose("chain", "draw", "component", "row")
        draws = W.to_numpy().reshape(-1, *W.shape[2:])
        if share:
            draws = shares_of(draws, axis=1)
        return cls(draws, [shown(name) for name in W["component"].to_numpy()])

    def of_few(self) -> Weights:
        """Return the weights with the smallest of many components added up."""
        n_components = len(self.names)
        if n_components <= MAX_COMPONENTS:
            return self
        size = self.draws.mean(axis=(0, 2))
        kept = np.sort(np.argsort(-size, kind="stable")[: MAX_COMPONENTS - 1])
        rest = np.setdiff1d(np.arange(n_components), kept)
        others = self.draws[:, rest].sum(axis=1, keepdims=True)
        draws = np.concatenate([self.draws[:, kept], others], axis=1)
        names = [*(self.names[k] for k in kept), f"{len(rest)} others"]
        return Weights(draws, names, len(rest))

    def summed(self) -> Weights:
        """Return the sums of each component and those before it: the heights of a stack."""
        return Weights(np.cumsum(self.draws, axis=1), self.names, self.n_others)

    @property
    def mean(self) -> np.ndarray:
        """Posterior means, of shape (component, row)."""
        return self.draws.mean(axis=0)

    @property
    def has_draws(self) -> bool:
        """Whether there are two draws or more, which have intervals."""
        return len(self.draws) > 1

    def bounds(self, ci_prob: float) -> np.ndarray | None:
        """Return the ends of the intervals, of shape (2, component, row), or None of a single draw."""
        tails = tails_of(ci_prob)
        if not self.has_draws:
            return None
        # One component at a time, since a sort copies.
        parts = [np.quantile(self.draws[:, k], tails, axis=0) for k in range(len(self.names))]
        return np.stack(parts, axis=1)

    def described(self, ci_prob: float) -> str:
        """Say what the numbers are."""
        return described(self.draws if self.has_draws else None, ci_prob)

    def colour(self, k: int) -> str:
        """Return the colour of component k."""
        return OTHERS if self._is_rest(k) else component_colour(k)

    def hatch(self, k: int) -> str:
        """Return the pattern of bars of component k."""
        return "" if self._is_rest(k) else hatch_of(k)

    def dashes(self, k: int) -> str:
        """Return the dashes of the line of component k."""
        return "-" if self._is_rest(k) else dashes_of(k)

    def _is_rest(self, k: int) -> bool:
        return self.n_others > 0 and k == len(self.names) - 1


def shares_of(draws: np.ndarray, axis: int) -> np.ndarray:
    """Divide by sums along an axis; what sums to 0 stays 0.

    Examples
    --------
    >>> shares_of(np.array([[1.0, 3.0], [0.0, 0.0]]), axis=1).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    total = draws.sum(axis=axis, keepdims=True)
    return np.divide(draws, total, out=np.zeros_like(draws), where=total > 0)
