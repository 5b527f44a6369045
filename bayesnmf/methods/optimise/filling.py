"""Components of zeros, with which models of several ranks share compiled programs.

XLA compiles a program for each shape of its arrays, so a sweep over ranks would compile everything anew at every
rank, which takes longer than the searches of a small matrix. A component whose entries are all 0 adds nothing to
WH. Under a prior of shape 0 in log space it adds nothing to the objective, and no step leads away from it: the
coefficient of its logarithm is 0, its slope is its rate, and what its gradient multiplies is 0. So a
model of rank 3 with one such component has the optima of rank 3, and the program of rank 4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesnmf.arrays import record
from bayesnmf.methods.optimise.initial import Start
from bayesnmf.methods.optimise.solution import Search, Solution
from bayesnmf.model import NMF
from bayesnmf.priors import EntrywiseGamma, Prior

#: Numbers of components are filled up to multiples of this: of the second where V has so few cells that
#: components of zeros cost next to nothing.
MULTIPLE, MULTIPLE_SMALL, SMALL = 4, 12, 20_000


#: Multiplications of a product of the factors beyond which components of zeros would cost more than programs.
LARGE = 2_000_000


def filled(search: Search, model: NMF, shape: tuple[int, int]) -> NMF:
    """Return a model with components of zeros added up to a common number, where that serves."""
    plain = not (model.hyper_priors or model.n_known)
    n_cells = shape[0] * shape[1]
    multiple = MULTIPLE_SMALL if n_cells <= SMALL else MULTIPLE
    width = -(-model.n_components // multiple) * multiple
    if not (search.fills and plain and n_cells * width <= LARGE):
        return model
    priors = {
        name: _filled_prior(prior, model.n_components, width)
        for name, prior in (("prior_W", model.prior_W), ("prior_H", model.prior_H))
    }
    return record(NMF, **{**vars(model), **priors, "n_components": width})


def _filled_prior(prior: Prior, n_components: int, width: int) -> EntrywiseGamma:
    """Return a prior whose shape is 0 for components of zeros; its rate is any number there."""
    shape, rate = (np.asarray(x, float) for x in (prior.shape, prior.rate))
    shape = np.atleast_2d(shape)
    shape = np.broadcast_to(shape, (n_components, shape.shape[1]))
    tables = {"shape": _lengthened(shape, width, 0.0), "rate": rate}
    if rate.ndim and len(rate) > 1:
        tables["rate"] = _lengthened(rate, width, 1.0)
    return record(EntrywiseGamma, **tables)


def filled_factors(factors: Start, width: int) -> Start:
    """Return W and H with zeros for the components that they lack."""
    W, H = factors
    return _lengthened(W.T, width, 0.0).T, _lengthened(H, width, 0.0)


def _lengthened(x: np.ndarray, length: int, value: float) -> np.ndarray:
    return np.pad(x, ((0, length - len(x)), (0, 0)), constant_values=value)


def without_filling(solution: Solution, n_components: int) -> Solution:
    """Return a solution of a filled model as one of the model itself."""
    W, H = solution.sites["W"], solution.sites["H"]
    if len(H) == n_components:
        return solution
    sites = {**solution.sites, "W": W[:, :n_components], "H": H[:n_components]}
    return replace(solution, sites=sites)
