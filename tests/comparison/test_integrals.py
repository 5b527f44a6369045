"""Integrals over a row of W or a column of H, against closed forms and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import small
import synthetic
from exact import law
from scipy import special, stats

import bayesnmf as bn
from bayesnmf.comparison.integrals import Integral
from bayesnmf.comparison.pointwise import Pointwise

N_DRAWS = 40


def poisson_fit(shape, seed=0):
    """Return a rank-one fit of independent draws, and its raw H of shape (draw, column)."""
    rng = np.random.default_rng(seed)
    W, H = rng.gamma(2.0, 1.0, (1, N_DRAWS, 5, 1)), rng.gamma(2.0, 1.0, (1, N_DRAWS, 1, 6))
    V = rng.poisson(4.0, (5, 6)) + 0.0
    V[0, 3] = np.nan
    model = bn.NMF(1, "poisson", bn.priors.Gamma(shape, 0.7), bn.priors.Gamma(1.0, 1.0))
    return synthetic.assembled(W, H, V=V, model=model), V, H[0, :, 0]


def log_evidence(v, h, shape, rate):
    """Return the log of the integral of Poisson(v; w h) over w ~ Gamma(shape, rate), by draw."""
    seen = ~np.isnan(v)
    v, h = v[seen], h[:, seen]
    total = stats.gamma(shape, scale=1 / rate)
    w = total.ppf((np.arange(200_000) + 0.5) / 200_000)  # a check of the closed form, once
    closed = (
        shape * np.log(rate)
        - (shape + v.sum()) * np.log(rate + h.sum(axis=1))
        + stats.poisson.logpmf(v, h).sum(axis=1)
        + h.sum(axis=1)
    )
    closed += special.gammaln(shape + v.sum()) - special.gammaln(shape)
    brute = np.log(np.mean(np.exp(stats.poisson.logpmf(v, w[:, None] * h[0]).sum(axis=1))))
    assert closed[0] == pytest.approx(brute, abs=2e-3)
    return closed


def close(ours, exact, bias=0.006, spread=0.06):
    """Compare estimates of 64 points each: small errors, which average out over draws."""
    error = ours - exact
    assert abs(error.mean()) < bias
    assert error.std() < spread


@pytest.mark.parametrize("shape", [0.3, 1.0, 3.0])
def test_a_row_and_a_cell_of_rank_one(shape):
    fit, V, h = poisson_fit(shape)
    integral = Integral(Pointwise(fit))
    for row in (0, 2):
        whole = log_evidence(V[row], h, shape, 0.7)
        close(integral.line(row)[0], whole)
        rest = V[row].copy()
        rest[1] = np.nan
        close(integral.cell(row, 1)[0], whole - log_evidence(rest, h, shape, 0.7), 0.015, 0.1)


def test_a_row_that_the_fit_has_not_seen():
    fit, _, h = poisson_fit(1.5)
    v = np.array([9.0, 0.0, np.nan, 30.0, 2.0, 1.0])
    ours = Integral(Pointwise(fit)).new_line(v, {}, 0, np.empty(0))
    close(ours, log_evidence(v, h, 1.5, 0.7))


def test_columns_are_rows_of_the_transpose():
    rng = np.random.default_rng(3)
    W, H = rng.gamma(2.0, 1.0, (1, N_DRAWS, 6, 2)), rng.gamma(2.0, 1.0, (1, N_DRAWS, 2, 5))
    sigma = rng.uniform(1.0, 3.0, (6, 5))
    V = rng.normal(4.0, 2.0, (6, 5))
    priors = bn.priors.Gamma(1.5, 0.7), bn.priors.Gamma(2.5, 1.2)
    model = bn.NMF(2, bn.likelihoods.Gaussian(sigma), *priors)
    turned = bn.NMF(2, bn.likelihoods.Gaussian(sigma.T), *reversed(priors))
    one = Pointwise(synthetic.assembled(W, H, V=V, model=model))
    two = Pointwise(
        synthetic.assembled(H.swapaxes(2, 3), W.swapaxes(2, 3), V=V.T.copy(), model=turned)
    )
    for line, position in ((0, 1), (4, 5)):
        ours, theirs = Integral(one, "H").cell(line, position), Integral(two).cell(line, position)
        close(ours[0], theirs[0], 0.02, 0.1)


@pytest.mark.parametrize(
    "name",
    small.short_of(
        ["negative_binomial", "gaussian-known", "gamma", "beta", "poisson-exposure"],
        "negative_binomial",
        "gamma",
    ),
)
def test_rank_two_by_quadrature(name):
    """The trapezium rule over the logarithms of both entries of a row."""
    rng = np.random.default_rng(5)
    likelihood = small.LIKELIHOODS[name]
    V = small.data(likelihood, missing=0.2)
    W, H = rng.gamma(1.5, 0.5, (1, 6, 6, 2)), rng.gamma(1.5, 0.5, (1, 6, 2, 5))
    sites = {name: np.full((1, 6), value) for name, value in small.parameters(likelihood).items()}
    fit = synthetic.assembled(W, H, V=V, model=small.model(name), sites=sites)
    z, step = np.linspace(-14.0, 6.0, 600, retstep=True)
    w = np.exp(np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2))
    prior = (stats.gamma.logpdf(w, 1.5, scale=1 / 0.8) + np.log(w)).sum(axis=1)
    row, seen = 1, ~np.isnan(V[1])
    known = {x: np.broadcast_to(y, V.shape)[row] for x, y in likelihood.known.items()}
    exact = []
    for draw in range(6):
        cells = law(type(likelihood)(**known), w @ H[0, draw], **small.parameters(likelihood))
        density = cells.logpmf if isinstance(cells.dist, stats.rv_discrete) else cells.logpdf
        log = density(np.where(seen, V[row], 0.5))[:, seen].sum(axis=1)
        # SciPy's beta distribution is undefined where the proportion rounds to 1.
        log = np.nan_to_num(log, nan=-np.inf)
        exact.append(special.logsumexp(log + prior) + 2 * np.log(step))
    error = Integral(Pointwise(fit)).line(row)[0] - exact
    assert abs(error.mean()) < 0.06
    assert abs(error).max() < 0.3


def test_counts_of_a_continuous_likelihood():
    """The mass of the row, which near a smooth density is the density."""
    rng = np.random.default_rng(6)
    W, H = rng.gamma(2.0, 3.0, (1, N_DRAWS, 4, 1)), rng.gamma(2.0, 1.0, (1, N_DRAWS, 1, 3))
    V = rng.poisson(30.0, (4, 3)) + 0.0
    model = bn.NMF(1, bn.likelihoods.Gaussian(sigma=9.0), bn.priors.Gamma(2.0, 0.1))
    integral = Integral(Pointwise(synthetic.assembled(W, H, V=V, model=model), "counting"))
    values, fitted = integral.line(1)
    assert values is not fitted
    np.testing.assert_allclose(values, fitted, atol=0.02)


def test_draws_can_be_thinned_and_seeds_matter():
    fit, *_ = poisson_fit(1.0)
    pointwise = Pointwise(fit)
    some = Integral(pointwise, draws=np.array([3, 7])).line(0)[0]
    assert some.shape == (2,)
    assert (Integral(pointwise, seed=1).line(0)[0] != Integral(pointwise).line(0)[0]).all()
    np.testing.assert_array_equal(Integral(pointwise).line(0)[0], Integral(pointwise).line(0)[0])


def test_a_program_is_refused():
    W, H = synthetic.draws(1, 30)
    fit = synthetic.assembled(W, H, model=bn.load_model("cemgil2009", n_components=3))
    with pytest.raises(ValueError, match="of an NMF only, and cemgil2009 is a program"):
        Integral(Pointwise(fit))


def test_every_draw_has_its_own_rates():
    """Under a hyper-prior a row is integrated over its prior at the rate of the draw."""
    fit, V, h = poisson_fit(1.5)
    rng, priors = np.random.default_rng(5), bn.priors
    rates = rng.gamma(3.0, 0.3, (1, N_DRAWS, 1))
    model = bn.NMF(1, "poisson", priors.Gamma(1.5, priors.Gamma(2.0, 1.0)), priors.Gamma(1.0, 1.0))
    W, H = small.originals(fit)
    drawn = synthetic.assembled(W, H, V=V, model=model, sites={"rate_W": rates})
    ours = Integral(Pointwise(drawn)).line(1)[0]
    each = [log_evidence(V[1], h[i : i + 1], 1.5, rates[0, i, 0])[0] for i in range(N_DRAWS)]
    close(ours, np.array(each))
