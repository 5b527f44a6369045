"""A folder of text files that any program reads: W, H and the masses of a fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pandas as pd

from bayesnmf.posterior.output_files import LITTER, replacing, require_name, require_writable
from bayesnmf.posterior.tables import TableName, to_frame

if TYPE_CHECKING:
    from bayesnmf.posterior.result import Fit


def to_csv(fit: Fit, folder: str | os.PathLike[str], ci_prob: float = 0.9) -> None:
    """Write ``W.csv``, ``H.csv`` and ``mass.csv`` into a folder.

    Each file is the table of that name of :meth:`Fit.to_frame`, as UTF-8 text separated by commas:
    one line an entry, its labels first, then ``mean``, ``sd`` and the ends of the interval, each
    column with one meaning. ``sd`` and interval are empty for a MAP estimate. A pivot of ``mean``
    over the two labels gives the matrix.

    Parameters
    ----------
    folder : path
        A folder that is new or empty.
    ci_prob : float, default 0.9
        Probability of the equal-tailed intervals.

    Raises
    ------
    ValueError
        When the folder holds something, is a file, or has an impossible name; when `ci_prob` is no
        probability, and when the chains are in several modes.
    OSError
        When the folder around it is missing (FileNotFoundError), or nothing can be written there.

    Examples
    --------
    >>> import bayesnmf as bn, numpy as np, pandas as pd, tempfile
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> fit = bn.fit(V, bn.NMF(2), "map", progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit.to_csv(folder)
    ...     table = pd.read_csv(folder + "/W.csv")
    >>> bool(np.allclose(table.pivot(index="row", columns="component", values="mean"), fit.W))
    True
    """
    folder = Path(folder)
    require_new_folder(folder, "cannot write to")
    tables = {f"{name}.csv": to_frame(fit, name, ci_prob) for name in get_args(TableName.__value__)}
    try:
        if folder.exists():
            for name, table in tables.items():
                with replacing(folder / name) as private:
                    _write(table, private)
        else:
            with replacing(folder) as private:
                private.mkdir()
                for name, table in tables.items():
                    _write(table, private / name)
    except OSError as error:
        # Private names mean nothing to the user.
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from error


def require_new_folder(folder: Path, name: str) -> None:
    """Raise unless files can be written into a folder that is new, or there and empty.

    Parameters
    ----------
    folder : Path
    name : str
        What the path is given for, which begins the error.

    Raises
    ------
    ValueError
        When the folder holds something, is a file, or has an impossible name.
    OSError
        When the folder around it is missing (FileNotFoundError), or nothing can be written there.
    """
    require_name(folder, name)
    there = folder.is_dir()
    if not there and os.path.lexists(folder):
        raise ValueError(f"{name} {folder}: that is a file: give the name of a folder")
    if there and any(entry.name not in LITTER for entry in folder.iterdir()):
        raise ValueError(f"{name} {folder}: that folder is not empty: give the name of a new one")
    require_writable(folder if there else folder.parent, f"{name} {folder}")


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
