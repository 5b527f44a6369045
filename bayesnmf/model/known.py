"""Known components: rows of H, or columns of W, that are given and not inferred.

They are the first components of a model. Algorithms hold factors component first, so what they
infer of a factor is ``factor[n_known:]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix
from bayesnmf.data.labels import component_names, labels_of, matched
from bayesnmf.priors import ARD, Prior
from bayesnmf.priors.rates import resolve_rates, resolve_rates_beside

if TYPE_CHECKING:
    from bayesnmf.model.interface import Model
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
    values = np.asarray(matched(table, rows, columns, what), matrix.dtype)
    if values.shape[1 - AXES[factor]] != size:
        word = "rows" if factor == "W" else "columns"
        raise ValueError(f"{what}, have {values.shape[1 - AXES[factor]]} {word}, but V has {size}")
    return values


def labels_of_components(model: NMF) -> np.ndarray:
    """Return the labels of all components: names of known ones, and numbers after them.

    One kind of label for all: where a known component has a text for a name, numbers are text too.
    """
    n_components = model.n_components
    for factor in ("W", "H"):
        names = component_names(getattr(model, factor), AXES[factor])
        if names is not None:
            return labels_of(pd.Index([*names, *range(len(names), n_components)]))
    return np.arange(n_components)


class KnownTables(NamedTuple):
    """Known columns of W and known rows of H, each None where none is given."""

    W: Any
    H: Any

    @property
    def number(self) -> int | None:
        """Number of known components, or None."""
        return max(number_known(self.W, "W"), number_known(self.H, "H")) or None


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
    labels = pd.Index(labels_of_components(model))
    if not labels.is_unique:
        raise ValueError(
            f"a known component has the name {labels[labels.duplicated()][0]!r}, which is the number "
            "of a free component: give it another name"
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


def put_known[A: (np.ndarray, Array)](model: NMF, W: A, H: A) -> tuple[A, A]:
    """Return factors W, (row, component), and H, (component, column), with what is known of them."""
    xp: Any = np if isinstance(W, np.ndarray) else jnp
    if model.W is not None:
        W = xp.concatenate([xp.asarray(model.W, W.dtype), W[:, model.n_known_W :]], axis=1)
    if model.H is not None:
        H = xp.concatenate([xp.asarray(model.H, H.dtype), H[model.n_known_H :]], axis=0)
    return W, H


def sites_to_infer(model: Model, sites: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sites of the NumPyro program: of W and H only what is inferred."""
    nmf = model.nmf
    if nmf is None or "W" not in sites:
        return dict(sites)
    parts = {"W": sites["W"][..., nmf.n_known_W :], "H": sites["H"][..., nmf.n_known_H :, :]}
    free = {name: x for name, x in parts.items() if x.size}
    return {name: x for name, x in sites.items() if name not in parts} | free


def complete_sites(model: Model, sites: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws, (chain, draw, ...), of whole W and H from draws of the program's sites."""
    nmf, whole = model.nmf, dict(sites)
    if nmf is None:
        return whole
    lead = next(iter(sites.values())).shape[:2]
    for name, table, axis in (("W", nmf.W, -1), ("H", nmf.H, -2)):
        if table is not None:
            known = np.asarray(table)
            parts = [np.broadcast_to(known, (*lead, *known.shape))]
            parts += [sites[name]] if name in sites else []
            whole[name] = np.concatenate(parts, axis=axis)
    return whole


def _named(names: pd.Index | None, k: int) -> str:
    return f"component {k}" if names is None else f"component {names[k]!r}"
