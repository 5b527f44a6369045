"""RankSelection: the result of a sweep over ranks, with its file format."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesnmf.likelihoods import Likelihood
from bayesnmf.markup import fragment
from bayesnmf.model import ModelLike
from bayesnmf.posterior import archive
from bayesnmf.posterior.loading import from_tree, warn_of_no_model
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.sampler_state import with_state
from bayesnmf.posterior.structure import parsed, require_sweep
from bayesnmf.rank import plot as rank_plot
from bayesnmf.rank import rule as rank_rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Columns that the text shows, and how.
SHOWN = {
    "elpd": "{:.1f}",
    "se": "{:.1f}",
    "elpd_diff": "{:.1f}",
    "dse": "{:.1f}",
    "waic": "{:.1f}",
    "bad_k": "{:.1%}",
    "residual_p": "{:.3f}",
    "dispersion": "{:.3f}",
    "dispersion_p": "{:.3f}",
    "elbo": "{:.1f}",
    "stability": "{:.3f}",
    "ard": "{:.0f}",
    "seconds": "{:.1f}",
}


@dataclass(frozen=True, eq=False)
class RankSelection:
    """A choice of the number of components, with everything that it rests on.

    Returned by :func:`bayesnmf.select_rank`. :attr:`best` is the rank chosen, :attr:`message` says
    why, :attr:`best_fit` is the fit of that rank, :meth:`plot` shows all ranks, and :attr:`table`
    has the numbers.

    Parameters
    ----------
    table : DataFrame
        One row a rank. ``elpd``, ``se``: log density of cells left out, and its standard error;
        ``elpd_diff``, ``dse``: the same relative to the best rank, compared cell by cell;
        ``waic``; ``bad_k``: share of cells whose Pareto k is bad; ``residual_p``: p-value of the
        residual check; ``dispersion``, ``dispersion_p``: mean squared Pearson residual, and the
        share of replicates in which it is as large; ``elbo``; ``stability``: mean cosine between
        matched components of the starts, or chains; ``ard``: how many components automatic
        relevance determination keeps of as many as the largest rank, in whose row it stands;
        ``converged``; ``seconds``. NaN where a method has no such number.
    fits : dict of int to Fit
        The fit of each rank.
    elpd_i : ndarray of shape (n_ranks, n_cells)
        Log predictive density of each observed cell, in row order.
    settings : dict
        What was asked: data (a digest), model, method and its options, criterion, seed.
    notes : list of str
        What could not be measured, and whether the sweep was interrupted.
    """

    table: pd.DataFrame
    fits: dict[int, Fit]
    elpd_i: np.ndarray
    settings: dict[str, Any]
    notes: list[str]

    @property
    def best(self) -> int:
        """The rank chosen, one of those asked for.

        The smallest that passes the residual check and is within one standard error of the best
        elpd. Where no rank does both, the smallest within one standard error of the best elpd; without
        an elpd, the residual check decides.
        """
        return rank_rule.choose(self.table)

    @property
    def best_fit(self) -> Fit:
        """The fit of the chosen rank."""
        return self.fits[self.best]

    @property
    def verdicts(self) -> dict[str, int | None]:
        """The rank that each criterion alone would choose, None where it chooses none."""
        return rank_rule.verdicts_of(self.table)

    @property
    def message(self) -> str:
        """The choice in words: why, what disagrees, and what to look at."""
        likelihood = self.settings["model"]["likelihood"]["name"]
        limit = min(self.settings["shape"])
        return rank_rule.explain(self.table, self.best, likelihood, self.notes, limit)

    def plot(self) -> Figure:
        """Draw elpd with error bars, the residual check and stability against rank.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return rank_plot.draw(self.table, self.best)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to ``.nc`` (HDF5 netCDF) or ``.zarr``; :meth:`load` reads it.

        As :meth:`Fit.save` does: in one step, with a checksum, and only over an earlier result.

        Raises
        ------
        ValueError
            When the name ends in something else, or is that of a folder that is no result.
        OSError
            When it cannot be written; an earlier result stays.
        """
        ranks = self.table.index.to_numpy()
        numbers = {name: ("rank", self.table[name].to_numpy(float)) for name in self.table.columns}
        numbers["elpd_i"] = (("rank", "cell"), self.elpd_i)  # type: ignore[assignment]
        root = xr.Dataset(
            attrs={
                archive.SWEEP_ATTRIBUTE: json.dumps(
                    {
                        "settings": self.settings,
                        "notes": self.notes,
                        "columns": list(self.table.columns),
                    }
                )
            }
        )
        nodes: dict[str, Any] = {"/": root, "/criteria": xr.Dataset(numbers, {"rank": ranks})}
        tree = xr.DataTree.from_dict(nodes)
        for rank, fit in self.fits.items():
            tree[f"fits/rank_{rank}"] = with_state(fit.tree.copy(), fit.sampler_state)
        archive.write(tree, path)

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        *,
        trust: bool = False,
        likelihoods: Sequence[type[Likelihood]] = (),
    ) -> RankSelection:
        """Read a sweep that :meth:`save` wrote.

        Parameters
        ----------
        path : path
            A ``.nc`` file or a ``.zarr`` folder.
        trust, likelihoods :
            As for :func:`bayesnmf.load`.

        Raises
        ------
        FileNotFoundError
            When there is nothing at `path`.
        ValueError
            When it holds something other than a sweep, or is damaged.
        """
        tree = archive.read(
            path,
            (archive.SWEEP_ATTRIBUTE,),
            "a sweep over ranks (write one with bn.select_rank(...).save)",
            trust=trust,
        )
        return _from_tree(tree, path, trust, likelihoods)

    @property
    def _shown(self) -> pd.DataFrame:
        """The table as text, without what was not measured, and with a mark at the chosen rank."""
        shown = pd.DataFrame(index=self.table.index)
        for name, written in SHOWN.items():
            column = self.table.get(name, pd.Series(np.nan, self.table.index))
            if column.notna().any():
                shown[name] = [written.format(x) if x == x else "" for x in column]  # noqa: PLR0124
        marks = ["<-" if rank == self.best else "" for rank in shown.index]
        return shown.assign(best=marks)

    def __repr__(self) -> str:
        return f"{self.message}\n{self._shown.to_string()}"

    def _repr_html_(self) -> str:
        return fragment("RankSelection", self.message, self._shown)


def load(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    model: ModelLike | None = None,
    likelihoods: Sequence[type[Likelihood]] = (),
) -> Fit | RankSelection:
    """Read what :meth:`Fit.save` or :meth:`RankSelection.save` wrote.

    No code that a file names is run, unless you ask for it: of models that are programs, those of
    the zoo come back by their names. A fit of any other program is loaded with ``fit.model`` None.

    Parameters
    ----------
    path : path
        A ``.nc`` file or a ``.zarr`` folder.
    trust : bool, default False
        Whether you know where the file comes from. Then the Python file that it names as its model,
        if it does, is run, and a file without a checksum is read.
    model : NMF, Program or callable, optional
        The model of a fit, in the place of the one that the file describes.
    likelihoods : sequence of Likelihood classes
        Likelihoods of your own that the file may name. A fit under one that is not given is loaded
        with ``fit.model`` None.

    Returns
    -------
    Fit or RankSelection
        Whichever was saved.

    Raises
    ------
    FileNotFoundError
        When there is nothing at `path`.
    ValueError
        When it holds something other than a bayesnmf result, has changed since it was saved, or has
        no checksum; and for a `model` of another number of components, or for a sweep.

    Warns
    -----
    UserWarning
        When a fit is loaded without its model.

    Examples
    --------
    >>> import bayesnmf as bn, tempfile
    >>> V, _, _ = bn.datasets.make_nmf(6, 5, 1, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(1), "map", progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit.save(folder + "/fit.nc")
    ...     load(folder + "/fit.nc").model == fit.model
    True
    """
    tree = archive.read(path, (archive.MODEL_ATTRIBUTE, archive.SWEEP_ATTRIBUTE), trust=trust)
    if archive.SWEEP_ATTRIBUTE in tree.attrs:
        if model is not None:
            raise ValueError(
                f"{path} is a sweep over ranks, whose fits have models: leave out model="
            )
        return _from_tree(tree, path, trust, likelihoods)
    options: dict[str, Any] = {"trust": trust, "model": model, "likelihoods": likelihoods}
    fit, note = from_tree(tree, path, **options)
    if note:
        warn_of_no_model(path, note)
    return fit


def _from_tree(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    trust: bool,
    likelihoods: Sequence[type[Likelihood]],
) -> RankSelection:
    """Return the sweep that a tree describes."""
    with archive.naming(path):
        record = parsed(tree.attrs[archive.SWEEP_ATTRIBUTE])
        require_sweep(tree, record)
    numbers = tree["criteria"].to_dataset()
    index = pd.Index(numbers["rank"].to_numpy(), name="rank")
    table = pd.DataFrame({name: numbers[name].to_numpy() for name in record["columns"]}, index)
    found = {
        int(str(name).removeprefix("rank_")): from_tree(
            _root(node), path, trust=trust, likelihoods=likelihoods
        )
        for name, node in tree["fits"].children.items()
    }
    notes = [note for _, note in found.values() if note]
    if notes:  # one warning, however many fits
        warn_of_no_model(path, notes[0], stacklevel=4)
    fits = {rank: fit for rank, (fit, _) in sorted(found.items())}
    return RankSelection(
        table, fits, numbers["elpd_i"].to_numpy(), record["settings"], record["notes"]
    )


def _root(node: xr.DataTree) -> xr.DataTree:
    """Return a copy of a node as a tree of its own, which has no name."""
    tree = node.copy()
    tree.name = None
    return tree
