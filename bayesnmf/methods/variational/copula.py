"""Draws of entries that have gamma distributions of their own, and normal scores that move together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, gammaln, ndtr

from bayesnmf.methods.variational.response import Response

#: Entries of draws that are worked on at once.
ENTRIES = 2**22


#: From this shape on the cube root of a gamma variable is as good as normal.
LARGE = 20.0


class Drawn(NamedTuple):
    """Draws of whole factors, and the log density of their distribution at each.

    Attributes
    ----------
    W : ndarray of shape (draw, row, component)
    H : ndarray of shape (draw, component, column)
    log_density : ndarray of shape (draw,)
    """

    W: np.ndarray
    H: np.ndarray
    log_density: np.ndarray


def draw(response: Response, number: int, rng: np.random.Generator, dtype: np.dtype) -> Drawn:
    """Draw both factors."""
    (n, k), m = response.mean_W.shape, len(response.mean_H)
    W, H = np.empty((number, n, k), dtype), np.empty((number, k, m), dtype)
    log_density = np.empty(number)
    margins = _margins(response)
    together = max(ENTRIES // ((n + m) * k), 1)
    for start in range(0, number, together):
        part = slice(start, min(start + together, number))
        z_W, z_H, size = _correlated(response, rng, part.stop - part.start)
        log_density[part] = size
        for z, root, mean, margin, first, out in (
            (z_W, response.root_W, response.mean_W, margins[0], response.n_known[0], W[part]),
            (
                z_H,
                response.root_H,
                response.mean_H,
                margins[1],
                response.n_known[1],
                np.swapaxes(H[part], 1, 2),
            ),
        ):
            score = np.einsum("ilk,dil->dik", root, z) / margin
            values, log_ratio = _gamma_values(score[..., first:], 1.0 / margin[:, first:] ** 2)
            scale = mean[:, first:] * margin[:, first:] ** 2
            out[..., :first] = mean[:, :first]
            out[..., first:] = np.maximum(values * scale, np.finfo(dtype).tiny)
            # Of the logarithms of this factor the density has been counted, but for its constant.
            constant = np.log(margin[:, first:]) - np.log(scale) - 0.5 * np.log(2.0 * np.pi)
            log_density[part] += np.sum(log_ratio, axis=(1, 2)) + np.sum(constant)
    return Drawn(W, H, log_density)


def _margins(response: Response) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of every logarithm."""
    more = 1.0 / (1.0 - response.correlations**2) - 1.0
    found = []
    for root, directions in (
        (response.root_W, response.left),
        (response.root_H, response.right),
    ):
        variance = np.sum(root**2, axis=1)
        for extra, direction in zip(more, directions, strict=True):
            variance += extra * np.einsum("ilk,il->ik", root, direction) ** 2
        found.append(np.sqrt(variance))
    return found[0], found[1]


def _correlated(
    response: Response, rng: np.random.Generator, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws of z of both factors, and the log density of the logarithms but for the constants of scores."""
    z_W, z_H = (
        rng.standard_normal((number, *x.shape)) for x in (response.mean_W, response.mean_H)
    )
    a, b = response.n_known
    squares = sum(np.sum(z[..., first:] ** 2, axis=(1, 2)) for z, first in ((z_W, a), (z_H, b)))
    s = response.correlations
    left, right = (x.reshape(len(s), np.prod(x.shape[1:])) for x in (response.left, response.right))
    p, q = z_W.reshape(number, -1) @ left.T, z_H.reshape(number, -1) @ right.T
    # The information of a pair is [[1, s], [s, 1]]: their sum has less room than alone, their difference more.
    total, apart = (p + q) / np.sqrt(2.0 * (1.0 + s)), (p - q) / np.sqrt(2.0 * (1.0 - s))
    z_W += (((total + apart) / np.sqrt(2.0) - p) @ left).reshape(z_W.shape)
    z_H += (((total - apart) / np.sqrt(2.0) - q) @ right).reshape(z_H.shape)
    log_determinant = -np.sum(np.log1p(-(s**2)))
    for root, first in ((response.root_W, a), (response.root_H, b)):
        diagonal = np.einsum("ikk->ik", root)[:, first:]
        log_determinant += 2.0 * np.sum(np.log(diagonal))
    return z_W, z_H, -0.5 * (squares + log_determinant)


def _gamma_values(score: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard gamma variables with some normal scores, and log density over that of the score.

    The cube root of a gamma variable is nearly normal (Wilson and Hilferty 1931,
    doi:10.1073/pnas.17.12.684), and for large shapes taken to be; else the quantile itself is taken. The density is that
    of what is drawn.
    """
    spread = np.sqrt(1.0 / (9.0 * shape))
    root = np.maximum(1.0 - spread**2 + score * spread, 1e-3)
    values = shape * root**3
    log_ratio = -np.log(3.0 * shape * spread) - 2.0 * np.log(root)
    few = np.broadcast_to(shape < LARGE, score.shape)
    exact, own = np.broadcast_to(shape, score.shape)[few], score[few]
    found = np.maximum(gammaincinv(exact, ndtr(own)), np.finfo(float).tiny)
    log_gamma = (exact - 1.0) * np.log(found) - found - gammaln(exact)
    values[few] = found
    log_ratio[few] = log_gamma + 0.5 * (own**2 + np.log(2.0 * np.pi))
    return values, log_ratio
