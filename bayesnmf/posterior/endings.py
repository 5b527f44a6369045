"""What is said of a fit when it ends: that it has not converged, or that components are empty."""

from __future__ import annotations

import warnings

import numpy as np

from bayesnmf.model import NMF
from bayesnmf.posterior.result import Fit

#: A component is empty when it holds less than this share of the average mass of all.
EMPTY = 1e-6


class ConvergenceWarning(UserWarning):
    """A fit has not converged, or was interrupted; the text is its message.

    Examples
    --------
    >>> import warnings
    >>> import bayesnmf as bn
    >>> V, _, _ = bn.datasets.make_nmf(8, 6, 2, "poisson", seed=1)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", bn.ConvergenceWarning)
    ...     fit = bn.fit(V, bn.NMF(2), bn.MAP(max_iter=5), progress=False)
    >>> fit.converged
    False
    """


def warn_of_ending(fit: Fit, *, stacklevel: int = 3) -> None:
    """Warn of a fit that has not converged, and of components that are empty."""
    if not fit.converged or fit.interrupted:
        warnings.warn(fit.message, ConvergenceWarning, stacklevel=stacklevel)
    warn_of_empty(fit, stacklevel=stacklevel + 1)


def warn_of_empty(fit: Fit, *, stacklevel: int = 3) -> None:
    """Warn of empty components, where no prior was chosen to empty them."""
    sentence = describe_empty(fit)
    if sentence:
        warnings.warn(sentence, stacklevel=stacklevel)


def describe_empty(fit: Fit) -> str:
    """Say how many components are empty, why, and what to do; "" where none is.

    Priors with hyper-priors, such as ARD, empty components on purpose, and all-zero data have no
    component to fill.
    """
    model = None if fit.model is None else fit.model.nmf
    if model is None or model.empties_components:
        return ""
    mass = fit.mass.mean(("chain", "draw")).to_numpy()
    empty = int(np.sum(mass < EMPTY * mass.mean()))
    if not empty:
        return ""
    what = f"{empty} of {len(mass)} components {'is' if empty == 1 else 'are'} empty"
    return f"{what}: {_reason(fit, model, len(mass) - empty)}"


def _reason(fit: Fit, model: NMF, filled: int) -> str:
    if not (model.prior_W.proper or model.prior_H.proper):
        return "the search ended there. Use more starts (n_init), or fewer components"
    sizes = fit.tree["posterior"].sizes
    coefficients = sizes["component"] * (sizes["row"] + sizes["column"])
    total = _total(fit)
    if model.likelihood.base_measure == "counting" and total < coefficients:
        return (
            f"the {model.likelihood.name.replace('_', ' ')} likelihood takes V for counts, whose sum "
            f"of {total:.4g} is small against the {coefficients} coefficients of W and H, so the "
            "prior outweighs the data. Use prior_W='flat' and prior_H='flat' with method='map', or a "
            "likelihood that suits the scale of V, such as 'gaussian' or 'gamma', or multiply V by a "
            f"constant so that its sum is well above {coefficients}; priors 'ard' where components "
            "are meant to empty out"
        )
    return (
        f"under these priors the data ask for no more than {filled}. Use fewer components or flat "
        "priors; priors 'ard' where components are meant to empty out"
    )


def _total(fit: Fit) -> float:
    """Return the sum of the observed cells."""
    data = fit.tree["observed_data"].dataset
    return float(np.nansum(data["V" if "V" in data else "V_value"].to_numpy(), dtype=np.float64))
