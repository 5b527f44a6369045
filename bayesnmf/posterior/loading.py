"""From a tree that was read to a fit, with the model that the file describes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import xarray as xr

from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import Model, ModelLike, as_model
from bayesnmf.posterior.archive import MODEL_ATTRIBUTE, naming, read
from bayesnmf.posterior.model_record import model_from_json
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.sampler_state import split_state
from bayesnmf.posterior.structure import require_fit
from bayesnmf.posterior.tree import matrix_in


def load_fit(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    model: ModelLike | None = None,
    likelihoods: Sequence[type[Likelihood]] = (),
) -> Fit:
    """Read a fit, and nothing else, that :meth:`Fit.save` wrote; see :func:`bayesnmf.load`."""
    tree = read(path, trust=trust)
    fit, note = from_tree(tree, path, trust=trust, model=model, likelihoods=likelihoods)
    if note:
        warn_of_no_model(path, note)
    return fit


def from_tree(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    model: ModelLike | None = None,
    likelihoods: Sequence[type[Likelihood]] = (),
) -> tuple[Fit, str]:
    """Return the fit that a tree describes, and why its model is not known, if it is not.

    Parameters
    ----------
    tree : xarray.DataTree
    path : path
        Where it was read, for errors.
    trust : bool, default False
        Whether a Python file that the tree names may be run.
    model : NMF, Program or callable, optional
        The model, in the place of the one that the tree describes.
    likelihoods : sequence of Likelihood classes
        Likelihoods beside the package's that the tree may name.
    """
    with naming(path):
        require_fit(tree)
        n_components = tree["posterior"].sizes["component"]
        constant = tree["constant_data"].to_dataset() if "constant_data" in tree else None
        text = tree.attrs.get(MODEL_ATTRIBUTE)
        found = model_from_json(text, constant, n_components, likelihoods)
        tree, state = split_state(tree)
    if model is not None:
        return Fit(tree, _given(model, tree), state), ""
    model, note = found.load(trust, n_components)
    return Fit(tree, model, state), note


def _given(model: Any, tree: xr.DataTree) -> Model:
    """Return the model that the user gave for a fit, resolved, after comparing what can be."""
    model = as_model(model)
    n_components = tree["posterior"].sizes["component"]
    if model.nmf is not None and model.nmf.n_components != n_components:
        raise ValueError(
            f"model has {model.nmf.n_components} component(s), and the draws have {n_components}"
        )
    return model.resolve(matrix_in(tree))


def warn_of_no_model(path: str | os.PathLike[str], note: str, stacklevel: int = 3) -> None:
    """Warn that a fit was loaded without its model, and say how to bring it back."""
    warnings.warn(
        f"{path} was loaded without its model ({note}); what needs the model is refused until you give "
        "it, by bn.load(path, model=...)",
        stacklevel=stacklevel,
    )
