"""Losses of a factorisation by the names that other packages give them."""

from __future__ import annotations

#: The likelihood whose negative log density is a loss, up to a constant.
LOSSES = {
    "frobenius": "gaussian",
    "kullback-leibler": "poisson",
    "itakura-saito": "gamma",
}


def translation(name: str) -> str | None:
    """Return what to write for the likelihood that is behind a loss; None if the name is no loss.

    Examples
    --------
    >>> translation("Kullback-Leibler")
    "this loss is the Poisson likelihood here: use likelihood='poisson'"
    """
    likelihood = LOSSES.get(name.strip().lower().replace("_", "-"))
    if likelihood is None:
        return None
    title = likelihood if likelihood == "gamma" else likelihood.capitalize()
    return f"this loss is the {title} likelihood here: use likelihood={likelihood!r}"
