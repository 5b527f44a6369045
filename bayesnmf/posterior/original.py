"""Factors as they were sampled, before the scale of H was moved into W: what the priors see."""

from __future__ import annotations

import numpy as np

from bayesnmf.posterior.result import Fit


def original_factors(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return W and H as the priors see them, of shapes (draw, …)."""
    posterior = fit.tree["posterior"].dataset
    scale = fit.tree["sample_stats"].dataset["scale"].to_numpy()
    W = posterior["W"].to_numpy() / scale[..., None, :]
    H = posterior["H"].to_numpy() * scale[..., None]
    return W.reshape(-1, *W.shape[2:]), H.reshape(-1, *H.shape[2:])
