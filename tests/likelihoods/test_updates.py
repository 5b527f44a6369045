"""Multiplicative updates descend, and stop only where the gradient vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from likelihood_cases import CASES, Case, compiled, every_case
from scipy import special

pytestmark = pytest.mark.usefixtures("float64")

HEURISTIC = [name for name, case in CASES.items() if not case.likelihood.majorises]
MAJORISING = [name for name in CASES if name not in HEURISTIC]


def test_only_beta_lacks_a_proof():
    assert HEURISTIC == ["beta-cloglog", "beta-odds"]


def simulate(case: Case, missing: bool) -> tuple[np.ndarray, np.ndarray, dict, np.ndarray]:
    """Return data of rank 2, the mask, parameters and a random stream."""
    rng = np.random.default_rng(11)
    W, H = rng.gamma(1.0, size=(8, 2)), rng.gamma(1.0, size=(2, 7))
    # Known parameters may differ from cell to cell.
    low, high = (case.ordinary[i] for i in (0, -1))
    parameters = {k: rng.uniform(low[k], high[k], (8, 7)) for k in low}
    parameters |= {name: low[name] for name in case.likelihood.priors}
    V = case.law(W @ H, **parameters).rvs(size=(8, 7), random_state=rng).astype(float)
    observed = rng.random((8, 7)) > 0.3 if missing else np.ones((8, 7), bool)
    return V, observed, parameters, rng


@pytest.mark.parametrize("name", MAJORISING)
@pytest.mark.parametrize("shape", [1.0, 2.0])
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_updates_never_increase_the_objective(name, shape, missing):
    case = CASES[name]
    V, observed, parameters, rng = simulate(case, missing)
    V = np.where(observed, V, case.likelihood.placeholder)
    factors = [rng.gamma(2.0, size=(8, 2)), rng.gamma(2.0, size=(2, 7))]
    rates = (0.3, 1.7)

    def objective():
        log_density = case.log_density(V, factors[0] @ factors[1], **parameters)
        prior = [special.xlogy(shape - 1, x) - b * x for x, b in zip(factors, rates, strict=True)]
        return -log_density[observed].sum() - sum(p.sum() for p in prior)

    path = [objective()]
    for step in range(60):
        W, H = factors
        parts = compiled(name, "score_parts")(V, W @ H, **parameters)
        side = step % 2
        numerator, denominator = (
            (np.where(observed, p, 0.0) @ H.T) if side == 0 else (W.T @ np.where(observed, p, 0.0))
            for p in parts
        )
        factors[side] = np.asarray(
            compiled(name, "update")(
                factors[side],
                numerator,
                denominator,
                shape - 1,
                rates[side],
                case.likelihood.exponent,
            )
        )
        path.append(objective())
    assert all(factor.min() >= 0 for factor in factors)
    assert np.max(np.diff(path)) <= 1e-12 * np.abs(path).max()
    assert path[-1] < path[0] - 1


@every_case
@pytest.mark.parametrize("log_coefficient", [0.0, 1.0])
def test_updates_stop_where_the_gradient_vanishes(name, log_coefficient):
    rng = np.random.default_rng(5)
    w, rate = rng.uniform(1.0, 3.0, (4, 3)), 0.5
    denominator = rng.uniform(1.0, 4.0, w.shape)
    # The gradient of the objective is denominator + rate - numerator - pull / w.
    balance = denominator + rate - log_coefficient / w
    update = compiled(name, "update")
    for exponent in (0.5, 1.0):
        np.testing.assert_allclose(
            update(w, balance, denominator, log_coefficient, rate, exponent), w, rtol=1e-12
        )
        assert np.all(update(w, 1.3 * balance, denominator, log_coefficient, rate, exponent) > w)
        assert np.all(update(w, 0.7 * balance, denominator, log_coefficient, rate, exponent) < w)


@pytest.mark.parametrize("name", HEURISTIC)
def test_a_heuristic_update_can_be_damped_to_nothing(name):
    w, numerator, denominator = np.random.default_rng(2).gamma(1.0, size=(3, 4, 2))
    update = compiled(name, "update")
    np.testing.assert_array_equal(update(w, numerator, denominator, 0.5, 0.1, 0.0), w)
