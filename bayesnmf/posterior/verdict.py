"""The last step of every fit: how it ended, and the Fit that says so."""

from __future__ import annotations

import xarray as xr

from bayesnmf.model import Model
from bayesnmf.posterior.checks import check
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.sampler_state import SamplerState


def finished(
    tree: xr.DataTree, model: Model | None, sampler_state: SamplerState | None = None
) -> Fit:
    """Return the fit of a tree, whose draws are judged where its method could not judge itself.

    Parameters
    ----------
    tree : xarray.DataTree
        Of :func:`bayesnmf.posterior.assembly.assemble`. It stays as it is. Where it has no
        attribute ``converged``, the diagnosis of the draws decides, and its verdict is added to
        the attribute ``message``.
    model : NMF, Program or None
    sampler_state : dict of str to ndarray, optional
        Where the chains stopped.
    """
    if "converged" in tree.attrs:
        return Fit(tree, model, sampler_state)
    verdict = check(Fit(tree, model))
    parts = [part for part in (tree.attrs.get("message"), verdict.message) if part]
    judged = tree.copy()
    judged.attrs = {
        **tree.attrs,
        "converged": int(bool(verdict.converged)),
        "message": ". ".join(parts),
    }
    return Fit(judged, model, sampler_state)
