"""A Laplace approximation around a MAP estimate in log space, and the noise that it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array
from bayesnmf.likelihoods import Likelihood
from bayesnmf.model import NMF
from bayesnmf.predictive.discrepancies import pearson
from bayesnmf.rank.residuals import fitted

#: The share of the cells that a fit may be said to have used up, at most.
MAX_SHARE = 0.95


#: How far a noise parameter is moved from its MAP estimate, at most, as a factor.
MAX_FACTOR = 1e4


class LaplaceApproximation(NamedTuple):
    """Gaussian approximation of log W and log H, a row of W and a column of H at a time.

    Parameters
    ----------
    W : ndarray of shape (n_rows, n_components, n_components)
        A root R of the covariance R R' of the logarithms of each row of W, given H, narrower where
        logarithms bend so much that the quadratic approximation fails.
    H : ndarray of shape (n_columns, n_components, n_components)
        The same of each column of H, given W.
    n_parameters : float
        Effective number of parameters of the mean.
    """

    W: np.ndarray
    H: np.ndarray
    n_parameters: float


def laplace_at(
    model: NMF, values: np.ndarray, kept: np.ndarray, sites: Mapping[str, np.ndarray]
) -> LaplaceApproximation:
    """Return the covariances that the curvature at a MAP estimate in log space suggests.

    With a gamma prior of shape ``a`` the negative Hessian of the logarithms of a row ``w`` is
    ``a I + diag(w) H diag(weight) H' diag(w)`` there, with Fisher weights in place of observed ones.
    Of the trace of the hat matrix of both factors the scales and shears that leave WH as it is
    are subtracted, which both of them count.

    Parameters
    ----------
    model : NMF
        Resolved.
    values, kept : ndarray of shape (n_rows, n_columns)
        Data, and the cells that were fitted.
    sites : mapping of str to ndarray
        The MAP estimate.
    """
    W, H = (np.asarray(sites[name], float) for name in ("W", "H"))
    weight = np.where(kept, np.asarray(_weight(model.likelihood, *fitted(sites), values)), 0.0)
    shape_W = np.broadcast_to(np.transpose(model.prior_W.shape), W.shape)
    shape_H = np.broadcast_to(model.prior_H.shape, H.shape).T
    a, b = model.n_known_W, model.n_known_H
    root_W, used_W = _free_blocks(W, H, weight, shape_W, a)
    root_H, used_H = _free_blocks(H.T, W.T, weight.T, shape_H, b)
    unseen = min(used_W / len(W), used_H / H.shape[1]) ** 2
    return LaplaceApproximation(root_W, root_H, max(used_W + used_H - unseen, 0.0))


def draw_around(
    factor: np.ndarray, root: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Return log-normal draws of a factor whose mean is the MAP estimate.

    The density of the logarithm of a gamma variable is highest at the logarithm of its mean, so
    draws around it must leave the mean where it is.

    Parameters
    ----------
    factor : ndarray of shape (n, n_components)
    root : ndarray of shape (n, n_components, n_components)
        Of :class:`LaplaceApproximation`.
    number : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (number, n, n_components)
    """
    noise = np.einsum("nkl,dnl->dnk", root, rng.standard_normal((number, *factor.shape)))
    return factor * np.exp(noise - np.sum(root**2, axis=-1) / 2)


def corrected_noise(
    model: NMF,
    values: np.ndarray,
    kept: np.ndarray,
    sites: Mapping[str, np.ndarray],
    n_parameters: float,
) -> dict[str, np.ndarray]:
    """Return the likelihood's parameters, with the noise that the fit has followed put back.

    The MAP estimate takes the residuals for the noise. But of n cells, p parameters have followed a
    share p / n of the noise, so the more components, the less noise seems to be left. Here, as in a
    generalised linear model, the noise is such that the squared Pearson residuals add up to n - p.

    References
    ----------
    McCullagh, P. and Nelder, J. A. (1989). Generalized linear models, 2nd edition, section 8.3.
    doi:10.1007/978-1-4899-3242-6
    """
    mean, estimated = fitted(sites)
    parameters = {name: np.asarray(x) for name, x in estimated.items()}
    left = 1 - min(n_parameters / max(int(kept.sum()), 1), MAX_SHARE)

    def dispersion(noise: dict[str, np.ndarray]) -> float:
        return float(_dispersion(model.likelihood, mean, noise, values, kept))

    for name in parameters:
        parameters = _put_back(name, parameters, dispersion, left)
    return parameters


def _put_back(
    name: str,
    parameters: dict[str, np.ndarray],
    dispersion: Callable[[dict[str, np.ndarray]], float],
    left: float,
) -> dict[str, np.ndarray]:
    """Move one parameter until only a share of the dispersion is left."""
    from scipy.optimize import brentq

    def moved(log_factor: float) -> dict[str, np.ndarray]:
        value = parameters[name]
        return parameters | {name: (value * np.exp(log_factor)).astype(value.dtype)}

    now, end = dispersion(parameters), float(np.log(MAX_FACTOR))
    # Where residuals are no larger than the least noise of the likelihood, none is put back.
    wanted = left * max(now, 1.0)
    # Some parameters are standard deviations, others precisions.
    ends = [x for x in (-end, end) if dispersion(moved(x)) < wanted < now]
    if not ends:
        return parameters
    return moved(brentq(lambda x: dispersion(moved(x)) - wanted, 0.0, ends[0], xtol=1e-3))


def _free_blocks(
    factor: np.ndarray, other: np.ndarray, weight: np.ndarray, shape: np.ndarray, known: int
) -> tuple[np.ndarray, float]:
    """Do :func:`_blocks` for all but the known components, which do not vary."""
    n, rank = factor.shape
    root = np.zeros((n, rank, rank))
    if known == rank:
        return root, 0.0
    free = slice(known, None)
    root[:, free, free], used = _blocks(factor[:, free], other[free], weight, shape[:, free])
    return root, used


def _blocks(
    factor: np.ndarray, other: np.ndarray, weight: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return a root of the covariance of each row's logarithms, and the effective number of parameters."""
    n, rank = factor.shape
    pairs = (other[:, None] * other[None, :]).reshape(rank * rank, -1)
    information = (weight @ pairs.T).reshape(n, rank, rank) * factor[:, :, None] * factor[:, None]
    values, vectors = np.linalg.eigh(information + shape[:, :, None] * np.eye(rank))
    # Only rounding makes an eigenvalue smaller than the prior's.
    scale = 1 / np.sqrt(np.maximum(values, shape.min()))
    used = float(np.sum(1 - shape * np.einsum("nkj,nj->nk", vectors**2, scale**2)))
    # Components that can replace each other do so along a line of the factor, not of its logarithm:
    # go no further than where the quadratic term moves the fit by its noise.
    bend = np.einsum("nkj,nkl,nlj->nj", vectors**2, information, vectors**2)
    limit = np.sqrt(2 / np.sqrt(np.maximum(bend, 1e-300)))
    return vectors * np.minimum(scale, limit)[:, None, :], used


@jax.jit
def _weight(likelihood: Likelihood, mean: Array, parameters: dict[str, Array], v: Array) -> Array:
    return likelihood.fisher_information(v, mean, **likelihood.known, **parameters)


@jax.jit
def _dispersion(
    likelihood: Likelihood, mean: Array, parameters: dict[str, Array], v: Array, kept: Array
) -> Array:
    cells = likelihood.distribution(mean, **likelihood.known, **parameters)
    return jnp.sum(pearson(v, kept, cells) ** 2) / jnp.sum(kept).astype(v.dtype)
