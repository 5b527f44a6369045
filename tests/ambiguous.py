"""A matrix with two exact factorisations, and draws around both."""

from __future__ import annotations

from typing import Any

import numpy as np
import synthetic

import bayesnmf as bn

#: Rank 3 and non-negative rank 4: V = V I = I V. Scaling and relabelling components does not
#: turn one factorisation into the other.
V = np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]])
LEVEL = 60.0
#: W and H of each.
EXACT = [(V, np.eye(4)), (np.eye(4), V)]


def draws(which: Any = (0, 1, 0), n_draws: int = 60, noise: float = 0.05, seed: int = 0) -> Any:
    """Return draws of W and H; chain c is around factorisation ``which[c]``."""
    rng = np.random.default_rng(seed)
    shape = (len(which), n_draws, 4, 4)
    W = np.stack([EXACT[i][0] for i in which])[:, None] + 0.02
    H = np.stack([EXACT[i][1] for i in which])[:, None] + 0.02
    W = LEVEL * W * rng.lognormal(0, noise, shape)
    # Components have different masses, which keeps their order.
    return W * [1.3, 1.1, 0.9, 0.7], H * rng.lognormal(0, noise, shape)


def fitted(which: Any = (0, 1, 0), better: int = 0, **options: Any) -> bn.Fit:
    """Return a fit of such draws, in which one factorisation has the higher log density."""
    W, H = draws(which, **options)
    lp = np.random.default_rng(1).normal(size=W.shape[:2])
    lp += 10.0 * (np.array(which) == better)[:, None]
    data = np.random.default_rng(2).poisson(LEVEL * V + 2.0) + 0.0
    return synthetic.assembled(W, H, V=data, lp=lp)
