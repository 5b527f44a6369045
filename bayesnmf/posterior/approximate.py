"""What is known of draws that are not of the posterior itself: how often their intervals hold the truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesnmf.methods import SVI
from bayesnmf.posterior.method_record import method_of
from bayesnmf.posterior.result import Fit

#: Above this Pareto k draws cannot be weighted to draws of the posterior (Vehtari et al. 2024).
MAX_PARETO_K = 0.7


#: With fewer draws no tail can be fitted.
FEW = 100


class Coverage(NamedTuple):
    """How many of 100 truths 90 % intervals held in simulations: of cells of WH, and of components' masses."""

    cells: int
    masses: int


#: Measured by ``python -m benchmarks calibration``, 100 data sets of 30 x 20 at rank 3: see the documentation.
TOGETHER = {
    "poisson": Coverage(88, 75),
    "negative_binomial": Coverage(87, 82),
    "gaussian": Coverage(89, 73),
    "gamma": Coverage(90, 78),
    "beta": Coverage(89, 79),
}
INDEPENDENT = {
    "poisson": Coverage(77, 49),
    "negative_binomial": Coverage(89, 80),
    "gaussian": Coverage(88, 45),
    "gamma": Coverage(90, 40),
    "beta": Coverage(90, 51),
}


def told_of_approximation(fit: Fit) -> str:
    """Return what :func:`bayesnmf.check` says of a variational fit, after how its run ended."""
    parts = ["Its draws are independent, so R-hat and ESS say nothing of the approximation."]
    k = pareto_k(fit)
    if np.isfinite(k):
        able = "can" if k <= MAX_PARETO_K else "cannot"
        parts.append(
            f"Its Pareto k is {k:.1f} (limit {MAX_PARETO_K}), so weights {able} make them draws of the posterior."
        )
    known = _coverage(fit)
    if known is not None:
        parts.append(
            f"In simulations its 90 % intervals held {known.cells} % of the cells of WH and {known.masses} % of the components' "
            "masses."
        )
    return " ".join([*parts, "Report intervals from MCMC."])


def pareto_k(fit: Fit) -> float:
    """Return the Pareto k of the weights of a variational fit's draws; NaN where their density was not kept.

    References
    ----------
    Yao, Y., Vehtari, A., Simpson, D. and Gelman, A. (2018). Yes, but did it work?: Evaluating variational
    inference. Proceedings of Machine Learning Research 80, 5581-5590.
    https://proceedings.mlr.press/v80/yao18a.html
    """
    from arviz_stats.base import array_stats

    stats = fit.tree["sample_stats"]
    if "lq" not in stats or stats.sizes["draw"] < FEW:
        return float("nan")
    return float(array_stats.psislw((stats["lp"] - stats["lq"]).to_numpy().ravel())[1])


def _coverage(fit: Fit) -> Coverage | None:
    method = method_of(fit)
    if fit.model is None or fit.model.nmf is None or not isinstance(method, SVI):
        return None
    known = TOGETHER if method.linear_response else INDEPENDENT
    return known.get(fit.model.nmf.likelihood.name)
