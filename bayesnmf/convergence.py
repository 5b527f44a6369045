"""R-hat and effective sample sizes of many quantities at once.

The numbers are those of ``arviz_stats``, whose own routines take the quantities one by one. Here the draws
are one array: (chain, draw, entry).
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.special import ndtri

#: Draws of a chain below which nothing can be computed.
MIN_DRAWS = 4

#: Limit of R-hat (Vehtari et al. 2021), and entries of an array that are diagnosed where it has more.
MAX_RHAT, MAX_ENTRIES = 1.01, 400

#: Quantiles whose indicators give the tail ESS.
TAILS = (0.05, 0.95)

#: Numbers that are transformed at once, so that they stay in cache.
BATCH = 2**15


class Convergence(NamedTuple):
    """Diagnostics of every entry.

    Parameters
    ----------
    rhat : ndarray of shape (entry,)
        Rank-normalised R-hat; NaN with a single chain.
    ess_bulk, ess_tail : ndarray of shape (entry,)
        Effective sample sizes. All three are NaN where a draw is not finite, and with fewer than
        four draws.
    """

    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray


def convergence(draws: np.ndarray) -> Convergence:
    """Return R-hat, bulk ESS and tail ESS of every entry.

    Parameters
    ----------
    draws : array of shape (chain, draw, entry)

    References
    ----------
    Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Buerkner, P.-C. (2021).
    Rank-normalization, folding, and localization: an improved R-hat for assessing convergence
    of MCMC. Bayesian Analysis 16, 667-718. doi:10.1214/20-BA1221

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 100, 3))
    >>> convergence(draws).rhat.shape
    (3,)
    """
    n_chains, n_draws, n_entries = draws.shape
    found = np.full((3, n_entries), np.nan)
    if n_draws >= MIN_DRAWS:
        size = max(BATCH // (n_chains * n_draws), 1)
        parts = [slice(first, first + size) for first in range(0, n_entries, size)]
        # NumPy and SciPy let other threads run while they sort and transform.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            some = pool.map(lambda part: _of_some(np.moveaxis(draws[..., part], 2, 0)), parts)
            for part, diagnostics in zip(parts, some, strict=True):
                found[:, part] = diagnostics
    return Convergence(*found)


def subset(size: int) -> np.ndarray:
    """Return the places of the entries that are diagnosed: a fixed random subset of many.

    Examples
    --------
    >>> subset(3).tolist(), len(subset(10_000))
    ([0, 1, 2], 400)
    """
    if size <= MAX_ENTRIES:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, MAX_ENTRIES, replace=False))


def ess_mean(draws: np.ndarray) -> np.ndarray:
    """Return the effective sample size for the mean of every entry, of draws as in `convergence`.

    Examples
    --------
    >>> ess_mean(np.random.default_rng(0).normal(size=(4, 100, 3))).shape
    (3,)
    """
    return effective_size(_split(np.moveaxis(draws, 2, 0)))


def _of_some(draws: np.ndarray) -> np.ndarray:
    """Return the three diagnostics of draws of shape (entry, chain, draw)."""
    draws = np.ascontiguousarray(draws, float)
    finite = np.isfinite(draws).all(axis=(1, 2))
    if not finite.all():
        draws = np.where(finite[:, None, None], draws, 0.0)
    split = _split(draws)
    ordered = np.sort(split.reshape(len(split), -1), axis=1)
    scores, rhat = _normal_scores(split, ordered), np.full(len(draws), np.nan)
    if draws.shape[1] > 1:
        middle = ordered.shape[1] // 2
        median = ordered[:, middle - 1 : middle + 1].mean(axis=1)  # of an even number of draws
        folded = np.abs(split - median[:, None, None])
        ordered_folded = np.sort(folded.reshape(len(split), -1), axis=1)
        rhat = np.maximum(_rhat(scores), _rhat(_normal_scores(folded, ordered_folded)))
    if split.size < draws.size:  # an odd number of draws: the middle one counts for quantiles
        ordered = np.sort(draws.reshape(len(draws), -1), axis=1)
    tails = [
        effective_size((split <= _quantile(ordered, prob)[:, None, None]).astype(float))
        for prob in TAILS
    ]
    found = np.stack([rhat, effective_size(scores), np.minimum(*tails)])
    return np.where(finite, found, np.nan)


def _quantile(ordered: np.ndarray, prob: float) -> np.ndarray:
    """Return a quantile of every line of sorted numbers, as NumPy interpolates it."""
    place, share = divmod(prob * (ordered.shape[1] - 1), 1)
    return np.asarray(np.quantile(ordered[:, int(place) : int(place) + 2], share, axis=1))


def _split(draws: np.ndarray) -> np.ndarray:
    """Return the first and the last halves of chains as chains."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)


def _normal_scores(draws: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Return normal quantiles of the ranks over all chains; ties share their mean rank."""
    flat, size = draws.reshape(len(draws), -1), ordered.shape[1]
    # Blom (1958): the quantile of rank r, counted from 1, of n is (r - 3/8) / (n + 1/4).
    quantiles = ndtri((0.5 * np.arange(2 * size - 1) + 0.625) / (size + 0.25))
    scores, order = np.empty_like(flat), np.argsort(flat, axis=1)
    tied = np.zeros(flat.shape, bool)  # with the one before
    np.equal(ordered[:, 1:], ordered[:, :-1], out=tied[:, 1:])
    in_order = np.broadcast_to(quantiles[::2], flat.shape)
    if (tied[:, 1:] & tied[:, :-1]).any():
        place, ends = np.arange(size), ~np.roll(tied, -1, axis=1)
        first = np.maximum.accumulate(np.where(tied, 0, place), axis=1)
        last = np.minimum.accumulate(np.where(ends, place, size)[:, ::-1], axis=1)[:, ::-1]
        in_order = quantiles[first + last]
    elif tied.any():  # in pairs, as the two draws around a median are as far away from it
        rows, second = np.nonzero(tied)
        in_order = in_order.copy()
        in_order[rows, second] = in_order[rows, second - 1] = quantiles[2 * second - 1]
    np.put_along_axis(scores, order, in_order, axis=1)
    return scores.reshape(draws.shape)


def _rhat(chains: np.ndarray) -> np.ndarray:
    """Return R-hat of chains, without splitting them."""
    n_draws = chains.shape[2]
    between = n_draws * np.var(chains.mean(axis=2), axis=1, ddof=1)
    within = np.var(chains, axis=2, ddof=1).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt((between / within + n_draws - 1) / n_draws))


def effective_size(chains: np.ndarray) -> np.ndarray:
    """Return the effective sample size for the mean of every entry.

    Parameters
    ----------
    chains : array of shape (entry, chain, draw)
        As they are: where chains are to be split in halves, that has been done.

    References
    ----------
    Geyer, C. J. (1992). Practical Markov chain Monte Carlo. Statistical Science 7, 473-483.
    doi:10.1214/ss/1177011137
    """
    _, n_chains, n_draws = chains.shape
    total, covariance = n_chains * n_draws, _autocovariance(chains)
    within = covariance[:, 0] * n_draws / (n_draws - 1.0)
    plus = covariance[:, 0].copy()
    if n_chains > 1:
        plus += np.var(chains.mean(axis=2), axis=1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1.0 - (within[:, None] - covariance) / plus[:, None]
        rho[:, 0] = 1.0
        size = total / np.maximum(_time(rho), 1.0 / math.log10(total))
    constant = np.ptp(chains, axis=(1, 2)) < np.finfo(float).resolution
    return np.where(constant, float(total), size)


def _autocovariance(chains: np.ndarray) -> np.ndarray:
    """Return the autocovariance at every lag, (entry, lag), averaged over chains."""
    n_draws = chains.shape[2]
    size = fft.next_fast_len(2 * n_draws, real=True)
    spectrum = fft.rfft(chains - chains.mean(axis=2, keepdims=True), n=size, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    return np.asarray(fft.irfft(power, n=size, axis=1)[:, :n_draws]) / n_draws


def _time(rho: np.ndarray) -> np.ndarray:
    """Return the autocorrelation time by Geyer's initial monotone sequence.

    Lags are taken in pairs 2j and 2j + 1. The sums of pairs are positive and decrease in theory; they
    are added up, as the smallest so far, until one is not. Of that one the even lag is added, once,
    where it is positive.
    """
    n_draws = rho.shape[1]
    even = rho[:, : 2 * (n_draws // 2) : 2]
    pairs = even + rho[:, 1::2]
    limit = max(-(-(n_draws - 2) // 2) - 1, 0)  # the last pair that is looked at
    ended = ~(pairs[:, : limit + 1] > 0)
    last = np.where(ended.any(axis=1), ended.argmax(axis=1), limit)
    sums = np.cumsum(np.minimum.accumulate(pairs, axis=1), axis=1)
    rows = np.arange(len(rho))
    tail = even[rows, last]
    tail = np.where((tail > 0) | (pairs[rows, last] >= 0), tail, 0.0)
    before = np.where(last > 0, sums[rows, np.maximum(last - 1, 0)], 0.0)
    return np.where(np.isnan(rho).any(axis=1), np.nan, -1.0 + 2.0 * before + tail)
