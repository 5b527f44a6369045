"""Draws made up around known factors, and fits assembled from them without any method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.methods import Draws
from bayesnmf.posterior.assembly import assemble

#: Factors on the reported scale: rows of H sum to 1, components fall in mass.
H = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.05, 0.45, 0.05, 0.45]])
W = np.array([[9.0, 1.0, 2.0], [8.0, 6.0, 0.5], [7.0, 2.0, 1.0], [5.0, 4.0, 0.1], [6.0, 3.0, 0.4]])


def draws(n_chains: int = 3, n_draws: int = 40, noise: float = 0.05, seed: int = 0) -> Any:
    """Return draws of W and H scattered around the truth, all in its order and scale."""
    rng = np.random.default_rng(seed)
    lead = (n_chains, n_draws)
    W_draws = W * np.exp(noise * rng.standard_normal((*lead, *W.shape)))
    H_draws = H * np.exp(noise * rng.standard_normal((*lead, *H.shape)))
    total = H_draws.sum(axis=-1)
    return W_draws * total[..., None, :], H_draws / total[..., None]


def scrambled(W: np.ndarray, H: np.ndarray, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Give every draw its own order and scale of components; return them with the order.

    Scales are powers of two, so that taking them out again rounds nothing.
    """
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(H.shape[2]), (*H.shape[:2], 1)), axis=-1)
    scale = 2.0 ** rng.integers(-9, 10, order.shape)
    W = np.take_along_axis(W * scale[..., None, :], order[..., None, :], axis=-1)
    H = np.take_along_axis(H / scale[..., None], order[..., None], axis=-2)
    return W, H, order


@dataclass(frozen=True)
class MadeUp(bn.SVI):
    """A method that compiles nothing: draws that follow from the seed and the missing cells."""

    def keeps_sparse(self, model: Any, masked: bool) -> bool:
        """Return False: values are looked at."""
        return False

    def run(self, model: Any, matrix: Any, key: Any, progress: bool) -> Draws:
        V, n_components = np.asarray(matrix.values), model.n_components
        rng = np.random.default_rng(int(np.isnan(V).sum()))
        W = rng.gamma(9.0, 0.3, (1, self.num_samples, len(V), n_components))
        H = rng.gamma(9.0, 0.1, (1, self.num_samples, n_components, V.shape[1]))
        return Draws({"W": W, "H": H}, {"lp": np.zeros(W.shape[:2])}, True, "made up")


def assembled(
    W: np.ndarray,
    H: np.ndarray,
    *,
    V: Any = None,
    model: Any = None,
    method: str = "mcmc",
    lp: Any = None,
    converged: bool | None = None,
    sites: Any = (),
    stats: Any = (),
) -> bn.Fit:
    """Return the fit of given draws, as `bn.fit` would after running a method."""
    V = np.random.default_rng(7).poisson((W @ H).mean(axis=(0, 1))) + 0.0 if V is None else V
    matrix = SparseMatrix.of(V) if scipy.sparse.issparse(V) else Matrix.of(V)
    model = (bn.NMF(H.shape[2]) if model is None else model).resolve(matrix)
    if lp is None:
        lp = np.random.default_rng(9).standard_normal(W.shape[:2])
    raw = Draws(
        {"W": W, "H": H, **dict(sites)},
        {"lp": lp, **dict(stats)},
        converged,
        "ended somehow",
        {"n_iter": 3, "objectives": [2.0, 1.5]},
    )
    tree = assemble(raw, model, matrix, {"method": method, "seed": 4, "seconds": 0.5})
    tree.attrs.setdefault("converged", 0)  # no verdict on draws that are made up
    return bn.Fit(tree, model)


def shaped(name: str, method: str, seed: int = 3) -> bn.Fit:
    """Return a fit of small data as a method shapes it under a likelihood; no method runs."""
    likelihood, rng = small.LIKELIHOODS[name], np.random.default_rng(seed)
    V = small.data(likelihood, missing=0.15)
    lead = {"map": (1, 1), "svi": (1, 20), "mcmc": (2, 10)}[method]
    W_draws = rng.gamma(2.0, 0.5, (*lead, V.shape[0], small.RANK))
    H_draws = rng.gamma(2.0, 0.5, (*lead, small.RANK, V.shape[1]))
    sites = {
        parameter: value * rng.uniform(0.9, 1.1, lead)
        for parameter, value in small.parameters(likelihood).items()
    }
    return assembled(
        W_draws,
        H_draws,
        V=V,
        model=small.model(name),
        method=method,
        converged=True,
        sites=sites,
    )
