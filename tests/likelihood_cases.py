"""Every likelihood beside its distribution in SciPy: the table that its tests run over.

A likelihood that joins the registry needs one line in `CASES` and inherits every test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from bayesnmf.likelihoods import Beta, Gamma, Gaussian, Likelihood, NegativeBinomial, Poisson

COUNTS = (0.0, 1.0, 2.0, 7.0, 100.0, 5000.0)


@dataclass(frozen=True)
class Case:
    """A likelihood, its distribution in SciPy, and where to evaluate it.

    `extreme` spans a grid of parameter values on which densities are compared; `ordinary` lists
    settings in which expectations are computed and data are drawn.
    """

    likelihood: Likelihood
    law: Callable[..., Any]  # law(mean, **parameters) -> frozen SciPy distribution
    values: tuple[float, ...]
    means: tuple[float, ...]
    draw: st.SearchStrategy[float]
    extreme: dict[str, tuple[float, ...]] = field(default_factory=dict)
    ordinary: tuple[dict[str, float], ...] = ({},)

    def grid(self, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray, dict]:
        """Return values, means and parameters that broadcast against each other."""
        v = np.array(self.values, dtype).reshape(-1, 1, 1)
        mean = np.array(self.means, dtype).reshape(1, -1, 1)
        return v, mean, {k: np.array(p, dtype).reshape(1, 1, -1) for k, p in self.extreme.items()}

    def log_density(self, v: Any, mean: Any, **parameters: Any) -> np.ndarray:
        """Return SciPy's log density or log mass."""
        law = self.law(mean, **parameters)
        return law.logpmf(v) if isinstance(law.dist, stats.rv_discrete) else law.logpdf(v)


def _beta(link: str) -> Case:
    def law(mean, precision):
        complement = np.exp(-mean) if link == "cloglog" else 1 / (1 + mean)
        mu = -np.expm1(-mean) if link == "cloglog" else mean / (1 + mean)
        return stats.beta(precision * mu, precision * complement)

    return Case(
        Beta(link=link),
        law,
        (1e-12, 0.01, 0.4, 0.9, 1 - 1e-9),
        (1e-6, 0.3, 2.0, 30.0),
        st.floats(1e-9, 1 - 1e-9),
        {"precision": (0.1, 5.0, 20.0, 1e4)},
        ({"precision": 6.0}, {"precision": 40.0}),
    )


CASES = {
    "poisson": Case(
        Poisson(),
        stats.poisson,
        COUNTS,
        (1e-6, 1e-3, 0.4, 3.0, 250.0, 1e5),
        st.integers(0, 10**5).map(float),
    ),
    "poisson-exposure": Case(
        Poisson(exposure=[[2.0]]),
        lambda mean, exposure: stats.poisson(exposure * mean),
        COUNTS,
        (1e-6, 0.4, 3.0, 250.0),
        st.integers(0, 10**5).map(float),
        {"exposure": (1e-3, 0.7, 40.0)},
        ({"exposure": 0.5}, {"exposure": 3.0}),
    ),
    "negative_binomial": Case(
        NegativeBinomial(),
        lambda mean, concentration: stats.nbinom(
            concentration, concentration / (concentration + mean)
        ),
        COUNTS,
        (1e-3, 0.4, 3.0, 250.0, 1e5),
        st.integers(0, 10**5).map(float),
        {"concentration": (0.05, 2.0, 9.9, 300.0)},
        ({"concentration": 0.4}, {"concentration": 30.0}),
    ),
    "negative_binomial-exposure": Case(
        NegativeBinomial(exposure=[[2.0]]),
        lambda mean, concentration, exposure: stats.nbinom(
            concentration, concentration / (concentration + exposure * mean)
        ),
        COUNTS,
        (1e-3, 0.4, 3.0, 250.0),
        st.integers(0, 10**5).map(float),
        {"concentration": (0.05, 9.9, 300.0), "exposure": (0.7, 1e-3, 40.0)},
        ({"concentration": 0.4, "exposure": 0.5}, {"concentration": 30.0, "exposure": 3.0}),
    ),
    "gaussian": Case(
        Gaussian(),
        lambda mean, sigma: stats.norm(loc=mean, scale=sigma),
        (-1e4, -2.0, 0.0, 0.3, 5.0, 1e6),
        (1e-8, 0.5, 20.0, 1e5),
        st.floats(-1e6, 1e6),
        {"sigma": (1e-3, 1.0, 1e4)},
        ({"sigma": 0.3}, {"sigma": 5.0}),
    ),
    "gamma": Case(
        Gamma(),
        lambda mean, shape: stats.gamma(shape, scale=mean / shape),
        (1e-12, 1e-3, 0.8, 4.0, 1e6),
        (1e-8, 0.5, 20.0, 1e5),
        st.floats(1e-9, 1e9),
        {"shape": (0.05, 1.0, 9.9, 30.0, 1e5)},
        ({"shape": 0.8}, {"shape": 20.0}),
    ),
    "gamma-exposure": Case(
        Gamma(exposure=[[2.0]]),
        lambda mean, shape, exposure: stats.gamma(shape, scale=exposure * mean / shape),
        (1e-12, 1e-3, 0.8, 4.0, 1e6),
        (1e-8, 0.5, 20.0),
        st.floats(1e-9, 1e9),
        {"shape": (0.05, 9.9, 1e5), "exposure": (0.7, 1e-3, 40.0)},
        ({"shape": 0.8, "exposure": 0.5}, {"shape": 20.0, "exposure": 3.0}),
    ),
    "beta-cloglog": _beta("cloglog"),
    "beta-odds": _beta("odds"),
}

every_case = pytest.mark.parametrize("name", CASES)
of_counts = pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("beta")])


@cache
def compiled(name: str, function: str) -> Callable[..., Any]:
    """Return one compiled function of a case's likelihood; ``gradient`` is by autodiff."""
    likelihood = CASES[name].likelihood

    def total(mean, v, parameters):
        return jnp.sum(likelihood.log_density(v, mean, **parameters))

    if function == "gradient":
        return jax.jit(lambda v, mean, **parameters: jax.grad(total)(mean, v, parameters))
    return jax.jit(getattr(likelihood, function))


def spread(*arrays: Any) -> list[np.ndarray]:
    """Return the arrays broadcast to full size, so that each cell has its own mean."""
    return [np.array(a) for a in np.broadcast_arrays(*arrays)]
