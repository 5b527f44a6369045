"""Components of W and H: one scale and one order for all draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesnmf.methods.matching import match_rows, unit_rows

#: Rounds of matching to the mean of the matched draws; each can only raise the similarity.
MAX_ROUNDS = 20


class Aligned(NamedTuple):
    """Draws whose components have one scale and one order.

    Parameters
    ----------
    W : ndarray of shape (chain, draw, row, component)
        Scaled so that it carries the mass.
    H : ndarray of shape (chain, draw, component, column)
        Each row sums to 1 (or is 0 where the component is empty).
    scale : ndarray of shape (chain, draw, component)
        Sum of the original row of H: the original factors are ``W / scale`` and ``H * scale``.
    order : ndarray of int of shape (chain, draw, component)
        Original position of each component.
    similarity : ndarray of shape (chain, draw, component)
        Cosine between the component's row of H and the average of its matches.
    """

    W: np.ndarray
    H: np.ndarray
    scale: np.ndarray
    order: np.ndarray
    similarity: np.ndarray


def align(
    W: np.ndarray,
    H: np.ndarray,
    lp: np.ndarray | None = None,
    scale: np.ndarray | None = None,
    known: int = 0,
) -> Aligned:
    """Give every draw the same scale and the same order of components.

    The product WH is unchanged by scaling component k of W by c and of H by 1 / c, and by
    permuting components, so raw draws of W and H cannot be averaged. Rows of H are scaled to
    sum to 1; then each draw's components are matched, by the permutation that maximises the
    total cosine between rows of H, to a pivot: first the draw of highest density, then the
    mean of the matched draws until nothing moves. Components are numbered by decreasing mass.
    Known components come first and keep their places.

    Parameters
    ----------
    W : ndarray of shape (chain, draw, row, component)
    H : ndarray of shape (chain, draw, component, column)
    lp : ndarray of shape (chain, draw), optional
        Log joint density, to choose the first pivot; None: the last draw of the first chain.
    scale : ndarray of shape (chain, draw, component), optional
        What has been moved from H into W before. None: nothing has.
    known : int, default 0
        Number of components that are known, in W or in H.

    Returns
    -------
    Aligned

    Examples
    --------
    >>> W, H = np.array([[[[1.0, 4.0]]]]), np.array([[[[0.5, 0.5], [2.0, 0.0]]]])
    >>> align(W, H).W
    array([[[[8., 1.]]]])
    """
    if scale is None:
        W, H, scale = rescale(W, H)
    n_components = H.shape[-2]
    flat = H.reshape(-1, *H.shape[-2:])
    pivot = flat[-1] if lp is None else flat[int(np.argmax(np.nan_to_num(lp, nan=-np.inf)))]
    order = match_free(flat, pivot, known)
    for _ in range(MAX_ROUNDS):
        pivot = np.take_along_axis(flat, order[..., None], axis=1).mean(axis=0)
        previous, order = order, match_free(flat, pivot, known)
        if np.array_equal(previous, order):
            break
    order = order.reshape(*H.shape[:2], n_components)
    mass = np.where(H.any(axis=-1), W.sum(axis=-2), 0)  # without H, W adds nothing to WH
    mass = np.take_along_axis(mass, order, axis=-1).mean(axis=(0, 1))
    mass[:known] = np.inf
    by_mass = np.argsort(-mass, kind="stable")
    # Draws get the layout of these places: one in which a component is a line would be slow to sum.
    order, pivot = np.ascontiguousarray(order[..., by_mass]), pivot[by_mass]
    if (
        order == np.arange(n_components)
    ).all():  # as where all are known: many draws stay as they are
        W, H = np.ascontiguousarray(W), np.ascontiguousarray(H)
    else:
        W = np.take_along_axis(W, order[..., None, :], axis=-1)
        H = np.take_along_axis(H, order[..., None], axis=-2)
        scale = np.take_along_axis(scale, order, axis=-1)
    similarity = np.einsum("...kj,kj->...k", unit_rows(H), unit_rows(pivot))
    return Aligned(W, H, scale, order, similarity)


def match_free(H: np.ndarray, pivot: np.ndarray, known: int) -> np.ndarray:
    """Return which component of each draw takes each place; known ones have their own."""
    order = np.tile(np.arange(len(pivot)), (len(H), 1))
    if known < len(pivot):
        order[:, known:] = known + match_rows(H[:, known:], pivot[known:])
    return order


def rescale(W: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale each row of H to sum to 1, moving its scale into W; return W, H and the scale.

    A row whose sum is 0 or not finite stays as it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = H.sum(axis=-1)
    scale = np.where((total > 0) & np.isfinite(total), total, np.ones_like(total))
    return W * scale[..., None, :], H / scale[..., None], scale
