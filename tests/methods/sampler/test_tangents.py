"""Directions that leave WH unchanged, and how warm-up learns their widths."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.methods.sampler.coordinates import point_at
from bayesnmf.methods.sampler.metric import metrics
from bayesnmf.methods.sampler.tangents import MAX_COEFFICIENTS, Widths, tangents_at
from bayesnmf.methods.sampler.target import Position
from bayesnmf.observed import dense_cells_of

pytestmark = pytest.mark.usefixtures("float64")
N_ROWS, N_COLUMNS, RANK = 7, 6, 3


def setting(known=0, count=400.0):
    """Return a position where the data determine all entries, and its metric and tangents."""
    rng = np.random.default_rng(3)
    W, H = rng.gamma(4.0, 1.0, (RANK, N_ROWS)), rng.gamma(4.0, 1.0, (RANK, N_COLUMNS))
    V = rng.poisson(count * W.T @ H).astype(float)
    model = bn.NMF(RANK, H=count * H[:known] if known else None).resolve(Matrix.of(V))
    position = Position(jnp.log(W), jnp.log(count * H), {})
    metric = metrics(model, dense_cells_of(model, Matrix.of(V)), position)
    return position, metric, tangents_at(jnp.exp(position.W), jnp.exp(position.H), metric)


def at_unit(tangents, i):
    """Return the tangents whose only direction is one entry of A."""
    root = jnp.zeros_like(tangents.root, shape=(len(tangents.root), 1))
    return tangents._replace(root=root.at[i, 0].set(1.0))


@pytest.mark.parametrize("known", [0, 1])
def test_they_leave_WH_unchanged_to_first_order(known):
    """Against the product itself, along every entry of A."""
    position, metric, tangents = setting(known)
    slopes = [
        jnp.exp(own.log_width) * point_at(own.center, jnp.ones_like(own.center)).share
        for own in metric
    ]

    def product(step, i):
        moved_W, moved_H = at_unit(tangents, i).along(jnp.ones(1))
        W = jnp.exp(position.W).at[-len(moved_W) :].add(step * slopes[0] * moved_W)
        H = jnp.exp(position.H).at[-len(moved_H) :].add(step * slopes[1] * moved_H)
        return W.T @ H

    assert len(tangents.root) == RANK * (RANK - known)
    for i in range(len(tangents.root)):
        slope = jax.jvp(lambda step, i=i: product(step, i), (0.0,), (1.0,))[1]
        size = jnp.abs(at_unit(tangents, i).along(jnp.ones(1))[0] * slopes[0]).max()
        # Entries follow by the share of the data in what is known of them, nearly 1 here.
        assert jnp.abs(slope).max() < 2e-3 * size * jnp.exp(position.H).max()


def test_across_is_the_transpose_of_along():
    position, _, tangents = setting()
    rng = np.random.default_rng(0)
    tangents = tangents._replace(root=jnp.asarray(rng.normal(size=tangents.root.shape)))
    slopes = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in position[:2])
    momentum = jnp.asarray(rng.normal(size=tangents.root.shape[1]))
    moved = tangents.along(momentum)
    inner = sum(jnp.sum(a * b) for a, b in zip(moved, slopes, strict=True))
    np.testing.assert_allclose(inner, tangents.across(slopes) @ momentum, rtol=1e-12)


def test_a_quadratic_form_is_that_of_the_velocities():
    _, metric, tangents = setting()
    forms = [own.information for own in metric]
    size = len(tangents.root)
    unit = [at_unit(tangents, i).along(jnp.ones(1)) for i in range(size)]
    brute = [
        [
            sum(
                jnp.einsum("ai,abi,bi->", x, form, y)
                for x, form, y in zip(a, forms, b, strict=True)
            )
            for b in unit
        ]
        for a in unit
    ]
    np.testing.assert_allclose(tangents.quadratic(*forms), np.array(brute), rtol=1e-10)


def widened(scale, n_draws=1e6):
    """Return tangents whose widths come from draws of that many standard deviations of the masses."""
    _, metric, tangents = setting()
    form = tangents.quadratic(*(own.information for own in metric))
    prior = tangents.quadratic(
        *(jnp.eye(len(own.prior))[:, :, None] * own.prior[None] for own in metric)
    )
    covariance = scale**2 * jnp.linalg.inv(form)
    return form, tangents.widened(form, prior, covariance, jnp.asarray(n_draws))


def test_directions_are_orthogonal_to_each_other_and_to_scales():
    form, tangents = widened(5.0)
    inner = tangents.root.T @ form @ tangents.root
    expected = (5.0**1.4 - 1.0) * np.eye(RANK * RANK - RANK)
    np.testing.assert_allclose(inner, expected, atol=1e-4 * 5.0**1.4)
    scales = np.flatnonzero(np.eye(RANK).ravel())
    np.testing.assert_allclose((form @ tangents.root)[scales], 0.0, atol=1e-6 * float(form.max()))


def test_what_is_as_narrow_as_the_masses_say_is_not_widened():
    _, wide = widened(5.0)
    assert np.abs(widened(1.0)[1].root).max() < 1e-5 * np.abs(wide.root).max()
    assert not widened(0.3)[1].root.any()


def test_few_draws_count_for_little():
    few, many = (np.abs(widened(5.0, n)[1].root).max() for n in (1.0, 1e6))
    assert 0 < few < 0.7 * many


def test_widths_are_those_of_draws():
    """From gradients of the masses' form at draws of A, back to the covariance of A."""
    _, metric, tangents = setting()
    form = np.asarray(tangents.quadratic(*(own.information for own in metric)))
    rng, size = np.random.default_rng(1), len(form)
    mixing = rng.normal(size=(size, size)) / np.sqrt(np.diag(form))[:, None]
    draws = rng.normal(size=(500, size)) @ mixing.T
    widths = Widths.none(tangents)
    for a in draws:
        widths = widths.with_draw(jnp.asarray(form @ a))
    found = np.asarray(widths.covariance(jnp.asarray(form), jnp.asarray(500.0)))
    expected = np.cov(draws.T, ddof=0)
    unit = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        found / unit[:, None] / unit, expected / unit[:, None] / unit, atol=1e-3
    )


def test_overflow_widens_nothing():
    _, metric, tangents = setting()
    form = tangents.quadratic(*(own.information for own in metric))
    found = tangents.widened(form * jnp.inf, form, form, jnp.asarray(10.0))
    assert not found.root.any()


def test_no_widths_are_learned_of_many_components():
    k = int(MAX_COEFFICIENTS**0.5) + 1
    ones = jnp.ones((k, 3))
    metric = metrics(
        bn.NMF(k).resolve(Matrix.of(np.ones((3, 3)))),
        dense_cells_of(bn.NMF(k), Matrix.of(np.ones((3, 3)))),
        Position(jnp.log(ones), jnp.log(ones), {}),
    )
    assert tangents_at(ones, ones, metric).root.shape == (k * k, 0)
