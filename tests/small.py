"""Small data for every likelihood, and fits of them that tests share."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from exact import law
from promotion import promotion

import bayesnmf as bn
from bayesnmf.likelihoods import Beta, Gamma, Gaussian, Likelihood, NegativeBinomial, Poisson

SHAPE, RANK = (6, 5), 2

_RNG = np.random.default_rng(8)
_EXPOSURE = np.random.default_rng(9).uniform(0.3, 3.0, SHAPE)
#: Every likelihood, with its parameter inferred, given, and given for each cell.
LIKELIHOODS: dict[str, Likelihood] = {
    "poisson": Poisson(),
    "poisson-exposure": Poisson(exposure=_RNG.uniform(0.3, 3.0, SHAPE)),
    "negative_binomial": NegativeBinomial(),
    "negative_binomial-known": NegativeBinomial(concentration=3.0),
    "negative_binomial-exposure": NegativeBinomial(exposure=_EXPOSURE),
    "gaussian": Gaussian(),
    "gaussian-known": Gaussian(sigma=_RNG.uniform(1.0, 3.0, SHAPE)),
    "gamma": Gamma(),
    "gamma-known": Gamma(shape=2.5),
    "gamma-exposure": Gamma(shape=2.5, exposure=_EXPOSURE),
    "beta": Beta(),
    "beta-odds": Beta(link="odds"),
    "beta-known": Beta(precision=8.0),
}
#: Values at which data are drawn where the parameter is inferred.
TRUTH = {"concentration": 4.0, "sigma": 0.5, "shape": 5.0, "precision": 12.0}
#: One name a likelihood, with nothing given.
PLAIN = [name for name in LIKELIHOODS if "-" not in name]
#: These, and the ones that take another way through the code: arrays of every cell, another link.
#: A number that is given rather than inferred compiles to the same arithmetic.
DISTINCT = [*PLAIN, "poisson-exposure", "gaussian-known", "beta-odds"]


def short_of(cases: list[Any], *short: Any) -> list[Any]:
    """Return parameters of which the short suite runs some; `make test-long` runs the others."""
    assert set(short) <= set(cases)
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[] if case in short else pytest.mark.long,
        )
        for case in cases
    ]


METHODS: dict[str, Any] = {
    "map": bn.MAP(n_init=2, max_iter=200),
    "svi": bn.SVI(num_steps=200, num_samples=20),
    "mcmc": bn.MCMC(num_warmup=30, num_samples=20, num_chains=2),
}


def parameters(likelihood: Likelihood) -> dict[str, float]:
    """Return a value of each parameter that is inferred."""
    return {name: TRUTH[name] for name in likelihood.priors}


def data(likelihood: Likelihood, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    """Draw a matrix of rank two; each cell is missing with the given probability."""
    rng = np.random.default_rng(seed)
    scale = 0.5 if likelihood.name == "beta" else 2.0
    W, H = rng.gamma(1.5, scale, (SHAPE[0], RANK)), rng.gamma(1.5, scale, (RANK, SHAPE[1]))
    cells = law(likelihood, W @ H, **parameters(likelihood))
    V = np.asarray(cells.rvs(SHAPE, random_state=rng), float)
    if likelihood.name == "beta":
        V = np.clip(V, 1e-6, 1 - 1e-6)
    absent = rng.random(SHAPE) < missing
    np.fill_diagonal(absent, False)  # rows and columns keep an observed cell ...
    absent[-1, -1] = False  # ... the last row too
    V[absent] = np.nan
    return V


def model(name: str) -> bn.NMF:
    """Return the model of a likelihood under priors that are given numbers."""
    priors = bn.priors
    return bn.NMF(RANK, LIKELIHOODS[name], priors.Gamma(1.5, 0.8), priors.Gamma(1.0, 1.1))


def run(V: Any, model: Any, method: Any, **options: Any) -> bn.Fit:
    """Fit quietly; NumPyro's own promotions are allowed, which tests otherwise forbid.

    Its NUTS, which samples programs, promotes dtypes, and drawing from its guides promotes ranks.
    """
    method = METHODS.get(method, method) if isinstance(method, str) else method
    nuts = isinstance(method, bn.MCMC) and not (
        isinstance(model, bn.NMF) and method.kernel != "nuts"
    )
    with promotion(
        dtype="standard" if nuts else None, rank="allow" if isinstance(method, bn.SVI) else None
    ):
        return bn.fit(V, model, method, progress=False, **options)


@cache
def fitted(name: str, method: str) -> bn.Fit:
    """Return a short fit, made once a session: never change it."""
    return run(data(LIKELIHOODS[name], missing=0.15), model(name), METHODS[method], seed=3)


def same(a: bn.Fit, b: bn.Fit) -> bool:
    """Return whether two fits hold the same numbers, bit for bit, but for the time they took."""
    ours, theirs = a.tree.copy(), b.tree.copy()
    for tree in (ours, theirs):
        tree.attrs.pop("seconds")
    return ours.identical(theirs) and same_state(a, b)


def same_state(a: bn.Fit, b: bn.Fit) -> bool:
    """Return whether the chains of two fits go on from the same state, bit for bit."""
    states = [
        {name: (x.dtype, x.shape, x.tobytes()) for name, x in (fit.sampler_state or {}).items()}
        for fit in (a, b)
    ]
    return states[0] == states[1]


def originals(fit: bn.Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of W and H before the scale of H was moved into W."""
    scale = fit.tree["sample_stats/scale"].to_numpy()
    W, H = (fit.tree[f"posterior/{name}"].to_numpy() for name in ("W", "H"))
    return W / scale[..., None, :], H * scale[..., None]
