"""Joint-distribution tests: a move must leave the prior unchanged.

After Geweke (2004): start at draws of the prior, then alternate data given the unknowns with the
move given the data. If the move leaves the posterior invariant, the unknowns still have their prior
distribution afterwards, exactly. Many independent repetitions replace one long chain, so p-values
need no autocorrelation.

Geweke, J. (2004). Getting it right: joint distribution tests of posterior simulators. Journal of the
American Statistical Association 99, 799-804. doi:10.1198/016214504000001132
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from exact import law
from scipy import stats

import bayesnmf as bn
from bayesnmf.likelihoods import Beta, Gamma, Gaussian, NegativeBinomial, Poisson
from bayesnmf.methods.sampler import adaptation
from bayesnmf.methods.sampler.metric import FactorMetric
from bayesnmf.methods.sampler.noise import draw_noise
from bayesnmf.methods.sampler.tangents import Widths, tangents_at
from bayesnmf.methods.sampler.target import Position, conditioned
from bayesnmf.methods.sampler.tuning import Metric, Steps, Tuning
from bayesnmf.observed.cells import Cells

SHAPE, RANK = (3, 4), 2
#: That leave WH unchanged: changes of two components by each other.
DIRECTIONS = 2
REPETITIONS, STEPS = 3000, 6
#: Chance that any of the comparisons of one test fails while the move is right.
FALSE_ALARM = 1e-3
LIKELIHOODS = {
    "poisson": Poisson(),
    "negative_binomial": NegativeBinomial(),
    "gaussian": Gaussian(scale=1.0),
    "gamma": Gamma(),
    "beta": Beta(),
    "beta-odds": Beta(link="odds"),
}


def model_of(name: str, shape: float = 1.3) -> bn.NMF:
    """Return a model whose WH is of the order of one, or of a fifth for proportions."""
    priors, likelihood = bn.priors, LIKELIHOODS[name]
    # Proportions are kept away from 1, to which they would round.
    lift = 2.5 if likelihood.name == "beta" else 1.0
    return bn.NMF(
        RANK, likelihood, priors.Gamma(shape, 1.8 * lift), priors.Gamma(shape, 1.1 * lift)
    )


def prior_draws(model: bn.NMF, size: int, seed: int) -> Position:
    """Return draws of the prior by NumPy, and of the likelihood's parameters by NumPyro."""
    rng = np.random.default_rng(seed)
    (n, m), K = SHAPE, model.n_components
    rates = {
        name: rng.gamma(hyper.shape, 1 / hyper.rate, (size, K))
        for name, hyper in model.hyper_priors.items()
    }
    given = model.with_rates({name: x[..., None] for name, x in rates.items()})
    W = rng.gamma(given.prior_W.shape, 1 / given.prior_W.rate, (size, K, n))
    H = rng.gamma(given.prior_H.shape, 1 / given.prior_H.rate, (size, K, m))
    if model.H is not None:
        H[:, : model.n_known_H] = model.H
    keys = jax.random.split(jax.random.key(seed), 1 + len(model.likelihood.priors))
    parameters = {
        name: jnp.asarray(prior.sample(key, (size,)), float)
        for (name, prior), key in zip(model.likelihood.priors.items(), keys, strict=False)
    }
    parameters |= {name: jnp.asarray(x) for name, x in rates.items()}
    return Position(jnp.log(W), jnp.log(H), parameters)


def data_given(model: bn.NMF, position: Position, key: jax.Array) -> Cells:
    """Draw a complete matrix."""
    model, position = conditioned(model, position)
    mean = jnp.exp(position.W).T @ jnp.exp(position.H)
    V = model.likelihood.distribution(mean, **position.parameters).sample(key).astype(mean.dtype)
    return Cells(inside(model, V), None)


def inside(model: bn.NMF, V: jax.Array) -> jax.Array:
    """Return data without the ends of their support, to which they may be rounded."""
    ends = jnp.finfo(V.dtype)
    if model.likelihood.name == "beta":
        return jnp.clip(V, ends.tiny, 1.0 - ends.epsneg)
    return jnp.maximum(V, ends.tiny) if model.likelihood.name == "gamma" else V


def fixed_tuning(position: Position, step: float = 0.6, known: int = 0) -> Tuning:
    """Return masses and step sizes that do not depend on the data; of H some rows are `known`.

    Directions that leave WH unchanged are of random lengths: whatever they are, the move must be exact.
    """
    W, H, parameters = position
    sizes = (W.shape[1:], H.shape[1:], ())
    log_step = jnp.log(jnp.asarray(step, float))
    steps = Steps(*(adaptation.first_step_size(jnp.broadcast_to(log_step, size)) for size in sizes))
    widths = {name: jnp.ones_like(x) for name, x in parameters.items()}
    tangents = tangents_at(1.0 + 0.0 * W, 0.5 + 0.0 * H, (unit_metric(W), unit_metric(H[known:])))
    lengths = np.random.default_rng(0).normal(0.0, 0.3, tangents.root.shape)
    metric = Metric(
        unit_metric(W), unit_metric(H[known:]), tangents._replace(root=jnp.asarray(lengths))
    )
    nothing = jax.tree.map(jnp.zeros_like, position)
    return Tuning(metric, steps, widths, nothing, Widths.none(tangents), jnp.zeros_like(log_step))


def unit_metric(x: jax.Array) -> FactorMetric:
    """Return the same masses of all rows."""
    unit = jnp.ones_like(x)
    identity = jnp.broadcast_to(jnp.eye(len(x))[:, :, None], (len(x), *x.shape))
    return FactorMetric(jnp.log(0.7 * unit), 0.6 * identity, unit, identity, unit, 0.5 * unit)


@partial(jax.jit, static_argnames=("move", "n_steps"))
def successive(model, positions, keys, move, n_steps=STEPS):
    """Alternate data and moves in every repetition; return the last positions and data."""

    def one(position, key):
        def step(position, key):
            key_data, key_move = jax.random.split(key)
            data = data_given(model, position, key_data)
            return move(
                model, data, position, draw_noise(key_move, position, DIRECTIONS)
            ), data.values

        position, values = jax.lax.scan(step, position, jax.random.split(key, n_steps))
        return position, values[-1]

    return jax.vmap(one)(positions, keys)


def summaries(model: bn.NMF, position: Position, V: jax.Array) -> dict[str, np.ndarray]:
    """Return functions of all unknowns and of the data, whose distributions are compared."""
    W, H = np.exp(np.asarray(position.W)), np.exp(np.asarray(position.H))
    mean = np.einsum("rki,rkj->rij", W, H)
    rates = {name: position.parameters[name] for name in model.hyper_priors}
    _, position = conditioned(model, position)
    parameters = {name: x[:, None, None] for name, x in position.parameters.items()}
    fit = model.likelihood.log_density(V, jnp.asarray(mean), **model.likelihood.known, **parameters)
    found = {
        "WH": mean[:, 0, 0],
        "mean of WH": mean.mean(axis=(1, 2)),
        "mass": W[:, 0].sum(axis=1) * H[:, 0].sum(axis=1),
        "balance": W[:, 0].sum(axis=1) / H[:, 0].sum(axis=1),
        "W": W[:, 1, 2],
        "H": H[:, 1, 3],
        "smallest": np.minimum(W.min(axis=(1, 2)), H.min(axis=(1, 2))),
        "log likelihood": np.asarray(fit).sum(axis=(1, 2)),
        "V": np.asarray(V).mean(axis=(1, 2)),
    }
    for name, x in rates.items():
        found |= {
            f"{name}, first": np.asarray(x[:, 0]),
            f"{name}, ratio": np.asarray(x[:, 1] / x[:, 0]),
        }
        found[f"mass in units of {name}"] = found["mass"] * found[f"{name}, first"]
    return found | {name: np.asarray(x) for name, x in position.parameters.items()}


@cache
def fresh(model: bn.NMF) -> dict[str, np.ndarray]:
    """Return the same functions of fresh draws of the prior, with data by SciPy.

    All tests of a model share them.
    """
    positions = prior_draws(model, 4 * REPETITIONS, seed=100)
    _, (W, H, parameters) = conditioned(model, positions)
    mean = np.einsum("rki,rkj->rij", np.exp(W), np.exp(H))
    each = {name: np.asarray(x)[:, None, None] for name, x in parameters.items()}
    V = law(model.likelihood, mean, **each).rvs(random_state=100).astype(float)
    return summaries(model, positions, inside(model, jnp.asarray(V)))


def p_values(model: bn.NMF, move, seed: int = 0) -> dict[str, float]:
    """Return p-values of Kolmogorov-Smirnov tests against fresh draws of the prior."""
    positions = prior_draws(model, REPETITIONS, seed)
    keys = jax.random.split(jax.random.key(seed), REPETITIONS)
    after = summaries(model, *successive(model, positions, keys, move))
    return {name: stats.ks_2samp(x, fresh(model)[name]).pvalue for name, x in after.items()}


def agrees(p: dict[str, float]) -> bool:
    """Return whether no comparison fails, at the false-alarm rate of all together."""
    return min(p.values()) > FALSE_ALARM / len(p)
