"""Known components: rows of H, or columns of W, that are given and not inferred.

They are the first components of a model. Algorithms hold factors component first, so what they
infer of a factor is ``factor[n_known:]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bayesnmf.data import AnyMatrix
from bayesnmf.data.labels import component_names, labels_of, matched
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model.entrywise import named_components, tells_apart
from bayesnmf.priors import ARD, Prior
from bayesnmf.priors.rates import resolve_rates, resolve_rates_beside

if TYPE_CHECKING:
    from bayesnmf.model.nmf import NMF

#: Which axis of a table its components run along.
AXES = {"W": 1, "H": 0}


#: What the shape of a table of known components means, for errors.
SHAPES = {"W": "(row, known component)", "H": "(known component, column)"}


def as_known(table: Any, factor: Literal["W", "H"]) -> Any:
    """Return a table of known components: labelled as it is, anything else as an array.

    Raises
    ------
    TypeError, ValueError
        When it holds no numbers, has no two dimensions, or has a negative or infinite entry, an
        empty component, or a name twice. The message names the first one.
    """
    what = f"{factor}, the known components,"
    values = np.asarray(table)
    if values.dtype.kind not in "iufb" and values.dtype != object:
        raise TypeError(f"{what} must hold numbers, not {values.dtype}")
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{what} has shape {values.shape}; it must be {SHAPES[factor]}")
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must hold numbers only") from None
    names = component_names(table, AXES[factor])
    by_component = values if factor == "H" else values.T
    for wrong, word in ((~np.isfinite(by_component), "not finite"), (by_component < 0, "negative")):
        if wrong.any():
            k, j = (int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{what} holds {by_component[k, j]:g}, which is {word}, in {_named(names, k)}, entry {j}"
            )
    empty = np.flatnonzero(~by_component.any(axis=1))
    if empty.size:
        raise ValueError(f"{what} holds nothing but zeros in {_named(names, int(empty[0]))}")
    if names is not None and not names.is_unique:
        twice = names[names.duplicated()][0]
        raise ValueError(f"{what} has two components with the name {twice!r}")
    return values if names is None else table


def number_known(table: Any, factor: Literal["W", "H"]) -> int:
    """Return how many components a table holds; 0 where there is none."""
    return 0 if table is None else int(np.shape(table)[AXES[factor]])


def matched_known(table: Any, factor: Literal["W", "H"], matrix: AnyMatrix) -> Any:
    """Return known components as an array in the order of the data.

    Raises
    ------
    ValueError
        When labels do not match those of V, or the number of entries differs.
    """
    if table is None:
        return None
    rows, columns = (matrix.row_names, None) if factor == "W" else (None, matrix.column_names)
    what, size = f"{factor}, the known components", matrix.shape[1 - AXES[factor]]
    _refuse_transposed(table, factor, matrix, what)
    values = np.asarray(matched(table, rows, columns, what), matrix.dtype)
    if values.shape[1 - AXES[factor]] != size:
        word = "rows" if factor == "W" else "columns"
        raise ValueError(f"{what}, have {values.shape[1 - AXES[factor]]} {word}, but V has {size}")
    return values


class KnownTables(NamedTuple):
    """Known columns of W and known rows of H, each None where none is given."""

    W: Any
    H: Any

    @property
    def number(self) -> int | None:
        """Number of known components, or None."""
        return max(number_known(self.W, "W"), number_known(self.H, "H")) or None


class HasKnown:
    """What a model says of its known components, which are its fields W and H."""

    n_components: int
    prior_W: Prior
    prior_H: Prior
    W: Any
    H: Any

    @property
    def n_known_W(self) -> int:
        """Number of known columns of W."""
        return number_known(self.W, "W")

    @property
    def n_known_H(self) -> int:
        """Number of known rows of H."""
        return number_known(self.H, "H")

    @property
    def n_known(self) -> int:
        """Number of known components, in either factor."""
        return self.n_known_W + self.n_known_H

    @property
    def n_identified(self) -> int:
        """Number of components that keep their places: known ones, or all where priors tell them apart.

        Of a model that is matched with its data.
        """
        apart = tells_apart(self.prior_W, self.n_known_W) or tells_apart(
            self.prior_H, self.n_known_H
        )
        return self.n_components if apart else self.n_known

    @property
    def component_names(self) -> np.ndarray:
        """Labels of the components: names of known ones and of priors' tables, numbers for others.

        All of one kind: where one component has a text for a name, numbers are text too.
        """
        names: list[Any] = list(range(self.n_components))
        free = named_components(self)  # type: ignore[arg-type]
        if free is not None and len(free) == self.n_components - self.n_known:
            names[self.n_known :] = free
        for factor in ("W", "H"):
            known = component_names(getattr(self, factor), AXES[factor])
            if known is not None:
                names[: len(known)] = known
        return labels_of(pd.Index(names))


def count_components(n_components: Any, known: KnownTables) -> int:
    """Return a number of components, that of the known ones where it is None."""
    if n_components is None and known.number is None:
        raise TypeError("n_components is missing: give a number, or known components as W= or H=")
    n_components = known.number if n_components is None else n_components
    if isinstance(n_components, bool) or not isinstance(n_components, (int, np.integer)):
        raise TypeError(f"n_components must be an integer, not {n_components!r}")
    if n_components < 1:
        raise ValueError(f"n_components must be at least 1, not {n_components}")
    return int(n_components)


def known_tables(W: Any, H: Any) -> KnownTables:
    """Return both tables, checked; of the two one can be given."""
    if W is not None and H is not None:
        raise ValueError(
            "known components are given by W or by H, not by both: what is not given is inferred"
        )
    return KnownTables(
        None if W is None else as_known(W, "W"), None if H is None else as_known(H, "H")
    )


def require_consistent(model: NMF) -> None:
    """Raise for known components that the other arguments leave no place for."""
    number = model.n_known_W + model.n_known_H
    if number > model.n_components:
        raise ValueError(
            f"{number} components are known, so n_components must be at least that, not "
            f"{model.n_components}"
        )
    if number and isinstance(model.prior_W, ARD) and isinstance(model.prior_H, ARD):
        raise ValueError(
            "ARD on both factors gives the two one rate, but a known component has a prior in one of "
            "them only: give 'ard' to the factor that is inferred, and 'gamma' to the other"
        )
    labels = pd.Index(model.component_names)
    if not labels.is_unique:
        raise ValueError(
            f"two components have the name {labels[labels.duplicated()][0]!r}: give one another name "
            "(free components are numbered)"
        )


def require_reached(model: NMF, matrix: AnyMatrix) -> None:
    """Raise when V is not zero where every component is known to be: no weight explains that."""
    whole = model.n_known == model.n_components
    if not whole or takes_negative_values(model.likelihood):
        return
    factor, names = ("H", matrix.column_names) if model.H is not None else ("W", matrix.row_names)
    table = matched_known(getattr(model, factor), factor, matrix)  # type: ignore[arg-type]
    for j in map(int, np.flatnonzero(~table.any(axis=AXES[factor]))):
        cells = (
            matrix.column(j)
            if factor == "H"
            else matrix.block(np.array([j]), np.arange(matrix.n_columns))
        )
        if np.nansum(cells) > 0:
            word = "column" if factor == "H" else "row"
            raise ValueError(
                f"{word} {labels_of(names)[j]} of V is not zero, but it is in all known components: add "
                f"a free component (n_components={model.n_known + 1}), or leave the {word} out"
            )


def recorded_tables(model: NMF) -> dict[str, tuple[list[str], Any]]:
    """Return the known components as a fit keeps them: their dimensions and values, by name."""
    tables = {
        "known_W": (["row", "known"], model.W),
        "known_H": (["known", "column"], model.H),
    }
    return {name: pair for name, pair in tables.items() if pair[1] is not None}


def resolved_priors(model: NMF, mean: float) -> tuple[Prior, Prior]:
    """Return the priors of W and H with every rate set, so that the prior mean of WH is `mean`."""
    prior_W, prior_H, k = model.prior_W, model.prior_H, model.n_components
    if model.H is not None:
        return resolve_rates_beside(prior_W, prior_H, mean, k, model.H, model.n_known_H)
    if model.W is not None:
        return resolve_rates_beside(prior_H, prior_W, mean, k, model.W, model.n_known_W)[::-1]
    return resolve_rates(prior_W, prior_H, mean, k)


def _refuse_transposed(table: Any, factor: str, matrix: AnyMatrix, what: str) -> None:
    """Raise when a labelled table has the names of the data along its components."""
    word, other, names = ("rows", "columns", matrix.row_names)
    if factor == "H":
        word, other, names = ("columns", "rows", matrix.column_names)
    along, across = (component_names(table, axis) for axis in (AXES[factor], 1 - AXES[factor]))
    if along is None or across is None:
        return
    wanted, here, there = (set(labels_of(index)) for index in (names, along, across))
    if here == wanted != there:
        raise ValueError(f"{what}, has the names of V's {word} in its {other}: give it transposed")


def takes_negative_values(likelihood: Likelihood) -> bool:
    """Return whether cells may be negative, as under Gaussian noise; a mean of 0 then explains any value."""
    parameters = dict.fromkeys(likelihood.parameters, 1.0)
    support = likelihood.distribution(np.ones((1, 1)), **parameters).support
    return bool(np.all(support(np.full((1, 1), -1.0))))


def _named(names: pd.Index | None, k: int) -> str:
    return f"component {k}" if names is None else f"component {names[k]!r}"
