"""select_rank: how many components these data support."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesnmf.data import MatrixLike
from bayesnmf.likelihoods import Likelihood
from bayesnmf.methods import MAP, MethodLike
from bayesnmf.posterior.output_files import RESULTS, require_target
from bayesnmf.posterior.result import Fit
from bayesnmf.priors import Prior
from bayesnmf.progress import Part, Progress, showing
from bayesnmf.rank.ard import automatic_range, kept_by_ard
from bayesnmf.rank.at_map import measure_at_map
from bayesnmf.rank.measures import MEASURED, Measures, folds_of, measure_draws
from bayesnmf.rank.result import RankSelection
from bayesnmf.rank.rule import add_differences
from bayesnmf.rank.settings import Criterion, Settings, as_ranks, settings_of


def select_rank(
    V: MatrixLike,
    ranks: Iterable[int] | Literal["auto"] | None = None,
    likelihood: str | Likelihood = "poisson",
    method: MethodLike = "map",
    *,
    prior_W: str | Prior = "gamma",
    prior_H: str | Prior = "gamma",
    W: ArrayLike | None = None,
    H: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    rows: Sequence[Hashable] | None = None,
    columns: Sequence[Hashable] | None = None,
    layer: str | None = None,
    criterion: Criterion = "auto",
    n_folds: int = 5,
    n_replicates: int = 99,
    executor: Executor | None = None,
    resume_from: RankSelection | str | os.PathLike[str] | None = None,
    save_to: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> RankSelection:
    """Choose the number of components by predictive checks.

    The rank chosen is the smallest that passes the residual check (the leading singular value
    of the Pearson residual is no larger than in replicated data, at level 0.05) and whose
    predictive density of cells left out (elpd) is within one standard error of the best; where none
    is, see :attr:`RankSelection.best`. Every other criterion stands beside it in the table.

    Parameters
    ----------
    V : array, table, SciPy sparse or AnnData of shape (n_rows, n_columns)
        Data, as for :func:`bayesnmf.fit`; NaN means missing. Sparse data are expanded.
    ranks : iterable of int or "auto", optional
        Ranks to try, in any order; one of them is returned. None: 1 to 10, or to the smaller side
        of V. "auto": 1 to two more than the number of components that automatic relevance
        determination (:class:`bayesnmf.priors.ARD`) keeps of twenty.
    likelihood : str or Likelihood, default "poisson"
        As for :class:`bayesnmf.NMF`.
    method : {"map", "svi", "mcmc"} or record, default "map"
        "map": the MAP estimate in log space, with replicates that are fitted again and
        cross-validation around it; fast. "svi", "mcmc": draws, with posterior predictive checks.
    prior_W, prior_H : str or Prior, default "gamma"
        As for :class:`bayesnmf.NMF`; they must be proper.
    W, H : DataFrame, DataArray or array, optional
        Known components, as for :class:`bayesnmf.NMF`. A rank is then the number of free components
        beside them, from 0.
    mask, rows, columns, layer : optional
        As for :func:`bayesnmf.fit`: observed cells, names for data without, the layer of an AnnData.
    criterion : {"auto", "kfold", "loo"}, default "auto"
        Where the elpd comes from. "auto": "kfold" for "map", "loo" for draws.
    n_folds : int, default 5
        Number of folds.
    n_replicates : int, default 99
        Replicates of the residual check.
    executor : concurrent.futures.Executor, optional
        Where folds and replicates run; None: here. Results do not depend on it.
    resume_from : RankSelection or path, optional
        An earlier sweep of the same data with the same settings: its ranks are not fitted again.
    save_to : path, optional
        Where the sweep is written after every rank, ``.nc`` or ``.zarr``: even a run that is killed
        loses no more than the rank in hand. Where it cannot be written any more, as on a full disk,
        the sweep continues with a warning, and what it returns holds every rank.
    seed : int, default 0
        Same arguments and seed give the same result.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    RankSelection
        With ``table``, ``best``, ``message``, ``verdicts``, ``fits``, ``plot()`` and ``save()``.
        Interrupted by Ctrl-C it holds the ranks that were finished, and says so.

    Raises
    ------
    ValueError, TypeError
        For ranks that are empty, below 1 or above the smaller side of V; flat priors; an earlier
        sweep of other data or settings; and all that :func:`bayesnmf.fit` raises.

    Notes
    -----
    By MAP, a rank costs one search from several starts, `n_folds` refits and `n_replicates` short
    ones. The first rank takes some seconds more to compile programs that further ranks share.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(20, 15, 1, "poisson", seed=1)
    >>> selection = select_rank(V, [1], n_replicates=19, progress=False)
    >>> selection.best, selection.table.index.tolist()
    (1, [1])
    """
    settings = settings_of(
        V,
        mask,
        likelihood,
        method,
        prior_W,
        prior_H,
        criterion,
        rows=rows,
        columns=columns,
        layer=layer,
        W=W,
        H=H,
        n_folds=n_folds,
        n_replicates=n_replicates,
        seed=seed,
        executor=executor,
    )
    if save_to is not None:
        require_target(Path(save_to), RESULTS, "save_to")
    done = _earlier(settings, resume_from)
    keeper, notes = _Keeper(save_to), []
    with showing(progress) as shown:
        if isinstance(ranks, str) and ranks == "auto":
            shown.stage("ranks to try", 1)
            ranks, note = automatic_range(settings)
            notes.append(note)
        asked = as_ranks(ranks, settings.matrix.shape, settings.model.n_known)
        interrupted = _sweep(settings, asked, done, keeper, shown)
        finished = _finished(asked, done)
        if interrupted:
            left = ", ".join(str(rank) for rank in asked if rank not in done)
            notes.append(f"Interrupted before rank {left}: continue with resume_from")
        else:
            shown.stage("components that ARD keeps", 1)
            _count_by_ard(settings, finished)
    selection = _selected(settings, finished, notes)
    keeper.save(selection)
    return selection


class _Keeper:
    """Saves a sweep, and warns once where that fails: ranks that took hours are not thrown away."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path, self.warned = path, False

    def save(self, selection: RankSelection) -> None:
        """Save the sweep as it is, if there is a path."""
        if self.path is None:
            return
        try:
            selection.save(self.path)
        except (OSError, ValueError, MemoryError) as error:
            if not self.warned:
                warnings.warn(
                    f"the sweep could not be saved to {self.path} ({error}): it continues, and what it "
                    "returns holds every rank, so save that elsewhere",
                    stacklevel=3,
                )
            self.warned = True


def _sweep(
    settings: Settings,
    asked: list[int],
    done: dict[int, Measures],
    keeper: _Keeper,
    progress: Progress,
) -> bool:
    """Measure the ranks that are not done, and return whether Ctrl-C left any."""
    waiting = [rank for rank in asked if rank not in done]
    for number, rank in enumerate(waiting):
        progress.stage(f"rank {rank}", len(waiting), number)
        try:
            measures = _measure(settings, rank, done, Part(progress))
            if measures.fit.interrupted:
                # A sampler keeps the draws made so far, which are no fair measure of a rank.
                raise KeyboardInterrupt
            done[rank] = measures
            if keeper.path is not None:
                keeper.save(_selected(settings, _finished(asked, done), []))
        except KeyboardInterrupt:
            if not _finished(asked, done):
                raise
            break
    return len(_finished(asked, done)) < len(asked)


def _finished(asked: list[int], done: dict[int, Measures]) -> dict[int, Measures]:
    return {rank: done[rank] for rank in asked if rank in done}


def _measure(
    settings: Settings, rank: int, done: dict[int, Measures], progress: Progress
) -> Measures:
    begin = perf_counter()
    if isinstance(settings.method, MAP):
        smaller = [other for other in done if other < rank]
        previous: Fit | None = done[max(smaller)].fit if smaller else None
        measures = measure_at_map(settings, rank, previous, progress)
    else:
        measures = measure_draws(settings, rank, progress)
    measures.values["seconds"] = perf_counter() - begin
    return measures


def _count_by_ard(settings: Settings, finished: dict[int, Measures]) -> None:
    """Let the largest rank, and no other, tell how many components ARD keeps of as many.

    Ctrl-C leaves the count out: the ranks are finished.
    """
    for rank, measures in finished.items():
        if rank != max(finished):
            measures.values.pop("ard", None)
        elif np.isnan(measures.values.get("ard", np.nan)):
            with suppress(KeyboardInterrupt):
                measures.values["ard"] = float(kept_by_ard(settings, rank))


def _earlier(
    settings: Settings, resume_from: RankSelection | str | os.PathLike[str] | None
) -> dict[int, Measures]:
    """Return the ranks that an earlier sweep has measured, after comparing what was asked."""
    if resume_from is None:
        return {}
    if isinstance(resume_from, (str, os.PathLike)):
        resume_from = RankSelection.load(resume_from)
    if not isinstance(resume_from, RankSelection):
        raise TypeError(
            f"resume_from must be a RankSelection or its file, not {type(resume_from).__name__}"
        )
    _require_same_question(settings.describe(), resume_from.settings)
    table = resume_from.table
    note = folds_of(settings)[1] if settings.criterion == "kfold" else ""
    return {
        int(rank): Measures(
            resume_from.fits[int(rank)],
            resume_from.elpd_i[i],
            # A file of an earlier version lacks columns that are new.
            {name: float(table.loc[rank, name]) for name in MEASURED if name in table},
            note,
        )
        for i, rank in enumerate(table.index)
    }


def _require_same_question(asked: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Raise unless an earlier sweep has the same data and settings."""
    if "names" in earlier and earlier["names"] != asked["names"]:
        raise ValueError(
            "the earlier sweep cannot be continued: the rows or columns of its data have other "
            "names, or another order. Give V as it was"
        )
    for name, value in asked.items():
        if name != "names" and earlier.get(name) != value:
            raise ValueError(
                f"the earlier sweep cannot be continued: its {name} is "
                f"{earlier.get(name)!r}, not {value!r}"
            )


def _selected(settings: Settings, finished: dict[int, Measures], notes: list[str]) -> RankSelection:
    index = pd.Index(list(finished), name="rank")
    columns = {
        name: [measures.values.get(name, np.nan) for measures in finished.values()]
        for name in MEASURED
    }
    elpd_i = np.stack([measures.elpd_i for measures in finished.values()])
    notes = [*(measures.note for measures in finished.values() if measures.note), *notes]
    table = add_differences(pd.DataFrame(columns, index), elpd_i)
    fits = {rank: measures.fit for rank, measures in finished.items()}
    return RankSelection(table, fits, elpd_i, settings.describe(), list(dict.fromkeys(notes)))
