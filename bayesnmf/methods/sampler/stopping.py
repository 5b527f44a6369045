"""When chains have said enough: the rule behind ``MCMC(min_ess=...)``."""

from __future__ import annotations

import numpy as np

from bayesnmf.convergence import MAX_RHAT, convergence, subset
from bayesnmf.methods.matching import match_rows

#: Draws of each chain at the first look, and by what the number grows from one to the next. Rarely looked at, a
#: run seldom ends by luck.
FIRST_LOOK, GROWTH = 100, 1.5


class Enough:
    """Whether every identifiable quantity has been learned well enough.

    Looked at are cells of WH, the log density, the likelihood's parameters, the mass of each component, and entries
    of the scaled and matched factors: what :func:`bayesnmf.check` judges.

    Parameters
    ----------
    min_ess : float
        Effective draws, bulk and tail, that each must have.
    parameters : iterable of str
        Names of the likelihood's parameters.
    """

    def __init__(self, min_ess: float, parameters: tuple[str, ...]) -> None:
        self.min_ess = min_ess
        self.parameters = parameters
        self._pivot: np.ndarray | None = None
        self._parts: list[np.ndarray] = []
        self._next = FIRST_LOOK

    def add(self, sites: dict[str, np.ndarray], lp: np.ndarray) -> bool:
        """Take further draws, each (chain, draw, …); return whether those so far are enough."""
        if not lp.size:
            return False
        self._parts.append(self._quantities(sites, lp))
        n_draws = sum(part.shape[1] for part in self._parts)
        if n_draws < self._next:
            return False
        self._next = int(np.ceil(GROWTH * n_draws))
        draws = np.concatenate(self._parts, axis=1)
        found = convergence(draws[..., np.ptp(draws, axis=(0, 1)) != 0])
        # What is not a number is not enough.
        ess = np.minimum(found.ess_bulk, found.ess_tail)
        return bool(np.all(found.rhat < MAX_RHAT) and np.all(ess >= self.min_ess))

    def _quantities(self, sites: dict[str, np.ndarray], lp: np.ndarray) -> np.ndarray:
        """Return what is looked at, (chain, draw, entry)."""
        W, H = self._matched(sites["W"], sites["H"])
        rows, columns = np.unravel_index(subset(W.shape[2] * H.shape[3]), (W.shape[2], H.shape[3]))
        cells = np.einsum("cdek,cdke->cde", W[:, :, rows], H[..., columns])
        entries = [x.reshape(*lp.shape, -1) for x in (W, H)]
        entries = [x[..., subset(x.shape[-1])] for x in entries]
        scalars = [np.asarray(sites[name])[..., None] for name in self.parameters]
        return np.concatenate([cells, lp[..., None], W.sum(axis=2), *entries, *scalars], axis=2)

    def _matched(self, W: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return W that carries the mass, and H, matched to the mean of the first chain's first draws."""
        total = H.sum(axis=-1)
        total = np.where(total > 0, total, 1.0)
        W, H = W * total[..., None, :], H / total[..., None]
        if self._pivot is None:
            self._pivot = H[0].mean(axis=0)
        order = match_rows(H.reshape(-1, *H.shape[2:]), self._pivot).reshape(total.shape)
        return (
            np.take_along_axis(W, order[..., None, :], axis=-1),
            np.take_along_axis(H, order[..., None], axis=-2),
        )
