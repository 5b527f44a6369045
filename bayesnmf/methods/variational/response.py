"""How far W and H move together: what independent distributions leave out of the posterior.

Independent entries have the right means but far too little room along the directions in which components
trade with each other: there W moves one way and H the other, and WH stays as it is. Here the logarithms are
Gaussian with the information at the means (:mod:`bayesnmf.methods.variational.information`). Every row has its own block, whole. Between W
and H, with the blocks taken out, the information is a matrix whose singular values are the
correlations of W and H. K**2 of them, of the scales and trades of K components, are near 1, and the others near 0. So the leading
ones are found, and the others are left out.

Each entry then has a gamma distribution with its mean, and with the precision of its logarithm as shape: without any
data that is its prior. The entries' normal scores are those of the Gaussian. The scale of a component, which leaves WH as it
is, is taken apart: it multiplies W and divides H.

References
----------
Giordano, R., Broderick, T. and Jordan, M. I. (2018). Covariances, robustness, and variational Bayes. Journal of
Machine Learning Research 19 (51), 1-49. https://jmlr.org/papers/v19/17-670.html
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array
from bayesnmf.methods.variational.information import (
    Information,
    Pair,
    crossed,
    information_at,
    inverse_roots,
)
from bayesnmf.model import NMF
from bayesnmf.observed.interface import Parameters, Sampled

#: Pairs of directions at most. Up to this many unknowns of the smaller factor, all of them are found at once.
MOST, SMALL = 150, 200


#: Correlations are kept below 1 by this: a direction that only the prior holds has one of almost 1.
LEAST = 1e-9


class Response(NamedTuple):
    """A Gaussian distribution of the logarithms of W and H around given means.

    Attributes
    ----------
    mean_W : ndarray of shape (row, component)
    mean_H : ndarray of shape (column, component)
    root_W, root_H : ndarray of shape (row, component, component)
        R of each row: its logarithms vary as ``R' z``, with z standard normal given the other factor.
    correlations : ndarray of shape (n,)
    left : ndarray of shape (n, row, component)
        Directions of z of W, orthonormal; each goes against one of H.
    right : ndarray of shape (n, column, component)
    n_known : pair of int
        Known components of W and of H, which do not vary.
    prior_shape_W, prior_shape_H : ndarray of shape (row or 1, component), or None
        Shapes of the priors, which alone hold the scale of a component; None where no entry moves with another.
    """

    mean_W: np.ndarray
    mean_H: np.ndarray
    root_W: np.ndarray
    root_H: np.ndarray
    correlations: np.ndarray
    left: np.ndarray
    right: np.ndarray
    n_known: tuple[int, int]
    prior_shape_W: np.ndarray | None = None
    prior_shape_H: np.ndarray | None = None


def response_at(model: NMF, data: Sampled, W: Array, H: Array, parameters: Parameters) -> Response:
    """Return the distribution around whole factors, component first, given the rates."""
    at, roots = _blocks(model, data, W, H, parameters)
    correlations, left, right = _directions(model, data, at, roots, parameters)
    return Response(
        np.asarray(W).T,
        np.asarray(H).T,
        np.asarray(roots[0]),
        np.asarray(roots[1]),
        np.minimum(correlations, 1.0 - LEAST),
        left.reshape(len(left), *W.shape[::-1]),
        right.reshape(len(right), *H.shape[::-1]),
        (model.n_known_W, model.n_known_H),
        *(
            np.broadcast_to(np.asarray(prior.shape_term(x)), x.shape).T
            for prior, x in ((model.prior_W, W), (model.prior_H, H))
        ),
    )


def independent(model: NMF, W: Array, H: Array, shape_W: Array, shape_H: Array) -> Response:
    """Return the distribution in which no entry moves with another; all arrays are whole, component first."""
    k = model.n_components

    def roots(shape: Array) -> np.ndarray:
        return np.asarray(shape, np.float64).T[:, :, None] ** -0.5 * np.eye(k)

    (n, m), none = (W.shape[1], H.shape[1]), np.zeros(0)
    return Response(
        np.asarray(W).T,
        np.asarray(H).T,
        roots(shape_W),
        roots(shape_H),
        none,
        none.reshape(0, n, k),
        none.reshape(0, m, k),
        (model.n_known_W, model.n_known_H),
    )


@jax.jit
def _blocks(
    model: NMF, data: Sampled, W: Array, H: Array, parameters: Parameters
) -> tuple[Information, Pair]:
    at = information_at(model, data, W, H, parameters)
    return at, inverse_roots(model, at)


def _directions(
    model: NMF, data: Sampled, at: Information, roots: Pair, parameters: Parameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the leading singular values and vectors of the information between z of W and z of H."""
    n_free = tuple(model.n_components - n for n in (model.n_known_W, model.n_known_H))
    sizes = tuple(x.shape[1] * x.shape[0] for x in (at.W, at.H))
    if 0 in n_free:
        return np.zeros(0), np.zeros((0, sizes[0])), np.zeros((0, sizes[1]))
    between = partial(_between, model, data, at, roots, parameters)
    if min(sizes) <= SMALL:
        axis = int(np.argmin(sizes))  # the smaller factor's z one by one
        whole = np.asarray(_of_all(model, data, at, roots, parameters, axis=axis))
        whole = whole.T if axis == 1 else whole
        left, values, right = np.linalg.svd(whole, full_matrices=False)
        return values, left.T, right
    from scipy.sparse.linalg import LinearOperator, svds

    operator = LinearOperator(
        sizes,
        matvec=lambda z: np.ravel(between(np.ravel(z), axis=1)),
        rmatvec=lambda z: np.ravel(between(np.ravel(z), axis=0)),
        dtype=np.float64,
    )
    number = min(n_free[0] * n_free[1], MOST, min(sizes) - 1)
    first = np.ones(min(sizes))  # the same data give the same directions
    left, values, right = svds(operator, number, tol=1e-3, v0=first)
    return values, left.T, right


@partial(jax.jit, static_argnames="axis")
def _between(
    model: NMF,
    data: Sampled,
    at: Information,
    roots: Pair,
    parameters: Parameters,
    z: Array,
    *,
    axis: int,
) -> Array:
    """Return the information between z of both factors times one of H's, where `axis` is 1, else of W's."""
    own, other = roots if axis == 1 else roots[::-1]
    z = z.reshape(len(other), -1)
    step = jnp.einsum("ilk,il->ki", other, z)
    bent = crossed(model, data, at, step, parameters, axis=axis)
    return jnp.einsum("ikl,li->ik", own, bent)


@partial(jax.jit, static_argnames="axis")
def _of_all(
    model: NMF, data: Sampled, at: Information, roots: Pair, parameters: Parameters, *, axis: int
) -> Array:
    """Return :func:`_between` of every unit vector, one a line."""
    other = roots[1] if axis == 1 else roots[0]
    units = jnp.eye(other.shape[0] * other.shape[1], dtype=other.dtype)
    one = partial(_between, model, data, at, roots, parameters, axis=axis)
    return jax.lax.map(lambda z: jnp.ravel(one(z)), units)
