"""to_anndata: the factors of a fit as annotations of the AnnData that was fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesnmf.data.annotated import is_annotated
from bayesnmf.data.labels import labels_of
from bayesnmf.posterior.result import Fit


def to_anndata[A](fit: Fit, adata: A, *, key: str = "nmf") -> A:
    """Write the posterior means of W and H into an AnnData, as scanpy writes its embeddings.

    Parameters
    ----------
    fit : Fit
        Of that AnnData, or of some of its observations and variables.
    adata : AnnData
        It is changed in place. Observations and variables are matched by their names with the rows
        and columns of the fit; a fit without names is taken by position.
    key : str, default "nmf"
        Name of the entries. Another one keeps an earlier fit beside this one.

    Returns
    -------
    AnnData
        `adata` itself, with these entries:

        - ``obsm["X_nmf"]``: mean of W, of shape (n_obs, n_components), NaN for observations that the
          fit has not.
        - ``varm["nmf"]``: mean of H, transposed, of shape (n_vars, n_components), NaN for variables that
          the fit has not.
        - ``uns["nmf"]``: ``params``, a dict of text and numbers (model, method, seed, version),
          ``mass``, the mean share of V that each component explains, of shape (n_components,),
          ``converged`` and ``message``.

    Raises
    ------
    TypeError
        When `adata` is no AnnData.
    ValueError
        When a row or column of the fit is not in `adata`, when names that have to be matched repeat,
        or when the chains are in several modes, so that W and H have no mean.

    Examples
    --------
    >>> import anndata
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> adata = anndata.AnnData(V)
    >>> fit = bn.fit(adata, bn.NMF(2), "map", progress=False)
    >>> adata = bn.to_anndata(fit, adata)
    >>> adata.obsm["X_nmf"].shape, adata.varm["nmf"].shape
    ((8, 2), (6, 2))
    """
    if not is_annotated(adata):
        raise TypeError(f"adata must be an AnnData, not a {type(adata).__name__}")
    target: Any = adata
    W, H = fit.W, fit.H
    sides = (
        ("obsm", f"X_{key}", "observations", target.obs_names, W.indexes["row"], W.to_numpy()),
        ("varm", key, "variables", target.var_names, H.indexes["column"], H.to_numpy().T),
    )
    # Both are matched before either is written.
    placed = [_placed(word, names, own, values) for _, _, word, names, own, values in sides]
    for (group, name, *_), values in zip(sides, placed, strict=True):
        getattr(target, group)[name] = values
    total = W.sum("row").to_numpy()
    target.uns[key] = {
        "params": _settings(fit),
        "mass": total / total.sum(),
        "converged": bool(fit.converged),
        "message": fit.message,
    }
    return adata


def _placed(word: str, names: pd.Index, own: pd.Index, values: np.ndarray) -> np.ndarray:
    """Return the lines of a factor in the order of `names`, NaN where there is none."""
    theirs, ours = pd.Index(labels_of(pd.Index(names))), pd.Index(labels_of(own))
    unnamed = ours.equals(pd.RangeIndex(len(ours)))
    if len(ours) == len(theirs) and (unnamed or ours.equals(theirs)):
        return values
    if unnamed:
        raise ValueError(
            f"adata has {len(theirs)} {word}, but the fit has {len(ours)} without names. Fit the AnnData "
            "itself, or name them by rows= and columns="
        )
    unknown = ours[~ours.isin(theirs)]
    if len(unknown):
        raise ValueError(f"the {word} of adata lack {len(unknown)} of the fit: {unknown[0]!r}, …")
    if not (ours.is_unique and theirs.is_unique):
        raise ValueError(
            f"the {word} of adata and of the fit cannot be matched, because a name occurs more than once. "
            "Make names unique (adata.obs_names_make_unique(), adata.var_names_make_unique())"
        )
    placed = np.full((len(theirs), values.shape[1]), np.nan)
    placed[theirs.get_indexer(ours)] = values
    return placed


def _settings(fit: Fit) -> dict[str, str | int]:
    """Return what was fitted as text and numbers, which h5ad files can hold."""
    attrs = fit.tree.attrs
    settings: dict[str, str | int] = {
        "n_components": fit.n_components,
        "method": str(attrs["method"]),
        "seed": int(attrs["seed"]),
        "bayesnmf_version": str(attrs["bayesnmf_version"]),
    }
    if fit.model is not None:
        parts = fit.model.describe().parts
        settings |= {name.replace(" ", "_"): text for name, text in parts.items()}
    return settings
