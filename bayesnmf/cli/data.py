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
ENDINGS = "csv, tsv, txt, mtx (or these with .gz), npy, npz, parquet or h5ad"


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


Columns = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        show_default="all but the names",
        help="Columns of data: names or numbers from 1, separated by commas; FIRST:LAST for several.",
    ),
]


Separator = Annotated[
    str | None,
    typer.Option(
        metavar="SIGN",
        show_default="what the ending says",
        help="What separates the cells of a text file: comma, semicolon, tab, space or one sign.",
    ),
]


Decimal = Annotated[
    str, typer.Option(metavar="SIGN", help="What begins the fraction of a number: point or comma.")
]


Layer = Annotated[str | None, typer.Option(metavar="NAME", help="h5ad: layer in the place of X.")]


Transpose = Annotated[
    bool,
    typer.Option("--transpose", help="Swap rows and columns: the columns of DATA are samples."),
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


Reference = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Known components, a row each, read as DATA and matched with its columns by name.",
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


#: Words for signs that a shell would change.
SIGNS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "point": "."}


@dataclass(frozen=True)
class Layout:
    """What the options say of data files, as they are written on the command line.

    Parameters
    ----------
    names, columns, separator, decimal, layer : str or None
    header : bool or None
    transpose : bool
        Of the data alone, not of the tables of known parameters.
    read_budget : float or None
        GiB.
    """

    names: str | None = None
    header: bool | None = None
    columns: str | None = None
    separator: str | None = None
    decimal: str = "point"
    layer: str | None = None
    transpose: bool = False
    read_budget: float | None = None

    def read(self, path: Path) -> Any:
        """Read the data file."""
        listed = None if self.columns is None else self.columns.split(",")
        columns = None if listed is None else [column.strip() for column in listed]
        return self._read(path, columns=columns, layer=self.layer, transpose=self.transpose)

    def _read(self, path: Path, **options: Any) -> Any:
        separator = None if self.separator is None else SIGNS.get(self.separator, self.separator)
        read = partial(
            files.read,
            path,
            header=self.header,
            separator=separator,
            decimal=SIGNS.get(self.decimal, self.decimal),
            budget=None if self.read_budget is None else int(self.read_budget * 2**30),
            **options,
        )
        if self.names is None or self.names == "none":
            return read(names=None if self.names is None else False)
        if self.names.isdigit() and int(self.names) > 0:
            # A column of that name comes before the column of that number.
            with suppress(ValueError):
                return read(names=self.names)
            return read(names=int(self.names) - 1)
        return read(names=self.names)

    def read_reference(self, path: Path | None) -> Any:
        """Read a table of known components, or return None where there is none."""
        return None if path is None else self.read(path)

    def read_known(self, sigma: Path | None, exposure: Path | None) -> dict[str, Any]:
        """Read the tables of known parameters, each labelled where its file is."""
        paths = {"sigma": sigma, "exposure": exposure}
        return {name: self._read(path) for name, path in paths.items() if path is not None}


def require_rank(rank: int | None, reference: Path | None, verb: str) -> None:
    """Raise when neither a number of components is given nor known ones."""
    if rank is None and reference is None:
        raise ValueError(
            "--rank is missing: give the number of components, or known ones by --reference (see "
            f"bayesnmf {verb} --help)"
        )


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
