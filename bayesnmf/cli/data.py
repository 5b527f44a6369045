"""The options by which commands read data, and what they do with them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesnmf.data import files
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.likelihoods import Likelihood, as_likelihood

#: Endings in the help, with those that may be compressed first.
ENDINGS = "csv, tsv, txt, mtx (or these with .gz), npy, npz or parquet"


Data = Annotated[Path, typer.Argument(metavar="DATA", help=f"Matrix, rows are samples: {ENDINGS}.")]


Names = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        show_default="recognised",
        help="Column of the row names: its name, its number from 1, or none.",
    ),
]


Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        show_default="recognised",
        help="Whether the first line of a text file holds column names.",
    ),
]


ReadBudget = Annotated[
    float | None,
    typer.Option(
        metavar="GIB",
        min=0,
        show_default="4",
        help="Most memory that the content of a data file may take.",
    ),
]


Sigma = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="gaussian: known standard deviation of every cell, read as DATA and matched by names.",
    ),
]


Exposure = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="poisson, negative_binomial, gamma: known exposure of every cell, or a column with one "
        "of every row, read as DATA and matched by names.",
    ),
]


Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


Result = Annotated[Path, typer.Argument(metavar="FILE", help="A result of bayesnmf fit.")]


def listed(choices: Any) -> str:
    """Return the help of an option with a fixed set of values.

    Examples
    --------
    >>> listed(("auto", "newton", "mu"))
    'auto, newton or mu'
    """
    *most, last = choices
    return f"{', '.join(most)} or {last}" if most else last


@dataclass(frozen=True)
class Layout:
    """What the options say of data files: row names, header, and most GiB of memory."""

    names: str | None
    header: bool | None
    read_budget: float | None

    def read(self, path: Path) -> Any:
        """Read a data file."""
        budget = None if self.read_budget is None else int(self.read_budget * 2**30)
        read = partial(files.read, path, header=self.header, budget=budget)
        if self.names is None or self.names == "none":
            return read(names=None if self.names is None else False)
        if self.names.isdigit() and int(self.names) > 0:
            # A column of that name comes before the column of that number.
            with suppress(ValueError):
                return read(names=self.names)
            return read(names=int(self.names) - 1)
        return read(names=self.names)

    def read_known(self, sigma: Path | None, exposure: Path | None) -> dict[str, Any]:
        """Read the tables of known parameters, each labelled where its file is."""
        paths = {"sigma": sigma, "exposure": exposure}
        return {name: self.read(path) for name, path in paths.items() if path is not None}


def likelihoods_of(names: str, known: Mapping[str, Any]) -> dict[str, Likelihood]:
    """Return likelihoods by their names, separated by commas, each with what it knows.

    Raises
    ------
    ValueError
        When a name is not known, or a parameter belongs to none of them.
    """
    chosen = {name: as_likelihood(name) for name in names.split(",")}
    for parameter in known:
        owners = [name for name, cls in LIKELIHOODS.items() if parameter in cls.parameters]
        if not any(name in owners for name in chosen):
            raise ValueError(
                f"--{parameter} belongs to the likelihood {' or '.join(owners)}, not to "
                f"{' or '.join(chosen)}"
            )
    return {
        name: replace(
            likelihood,
            **{
                parameter: value
                for parameter, value in known.items()
                if parameter in likelihood.parameters
            },
        )
        for name, likelihood in chosen.items()
    }
