"""Draws of entries that have gamma distributions of their own, and normal scores that move together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, gammaln, ndtr

from bayesnmf.methods.variational.response import Response

#: Entries of draws that are worked on at once.
ENTRIES = 2**22


#: Share of its variance that a logarithm keeps when its component's scale is taken out.
LEAST = 1e-3


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
        logs_W, logs_H, size = _logarithms(response, rng, part.stop - part.start)
        scale, taken = _scales(response, logs_W, logs_H)
        of_W = _entries(logs_W - scale, response.mean_W, margins[0], taken, response.n_known[0])
        of_H = _entries(logs_H + scale, response.mean_H, margins[1], taken, response.n_known[1])
        tiny = np.finfo(dtype).tiny
        for place, of, values, first in (
            (W[part], of_W, of_W.values * np.exp(scale), response.n_known[0]),
            (np.swapaxes(H[part], 1, 2), of_H, of_H.values * np.exp(-scale), response.n_known[1]),
        ):
            place[...] = values
            place[..., first:] = np.maximum(values[..., first:], tiny)
            size -= of.log_slope.sum(axis=(1, 2))
        size -= (n - m) * scale.sum(axis=(1, 2))
        log_density[part] = size - _bend(response, of_W, of_H)
    return Drawn(W, H, log_density)


class _Entries(NamedTuple):
    """Entries without their component's scale, and the slopes of their logarithms against those of the Gaussian.

    `log_slope` is the logarithm of the entries' derivative, `log_stretch` that of their logarithms'; both 0 where known.
    """

    values: np.ndarray
    log_slope: np.ndarray
    log_stretch: np.ndarray


def _entries(
    logs: np.ndarray, mean: np.ndarray, margin: np.ndarray, taken: np.ndarray, first: int
) -> _Entries:
    """Return entries of a factor for some Gaussian logarithms, whose variance is that of `margin` less `taken`."""
    variance = np.maximum(margin**2 - taken, LEAST * margin**2)[:, first:]
    values, log_ratio = _gamma_values(logs[..., first:] / np.sqrt(variance), 1.0 / variance)
    scaled = values * variance * mean[:, first:]
    log_slope = np.log(mean[:, first:]) + 0.5 * np.log(variance) - log_ratio
    known = np.broadcast_to(mean[:, :first], (*logs.shape[:2], first))
    none = np.zeros_like(known)
    log_stretch = log_slope - np.log(np.maximum(scaled, np.finfo(float).tiny))
    return _Entries(
        np.concatenate([known, scaled], axis=2),
        np.concatenate([none, log_slope], axis=2),
        np.concatenate([none, log_stretch], axis=2),
    )


def _scales(
    response: Response, logs_W: np.ndarray, logs_H: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of each component's scale, (draw, 1, component), and its variance.

    Along it W and H go opposite ways, and only the priors' shapes have a say: so it is independent of what is left of the
    logarithms without it. Components that are known in a factor have none.
    """
    if response.prior_shape_W is None or response.prior_shape_H is None:
        none = np.zeros((len(logs_W), 1, logs_W.shape[2]))
        return none, none[0, 0]
    total = response.prior_shape_W.sum(axis=0) + response.prior_shape_H.sum(axis=0)
    free = np.arange(len(total)) >= max(response.n_known)
    weighted = np.einsum("ik,dik->dk", response.prior_shape_W, logs_W)
    weighted -= np.einsum("jk,djk->dk", response.prior_shape_H, logs_H)
    return np.where(free, weighted / total, 0.0)[:, None], np.where(free, 1.0 / total, 0.0)


def _bend(response: Response, of_W: _Entries, of_H: _Entries) -> np.ndarray:
    """Return how the volume changes where scales are taken out of logarithms that are then stretched."""
    if response.prior_shape_W is None or response.prior_shape_H is None:
        return np.zeros(len(of_W.values))
    total = response.prior_shape_W.sum(axis=0) + response.prior_shape_H.sum(axis=0)
    shrunk = np.einsum("ik,dik->dk", response.prior_shape_W, np.exp(-of_W.log_stretch))
    shrunk += np.einsum("jk,djk->dk", response.prior_shape_H, np.exp(-of_H.log_stretch))
    free = np.arange(len(total)) >= max(response.n_known)
    return np.sum(np.where(free, np.log(shrunk / total), 0.0), axis=1)


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


def _logarithms(
    response: Response, rng: np.random.Generator, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws of the Gaussian logarithms of W and of H, with mean 0, and their log density."""
    z_W, z_H = (rng.standard_normal((number, *x.shape)) for x in (response.mean_W, response.mean_H))
    a, b = response.n_known
    squares = sum(np.sum(z[..., first:] ** 2, axis=(1, 2)) for z, first in ((z_W, a), (z_H, b)))
    s = response.correlations
    left, right = (
        x.reshape(len(s), x.shape[1] * x.shape[2]) for x in (response.left, response.right)
    )
    p, q = z_W.reshape(number, -1) @ left.T, z_H.reshape(number, -1) @ right.T
    # The information of a pair is [[1, s], [s, 1]]: their sum has less room than alone, their difference more.
    total, apart = (p + q) / np.sqrt(2.0 * (1.0 + s)), (p - q) / np.sqrt(2.0 * (1.0 - s))
    z_W += (((total + apart) / np.sqrt(2.0) - p) @ left).reshape(z_W.shape)
    z_H += (((total - apart) / np.sqrt(2.0) - q) @ right).reshape(z_H.shape)
    log_determinant = -np.sum(np.log1p(-(s**2)))
    for root, first in ((response.root_W, a), (response.root_H, b)):
        diagonal = np.einsum("ikk->ik", root)[:, first:]
        log_determinant += 2.0 * np.sum(np.log(diagonal)) + diagonal.size * np.log(2.0 * np.pi)
    logs_W, logs_H = (
        np.einsum("ilk,dil->dik", root, z)
        for root, z in ((response.root_W, z_W), (response.root_H, z_H))
    )
    return logs_W, logs_H, -0.5 * (squares + log_determinant)


def _gamma_values(score: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard gamma variables with some normal scores, and log density over that of the score.

    The cube root of a gamma variable is nearly normal (Wilson and Hilferty 1931,
    doi:10.1073/pnas.17.12.684), and for large shapes taken to be; else the quantile itself is taken. The density is that
    of what is drawn.
    """
    std = np.sqrt(1.0 / (9.0 * shape))
    root = np.maximum(1.0 - std**2 + score * std, 1e-3)
    values = shape * root**3
    log_ratio = -np.log(3.0 * shape * std) - 2.0 * np.log(root)
    few = np.broadcast_to(shape < LARGE, score.shape)
    exact, own = np.broadcast_to(shape, score.shape)[few], score[few]
    found = np.maximum(gammaincinv(exact, ndtr(own)), np.finfo(float).tiny)
    log_gamma = (exact - 1.0) * np.log(found) - found - gammaln(exact)
    values[few] = found
    log_ratio[few] = log_gamma + 0.5 * (own**2 + np.log(2.0 * np.pi))
    return values, log_ratio
