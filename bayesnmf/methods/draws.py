"""What every method returns: values of the model's sites, always (chain, draw, …)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Draws:
    """Draws of the latent sites, before components are scaled and matched.

    Parameters
    ----------
    sites : mapping of str to ndarray of shape (chain, draw, …)
        Values of W, H and of every other latent site. A mode is one chain of one draw.
    stats : mapping of str to ndarray of shape (chain, draw)
        Sampler statistics, by ArviZ's names; "lp" is the log joint density.
    converged : bool or None
        Whether the method met its own criterion; None where only a diagnosis of the draws
        can tell.
    message : str
        How the run ended, in one or two sentences.
    info : mapping
        Scalars and short lists worth keeping with the result.
    state : mapping of str to ndarray, optional
        Opaque numbers from which the method can go on; None where it cannot.
    interrupted : bool
        Whether Ctrl-C ended the run, with the draws that it had made.
    """

    sites: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]
    converged: bool | None
    message: str
    info: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, np.ndarray] | None = None
    interrupted: bool = False
