"""Predictive densities of what is left out, cell by cell or row by row, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

type Task = Literal["cell", "row"]


@dataclass(frozen=True)
class Estimates:
    """Predictive densities of the units that a task leaves out, one at a time.

    Parameters
    ----------
    task : {"cell", "row"}
        What is left out.
    rows : ndarray of int of shape (n,)
        Position of each unit's row.
    columns : ndarray of int of shape (n,), or None
        Position of each cell's column; None where whole rows are left out.
    elpd, lppd : ndarray of shape (n,)
        Log density of each unit given the others, and given all data; NaN where it is not known.
    k : ndarray of shape (n,)
        Pareto shape of the estimate; 0 where it needs none.
    estimator : ndarray of str of shape (n,)
        Where each number came from.
    n_refits, converged_refits : int
        Refits that numbers came from, and how many of them converged.
    """

    task: Task
    rows: np.ndarray
    columns: np.ndarray | None
    elpd: np.ndarray
    lppd: np.ndarray
    k: np.ndarray
    estimator: np.ndarray
    n_refits: int = 0
    converged_refits: int = 0

    @classmethod
    def empty(cls, task: Task, observed: np.ndarray, estimator: str) -> Estimates:
        """Return estimates, all unknown, for the observed cells or for every row."""
        if task == "cell":
            rows, columns = np.nonzero(observed)
        else:
            rows, columns = np.arange(len(observed)), None
        unknown, source = np.full(len(rows), np.nan), np.full(len(rows), estimator, dtype=object)
        return cls(task, rows, columns, unknown, unknown, np.zeros(len(rows)), source)

    def with_units(
        self, units: np.ndarray, elpd: np.ndarray, k: np.ndarray | float, estimator: str
    ) -> Estimates:
        """Return these estimates with those of some units replaced.

        Parameters
        ----------
        units : ndarray of int of shape (m,)
            Positions among the units.
        elpd : ndarray of shape (m,)
        k : ndarray of shape (m,), or float
        estimator : str
            Where the new numbers come from.
        """
        new = {name: getattr(self, name).copy() for name in ("elpd", "k", "estimator")}
        for name, values in (("elpd", elpd), ("k", k), ("estimator", estimator)):
            new[name][units] = values
        return replace(self, **new)

    def mask(self, units: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return which cells of the matrix some units are."""
        assert self.columns is not None  # the units are cells
        mask = np.zeros(shape, bool)
        mask[self.rows[units], self.columns[units]] = True
        return mask

    def labelled(self, names: Mapping[str, Any], **values: np.ndarray) -> tuple[xr.DataArray, ...]:
        """Label values of the units: dimension "cell", or "row".

        Coordinates are held once for all, and text by reference: there may be 10**7 cells.

        Parameters
        ----------
        names : dict
            Names of rows and columns, by "row" and "column".
        **values
            What to label, by its name.
        """
        names = {dim: np.asarray(names[dim]) for dim in ("row", "column")}
        for dim, labels in names.items():
            names[dim] = labels.astype(object) if labels.dtype.kind == "U" else labels
        dim = "row" if self.columns is None else "cell"
        # One value repeated takes no memory.
        source = np.broadcast_to(np.asarray(str(self.estimator[0])), self.estimator.shape)
        if (self.estimator != self.estimator[0]).any():
            source = self.estimator.astype(str)
        coords: dict[str, Any] = {"estimator": (dim, source)}
        if self.columns is None:
            coords["row"] = names["row"]
        else:
            coords["row"] = ("cell", names["row"][self.rows])
            coords["column"] = ("cell", names["column"][self.columns])
        together = xr.Dataset({name: (dim, x) for name, x in values.items()}, coords)
        return tuple(together[name] for name in values)
