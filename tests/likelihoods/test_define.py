"""Likelihoods that users define: one class, which works everywhere."""

from __future__ import annotations

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from likelihood_cases import CASES
from small import METHODS, run, short_of

import bayesnmf as bn
from bayesnmf.likelihoods import Gamma, Gaussian, Likelihood, Poisson, likelihood
from bayesnmf.testing import check_likelihood

SHAPE, RANK = (8, 6), 2


@likelihood()
class StudentT(Likelihood):
    """Noise with heavy tails: V_ij = (WH)_ij + scale * t, t with 4 degrees of freedom."""

    scale: float | None = None

    name = "student_t"
    base_measure = "lebesgue"
    parameters = ("scale",)
    majorises = False

    @property
    def priors(self):
        return {} if self.known else {"scale": dist.Exponential(1.0)}

    def distribution(self, mean, scale):
        return dist.StudentT(4.0, mean, scale)

    def fisher_information(self, v, mean, scale):
        return jnp.broadcast_to(5.0 / (7.0 * scale**2), jnp.shape(mean))


@likelihood()
class Geometric(Likelihood):
    """Counts whose probability falls by the same factor with every one more."""

    name = "geometric"
    base_measure = "counting"

    def distribution(self, mean):
        return dist.GeometricProbs(1.0 / (1.0 + mean))

    def fisher_information(self, v, mean):
        return 1.0 / (mean * (1.0 + mean))


#: NumPyro's Student t promotes dtypes implicitly.
pytestmark = pytest.mark.numpyro_promotion


@cache
def data():
    return bn.datasets.make_nmf(*SHAPE, RANK, StudentT(scale=0.5), seed=4)[0]


@cache
def fitted(method="mcmc", name="student_t"):
    chosen = StudentT() if name == "student_t" else name
    return run(data(), bn.NMF(RANK, chosen), METHODS[method], seed=1)


# -- everywhere -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", short_of(["map", "svi", "mcmc"], "map", "mcmc"))
def test_every_method_fits_it(method):
    fit = fitted(method)
    scale = fit.tree["posterior"]["scale"].to_numpy()
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert "student t" in fit.model.title


def test_it_simulates_data_around_the_mean():
    V, W, H = bn.datasets.make_nmf(200, 100, RANK, StudentT(), seed=1, scale=0.25)
    residual = (V - W @ H) / 0.25
    # The quartiles of a t distribution with four degrees of freedom.
    np.testing.assert_allclose(np.quantile(residual, [0.25, 0.75]), [-0.741, 0.741], atol=0.03)


@pytest.mark.filterwarnings("ignore:.* draws are few")
@pytest.mark.filterwarnings("ignore:Pareto k")
def test_it_is_compared_with_a_likelihood_of_the_package():
    table = bn.compare({"t": fitted(), "gaussian": fitted(name="gaussian")}, progress=False)
    assert set(table.index) == {"t", "gaussian"}
    assert np.isfinite(table["elpd"]).all()


def test_it_is_checked_and_reported(tmp_path):
    checks = bn.ppc(fitted())
    assert len(checks.table)
    page = bn.report(fitted(), tmp_path / "page.html", checks=checks).read_text()
    assert "student t" in page.lower()


@pytest.mark.long
def test_ranks_are_compared_under_it():
    found = bn.select_rank(data(), [1, 2], StudentT(), n_replicates=19, progress=False)
    assert found.best in (1, 2)
    assert np.isfinite(found.table["residual_p"]).all() if "residual_p" in found.table else True


def test_a_saved_fit_comes_back_with_the_class_and_without(tmp_path):
    fit, path = fitted("map"), tmp_path / "fit.nc"
    fit.save(path)
    again = bn.load(path, likelihoods=[StudentT])
    assert again.model == fit.model
    with pytest.warns(UserWarning, match="likelihoods="):
        bare = bn.load(path)
    assert bare.model is None
    np.testing.assert_array_equal(bare.W, fit.W)


def test_a_density_has_no_mass_to_compare_with_counts():
    V = np.random.default_rng(0).poisson(5.0, SHAPE).astype(float)
    fit = run(V, bn.NMF(RANK, StudentT()), METHODS["mcmc"], seed=1)
    with pytest.raises(ValueError, match="student t likelihood gives V a density"):
        bn.loo(fit, measure="counting")
    assert not StudentT().gives_mass
    with pytest.raises(ValueError, match="student t likelihood gives counts no mass"):
        StudentT().log_mass(1.0, 1.0, scale=1.0)


def test_a_discrete_one_has_its_probabilities_for_masses():
    v, mean = jnp.asarray(3.0), jnp.asarray(2.0)
    assert Geometric().gives_mass
    assert float(Geometric().log_mass(v, mean)) == pytest.approx(np.log(1 / 3 * (2 / 3) ** 3))


# -- the decorator ----------------------------------------------------------------------------


def made(**attributes):
    body = {"name": "made", "base_measure": "lebesgue", **attributes}
    for method in ("distribution", "fisher_information"):
        body.setdefault(method, lambda self, *values, **parameters: None)
    return type("Made", (Likelihood,), {k: v for k, v in body.items() if v is not None})


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (int, "must derive from bayesnmf.likelihoods.Likelihood"),
        (3, "must derive from bayesnmf.likelihoods.Likelihood"),
        (made(name=None), "the likelihood Made must set name, a str"),
        (made(base_measure=None), "the likelihood Made must set base_measure, a str"),
        (made(base_measure="counts"), "must be 'counting' for counts or 'lebesgue' for a density"),
        (made(parameters="scale"), "the likelihood Made must set parameters, a tuple"),
        (made(parameters=("scale",)), "the parameter 'scale' of Made must be a field"),
        (
            made(distribution=None, fisher_information=None),
            "the likelihood Made must define distribution and fisher_information",
        ),
    ],
)
def test_a_class_that_lacks_something_is_told_what(cls, message):
    with pytest.raises(TypeError, match=re.escape(message)) as error:
        likelihood()(cls)
    assert "\n" not in str(error.value)


def test_what_the_user_fixes_is_checked():
    with pytest.raises(ValueError, match="the scale of the student t likelihood must be positive"):
        StudentT(scale=-1.0)


# -- the property tests that others can use ---------------------------------------------------


@pytest.mark.parametrize("name", short_of(list(CASES), "poisson", "gaussian"))
def test_the_package_passes_its_own_property_tests(name):
    case = CASES[name]
    values, means = case.values[1:4], (0.05, 0.5, 2.0)
    check_likelihood(case.likelihood, values, means, case.ordinary[0])


def test_those_of_users_pass_too():
    check_likelihood(StudentT(), [-3.0, 0.2, 5.0], [0.1, 4.0], {"scale": 0.7})
    check_likelihood(Geometric(), [0.0, 1.0, 7.0], [0.1, 4.0])


class WrongScore(Gaussian):
    def score(self, v, mean, sigma):
        return 1.01 * (v - mean) / sigma**2


class WrongInformation(Gamma):
    def fisher_information(self, v, mean, shape):
        return 1.1 * shape / mean**2


class WrongChange(Gaussian):
    def log_density_change(self, v, mean, step, sigma):
        return step * (v - mean - step) / (sigma * sigma)


class WrongSupport(Poisson):
    def check(self, matrix, *, quasi=False):
        return


class WrongPlaceholder(Gamma):
    placeholder = -1.0


@pytest.mark.parametrize(
    ("wrong", "parameters", "message"),
    [
        (WrongScore, {"sigma": 1.0}, "score is not the derivative of log_density"),
        (WrongInformation, {"shape": 3.0}, "is not the variance of the score"),
        (WrongChange, {"sigma": 1.0}, "log_density_change is not the difference"),
        (WrongSupport, {}, "check accepts -1.5, outside the support"),
        (WrongPlaceholder, {"shape": 3.0}, "check refuses data inside the support"),
    ],
)
def test_what_is_wrong_is_found(wrong, parameters, message):
    # Registered anew, since a subclass is no pytree.
    cls = likelihood()(wrong)
    with pytest.raises(AssertionError, match=message):
        check_likelihood(cls(), [1.0, 2.0, 4.0], [0.5, 3.0], parameters)


def test_parameters_that_select_code_are_found():
    @likelihood(static=("sigma",))
    class Static(Gaussian):
        pass

    with pytest.raises(AssertionError, match="compiled apart"):
        check_likelihood(Static(), [1.0, 2.0], [0.5, 3.0], {"sigma": 1.0})


def test_likelihoods_that_differ_in_numbers_share_a_program():
    traces = []

    @jax.jit
    def density(chosen):
        traces.append(chosen)
        return chosen.log_density(jnp.ones(()), jnp.ones(()), **chosen.known)

    values = [float(density(StudentT(scale=scale))) for scale in (0.5, 2.0)]
    assert len(traces) == 1
    assert values[0] > values[1]
