"""What every method returns: values of the model's sites, always (chain, draw, …)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesnmf.data import AnyMatrix
from bayesnmf.data.memory import require_memory
from bayesnmf.model import Model


@dataclass(frozen=True)
class Draws:
    """Draws of the latent sites, before components are scaled and matched.

    Parameters
    ----------
    sites : mapping of str to ndarray of shape (chain, draw, …)
        Values of W, H and of every other latent site. A MAP estimate is one chain of one draw.
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
        Opaque numbers from which the method can continue; None where it cannot.
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


#: How often draws are in memory at most: as the chains made them, joined, scaled and matched. Measured:
#: 2.5 times under the structured sampler, 3.2 times under SVI.
COPIES = 3


def require_room(model: Model, matrix: AnyMatrix, num_draws: int, hint: str) -> None:
    """Raise ``MemoryError`` before a run whose draws would not fit into the machine's memory.

    Parameters
    ----------
    model : NMF or Program
    matrix : Matrix or SparseMatrix
    num_draws : int
        Draws of all chains.
    hint : str
        How to ask for less.
    """
    size = model.draw_size(matrix)
    single = matrix.dtype == np.float32
    half = "" if single else ", give V as float32, which halves it"
    require_memory(
        COPIES * num_draws * size * matrix.dtype.itemsize,
        f"{num_draws} draws of the {size} numbers in W, H and the parameters",
        f"{hint}{half}, use fewer components, or method='map'",
    )
