"""What a sweep over ranks is asked to do, validated before anything is fitted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesnmf.data import Matrix, MatrixLike
from bayesnmf.data.labels import labels_of
from bayesnmf.data.storage import matrix_of
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods import MAP, Method, MethodLike, as_method
from bayesnmf.model import NMF
from bayesnmf.model.entrywise import require_alike
from bayesnmf.model.known import number_known, recorded_tables
from bayesnmf.posterior.method_record import method_to_record
from bayesnmf.posterior.model_record import model_to_json
from bayesnmf.priors import Prior
from bayesnmf.workers import require_executor

type HeldOut = Literal["kfold", "loo"]


#: The same, or the one that suits the method.
type Criterion = HeldOut | Literal["auto"]


#: Ranks 1 to this many, or to the smaller side of V, where none are asked for.
MOST_RANKS = 10


@dataclass(frozen=True)
class Settings:
    """One question asked of every rank.

    Parameters
    ----------
    matrix : Matrix
        The data.
    model : NMF
        Of rank 1; its likelihood and priors, with defaults unresolved, are those of every rank.
    method : MAP, SVI or MCMC
    criterion : {"kfold", "loo"}
        How the density of cells left out is found.
    n_folds, n_replicates, seed : int
        Folds, replicates of the residual check, random state.
    executor : concurrent.futures.Executor or None
        Where folds and replicates run.
    """

    matrix: Matrix
    model: NMF
    method: Method
    criterion: HeldOut
    n_folds: int
    n_replicates: int
    seed: int
    executor: Executor | None = None

    def __post_init__(self) -> None:
        require_executor(self.executor)
        for name, least in (("n_folds", 2), ("n_replicates", 19), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if isinstance(self.method, MAP):
            _require_searchable(self.method, self.model)
            if self.criterion == "loo":
                raise ValueError(
                    "criterion='loo' needs draws: use criterion='kfold', or method='svi' or 'mcmc'"
                )
        if not self.matrix.cells.any():
            raise ValueError("every observed cell of V is 0, so there is no component to count")
        with jax.enable_x64(self.matrix.dtype == np.float64):
            # A sweep needs a density and proper priors under every method.
            self.model.check(self.matrix, draws=True)

    def at(self, rank: int) -> NMF:
        """Return the model of one rank, resolved."""
        return self.unresolved_at(rank).resolve(self.matrix)

    def unresolved_at(self, rank: int) -> NMF:
        """Return the model of one rank: of so many free components."""
        return replace(self.model, n_components=self.model.n_known + rank)

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest rank that make sense; see :func:`rank_limits`."""
        return rank_limits(self.matrix.shape, self.model.n_known)

    @property
    def _names(self) -> tuple[pd.Index, pd.Index]:
        return self.matrix.row_names, self.matrix.column_names

    def describe(self) -> dict[str, Any]:
        """Return what two sweeps must share to be one, as plain values."""
        values = np.ascontiguousarray(self.matrix.values)
        return {
            "data": hashlib.sha256(values.tobytes()).hexdigest()[:16],
            "shape": list(values.shape),
            "names": [_digest_of_names(names) for names in self._names],
            "model": json.loads(model_to_json(self.model)),
            "arrays": _digests(self.model) or None,
            "method": self.method.name,
            "options": method_to_record(self.method)[0],
            "criterion": self.criterion,
            "n_folds": int(self.n_folds),
            "n_replicates": int(self.n_replicates),
            "seed": int(self.seed),
        }


def _digest_of_names(names: pd.Index) -> str:
    text = json.dumps(labels_of(names).tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digests(model: NMF) -> dict[str, str]:
    """Return what tells known arrays, such as exposures and components, from others, by name."""
    known = {name: x for name, x in model.likelihood.known.items() if np.ndim(x)}
    known |= {name: x for name, (_, x) in recorded_tables(model).items()}
    return {
        name: hashlib.sha256(np.asarray(x, np.float64).tobytes()).hexdigest()[:16]
        for name, x in known.items()
    }


def settings_of(
    V: MatrixLike,
    mask: ArrayLike | None,
    likelihood: str | Likelihood,
    method: MethodLike,
    prior_W: str | Prior,
    prior_H: str | Prior,
    criterion: Criterion,
    *,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    W: ArrayLike | None = None,
    H: ArrayLike | None = None,
    **others: Any,
) -> Settings:
    """Validate arguments, and fill in the criterion that suits the method."""
    record = as_method(method)
    if criterion not in ("auto", "kfold", "loo"):
        raise ValueError(f"unknown criterion {criterion!r}; valid: auto, kfold, loo")
    if criterion == "auto":
        criterion = "kfold" if record.name == "map" else "loo"
    matrix = matrix_of(V, lambda masked: False, mask, rows=rows, columns=columns, layer=layer)
    assert isinstance(matrix, Matrix)
    n_known = number_known(W, "W") + number_known(H, "H")
    model = NMF(n_known + 1, likelihood, prior_W, prior_H, W=W, H=H)
    require_alike(model)
    model = model.matched(matrix)
    return Settings(matrix, model, record, criterion, **others)


def rank_limits(shape: tuple[int, int], n_known: int = 0) -> tuple[int, int]:
    """Return the smallest and the largest rank: known components can do without free ones."""
    least = 0 if n_known else 1
    return least, max(min(shape) - n_known, least)


def as_ranks(
    ranks: Iterable[int] | str | None, shape: tuple[int, int], n_known: int = 0
) -> list[int]:
    """Return the ranks asked for, rising and each once.

    Raises
    ------
    TypeError, ValueError
        When there are none, when one is no integer, below the smallest, or above the
        largest that makes sense.

    Examples
    --------
    >>> as_ranks([3, 1, 3], (5, 4))
    [1, 3]
    """
    least, largest = rank_limits(shape, n_known)
    if ranks is None:
        return list(range(least, min(MOST_RANKS, largest) + 1))
    if isinstance(ranks, str) or not isinstance(ranks, Iterable):
        raise TypeError(f"ranks must be a range, a list of integers or 'auto', not {ranks!r}")
    asked = list(ranks)
    if not asked:
        raise ValueError("ranks is empty: give at least one rank, such as range(1, 11)")
    for rank in asked:
        if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)):
            raise TypeError(f"ranks must be integers, not {rank!r}")
        if rank < least:
            raise ValueError(f"ranks must be at least {least}, not {rank}")
        if rank > largest:
            less = f" less {n_known} known components" if n_known else ""
            raise ValueError(
                f"rank {rank} is above {largest}, the smaller side of V of shape {shape}{less}, where a "
                f"factorisation explains any data: ask for ranks up to {largest}"
            )
    return sorted({int(rank) for rank in asked})


def _require_searchable(method: MAP, model: NMF) -> None:
    if model.hyper_priors:
        raise ValueError(
            "priors whose rates are inferred, such as 'ard', have no MAP estimate in log space, which "
            "a sweep by 'map' looks for: use method='svi' or 'mcmc', or gamma priors (how many components "
            "ARD keeps is in the table in any case)"
        )
    if method.solver == "mu":
        raise ValueError(
            "a sweep over ranks refits too often for solver='mu': use 'auto', 'newton' or "
            "'accelerated'"
        )
    if not all(isinstance(init, str) for init in method.inits):
        raise ValueError("factors given as init have one rank: use init='random' or 'nndsvd'")
