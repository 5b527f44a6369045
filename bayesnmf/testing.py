"""Property tests for likelihoods: those of the package, and those of others.

Algorithms trust what a likelihood says of its derivatives and its support. A likelihood that passes
:func:`check_likelihood` can be fitted by every method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesnmf.arrays import Array, ArrayLike
from bayesnmf.data import Matrix
from bayesnmf.likelihoods import Likelihood

#: Draws from which expectations are estimated, and standard errors that they may be off.
N_DRAWS, MAX_ERRORS = 200_000, 5.0

#: Values that data might hold; those outside the support have to be refused.
PROBES = (-1.5, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0)


def check_likelihood(
    likelihood: Likelihood,
    values: ArrayLike,
    means: ArrayLike,
    parameters: dict[str, float] | None = None,
    *,
    seed: int = 0,
) -> None:
    """Check what algorithms rely on, and raise ``AssertionError`` where it does not hold.

    The log density is that of the NumPyro distribution; the score is its derivative in the mean,
    and both its parts are non-negative; the Fisher information is the variance of the score; a
    change of the log density is a difference; `check` accepts the values and the placeholder and
    refuses what lies outside the support; single precision stays single; likelihoods that differ in numbers alone share one compilation.

    Parameters
    ----------
    likelihood : Likelihood
        With nothing given, so that its parameters are inferred.
    values : array_like of shape (n,)
        Values inside the support.
    means : array_like of shape (m,)
        Positive means WH.
    parameters : dict of str to float, optional
        A value of each parameter. None: where the likelihood starts.
    seed : int, default 0
        Of the draws that estimate the variance of the score.

    Raises
    ------
    AssertionError
        Naming the property and the values at which it fails.

    Examples
    --------
    >>> from bayesnmf.likelihoods import Gamma
    >>> check_likelihood(Gamma(), [0.5, 2.0], [0.3, 4.0], {"shape": 3.0})
    """
    parameters = dict(likelihood.start() if parameters is None else parameters)
    with jax.enable_x64(True):
        v, mean = jnp.broadcast_arrays(
            jnp.asarray(values, float).reshape(-1, 1), jnp.asarray(means, float).reshape(1, -1)
        )
        given = {name: jnp.asarray(x, float) for name, x in parameters.items()}
        _check_density(likelihood, v, mean, given)
        _check_score(likelihood, v, mean, given)
        _check_information(likelihood, mean[:1], given, seed)
        _check_change(likelihood, v, mean, given)
    _check_support(likelihood, np.asarray(v), parameters)
    v, mean = (jnp.asarray(np.asarray(x, np.float32)) for x in (v, mean))
    _check_precision(likelihood, v, mean, parameters)
    _check_compilation(likelihood, v, mean, parameters)


def _require_close(what: str, got: Array, expected: Array, rtol: float, atol: float = 0.0) -> None:
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, err_msg=what)


def _check_density(likelihood: Likelihood, v: Array, mean: Array, given: dict[str, Array]) -> None:
    density = likelihood.log_density(v, mean, **given)
    assert jnp.isfinite(density).all(), "the log density is not finite inside the support"
    expected = likelihood.distribution(mean, **given).log_prob(v)
    # NumPyro's negative binomial is off by 1e-6 itself.
    _require_close("log_density is not that of distribution", density, expected, 1e-6, 1e-5)
    bound = 1e-6 * (1 + jnp.abs(density).max(axis=1))
    for name in ("mean_terms", "varying_terms"):
        rest = density - getattr(likelihood, name)(v, mean, **given)
        message = f"{name} leaves out a term that depends on the mean"
        assert jnp.all(jnp.ptp(rest, axis=1) < bound), message


def _check_score(likelihood: Likelihood, v: Array, mean: Array, given: dict[str, Array]) -> None:
    numerator, denominator = likelihood.score_parts(v, mean, **given)
    assert jnp.all(denominator >= 0), "the second score part is negative"
    assert jnp.all((numerator >= 0) | (v < 0)), "the first score part is negative"
    derivative = jax.grad(lambda m: jnp.sum(likelihood.log_density(v, m, **given)))(mean)
    size = jnp.abs(numerator) + jnp.abs(denominator)
    for what, score in (
        ("score_parts", numerator - denominator),
        ("score", likelihood.score(v, mean, **given)),
    ):
        message = f"{what} is not the derivative of log_density in the mean"
        assert jnp.all(jnp.abs(score - derivative) <= 1e-7 * size + 1e-9), message


def _check_information(
    likelihood: Likelihood, mean: Array, given: dict[str, Array], seed: int
) -> None:
    means = jnp.broadcast_to(mean, (N_DRAWS, mean.shape[1]))
    draws = likelihood.distribution(means, **given).sample(jax.random.key(seed))
    squares = np.asarray(likelihood.score(draws.astype(means.dtype), means, **given)) ** 2
    error = squares.std(axis=0) / np.sqrt(N_DRAWS)
    information = np.asarray(
        likelihood.fisher_information(draws[:1].astype(mean.dtype), mean, **given)
    )[0]
    off = np.abs(squares.mean(axis=0) - information)
    message = (
        f"fisher_information {information} at means {mean[0]} is not the variance of the score, "
        f"{squares.mean(axis=0)} by {N_DRAWS} draws"
    )
    assert np.all(off <= MAX_ERRORS * error + 1e-9 * information), message
    curvature = np.asarray(
        likelihood.curvature(draws[:100].astype(mean.dtype), means[:100], **given)
    )
    assert np.all(curvature >= 0), "curvature is negative"


def _check_change(likelihood: Likelihood, v: Array, mean: Array, given: dict[str, Array]) -> None:
    for share in (-0.5, 1e-3, 2.0):
        before, after = (likelihood.log_density(v, m, **given) for m in (mean, mean * (1 + share)))
        change = likelihood.log_density_change(v, mean, mean * share, **given)
        atol = 1e-9 * float(jnp.abs(before).max() + 1)
        _require_close(
            "log_density_change is not the difference", change, after - before, 1e-6, atol
        )


def _check_support(likelihood: Likelihood, v: np.ndarray, parameters: dict[str, float]) -> None:
    placeholder = likelihood.placeholder
    for inside in (v, [[placeholder]], [[np.nan, placeholder], [placeholder] * 2]):
        try:
            likelihood.check(Matrix.of(inside))
        except ValueError as error:
            raise AssertionError(f"check refuses data inside the support: {error}") from error
    support = likelihood.distribution(jnp.ones(()), **parameters).support
    for value in PROBES:
        if not bool(support(value)):
            assert _refuses(likelihood, value), f"check accepts {value}, outside the support"


def _refuses(likelihood: Likelihood, value: float) -> bool:
    try:
        likelihood.check(Matrix.of([[value]]))
    except ValueError:
        return True
    return False


def _check_precision(
    likelihood: Likelihood, v: Array, mean: Array, parameters: dict[str, float]
) -> None:
    functions: tuple[Callable[..., Any], ...] = (
        likelihood.log_density,
        likelihood.score,
        likelihood.fisher_information,
    )
    with jax.enable_x64(False):
        for function in functions:
            dtype = jnp.result_type(function(v, mean, **parameters))
            assert dtype == np.float32, f"{function.__name__} of single precision is {dtype}"


def _check_compilation(
    likelihood: Likelihood, v: Array, mean: Array, parameters: dict[str, float]
) -> None:
    traces = []

    @jax.jit
    def density(likelihood: Likelihood, v: Array, mean: Array) -> Array:
        traces.append(likelihood)
        return likelihood.log_density(v, mean, **likelihood.known)

    for factor in (1.0, 1.25):
        known = {name: factor * value for name, value in parameters.items()}
        density(type(likelihood)(**known), v, mean)
    assert len(traces) == 1, "likelihoods that differ in numbers alone are compiled apart"
