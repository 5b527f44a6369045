"""What a fit must have before something can be computed from it."""

from __future__ import annotations

import warnings

from bayesnmf.model import Model
from bayesnmf.posterior import clusters
from bayesnmf.posterior.result import Fit


def require_model(fit: Fit, purpose: str) -> Model:
    """Return the model of a fit; raise where it has none, as some that were loaded.

    Parameters
    ----------
    fit : Fit
    purpose : str
        What needs the model, for the error.
    """
    if fit.model is None:
        raise ValueError(
            f"this fit has no model, which {purpose} needs: load it with bn.load(path, model=...), or, "
            "where the model is a Python file that you trust, with bn.load(path, trust=True)"
        )
    return fit.model


def require_draws(fit: Fit) -> None:
    """Raise for a MAP estimate, which has no draws to compare by."""
    if fit.method == "map":
        raise ValueError(
            "this fit is a MAP estimate (method='map'), which has no draws to estimate a predictive "
            "density from: fit with method='mcmc' or method='svi'"
        )


def require_one_mode(fit: Fit) -> None:
    """Raise when the chains are in several modes, which no average or interval describes."""
    clusters.require_one(fit.chain_modes)


def require_whole(fit: Fit) -> Fit:
    """Return the fit, or raise ``KeyboardInterrupt`` where Ctrl-C cut the run short.

    For what fits several times and has no use for one of the fits alone.
    """
    if fit.interrupted:
        raise KeyboardInterrupt
    return fit


def warn_of_modes(fit: Fit, stacklevel: int = 3) -> None:
    """Warn that chains in several modes count alike in what they predict."""
    if fit.chain_modes.any():
        warnings.warn(clusters.warning(fit.chain_modes), stacklevel=stacklevel)
