"""How many components automatic relevance determination keeps, and the upper end of a sweep by it."""

from __future__ import annotations

from typing import NamedTuple

from bayesnmf.methods import MAP
from bayesnmf.model import NMF
from bayesnmf.posterior import fitting
from bayesnmf.priors import ARD, Gamma
from bayesnmf.rank.settings import MOST_RANKS, Settings

#: Components that the fit begins with, where the matrix has as many rows and columns.
LARGEST = 20


#: Ranks that are tried beyond the number of components that are left.
BEYOND = 2


class Range(NamedTuple):
    """Ranks to try.

    Parameters
    ----------
    ranks : list of int
    note : str
        How they were found.
    """

    ranks: list[int]
    note: str


def kept_by_ard(settings: Settings, begun: int) -> int:
    """Return how many free components are left of some, by a MAP estimate from one start.

    The likelihood is that of the sweep; the priors are :class:`bayesnmf.priors.ARD`.

    Parameters
    ----------
    settings : Settings
    begun : int
        Components to begin with.
    """
    known = {"W": settings.model.W, "H": settings.model.H}
    n_known = settings.model.n_known
    # A known component has no rate of its own in the factor that is given.
    priors = [ARD() if known[factor] is None else Gamma() for factor in ("W", "H")]
    model = NMF(n_known + begun, settings.model.likelihood, *priors, **known)
    fit = fitting.fit_silently(
        settings.matrix, model, MAP(n_init=1), seed=settings.seed, progress=False
    )
    return int(fit.active().isel(component=slice(n_known, None)).sum())


def automatic_range(settings: Settings) -> Range:
    """Return the smallest rank to a little more than the number of components that automatic relevance determination keeps.

    Parameters
    ----------
    settings : Settings
    """
    least, limit = settings.limits
    begun = min(LARGEST, limit)
    kept = kept_by_ard(settings, begun)
    if kept == 0:
        last = min(MOST_RANKS, limit)
        note = (
            f"ARD emptied every component, which says nothing: ranks {least} to {last} were tried"
        )
    else:
        last = min(kept + BEYOND, limit)
        note = f"ARD keeps {kept} of {begun} components, so ranks {least} to {last} were tried"
    return Range(list(range(least, last + 1)), note)
