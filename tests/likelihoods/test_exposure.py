"""Exposures: what multiplies the mean, for every likelihood with a scale."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import xarray as xr
from exact import log_joint

import bayesnmf as bn
from bayesnmf.comparison.densities import NMFDensities
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.likelihoods import Gamma, NegativeBinomial, Poisson
from bayesnmf.likelihoods.exposure import POWERS
from bayesnmf.observed import observe, observe_for_sampling
from bayesnmf.observed.counts import Counts
from bayesnmf.priors import Flat

SCALED = {"poisson": Poisson, "negative_binomial": NegativeBinomial, "gamma": Gamma}
GIVEN = {"poisson": {}, "negative_binomial": {"concentration": 3.0}, "gamma": {"shape": 2.5}}
every_scaled = pytest.mark.parametrize("name", SCALED)
ROWS, COLUMNS = list("abcdef"), list("vwxyz")
PER_ROW = np.array([0.5, 2.0, 3.0, 1.5, 0.2, 4.0])


# -- the mathematics ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"),
    [(name, own) for name, cls in SCALED.items() for own in POWERS if own in vars(cls)],
)
def test_without_an_exposure_nothing_else_is_compiled(name, function):
    cls = SCALED[name]
    wrapped = vars(cls)[function]
    n = {"distribution": 1, "log_density_change": 3}.get(function, 2)
    arguments = [jnp.full(3, 2.0)] * n

    def program(call):
        def run(*x):
            result = call(cls(), *x, **GIVEN[name])
            return result.log_prob(x[0]) if function == "distribution" else result

        return str(jax.make_jaxpr(run)(*arguments))

    assert program(wrapped) == program(wrapped.__wrapped__)


@every_scaled
@pytest.mark.usefixtures("float64")
def test_a_perfect_fit_is_the_same_at_every_exposure(name):
    likelihood, v = SCALED[name](), jnp.array([1.0, 7.0])
    saturated = likelihood.saturated(v, **GIVEN[name], exposure=3.0)
    np.testing.assert_array_equal(saturated, likelihood.log_density(v, v, **GIVEN[name]))
    mean = v / 3.0
    np.testing.assert_allclose(likelihood.score(v, mean, **GIVEN[name], exposure=3.0), 0, atol=1e-9)


@every_scaled
def test_simulated_data_have_the_expected_mean(name):
    exposure = np.array([[0.1], [1.0], [30.0]])
    V, W, H = bn.datasets.make_nmf(3, 40_000, 2, name, seed=1, exposure=exposure, shape_H=50.0)
    ratio = V.sum(axis=1) / (exposure * (W @ H)).sum(axis=1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.03)
    assert V.mean() == pytest.approx(10.0, rel=0.5)


@every_scaled
def test_a_typical_mean_is_per_unit_of_exposure(name):
    V = np.array([[2.0, 4.0], [6.0, np.nan]])
    for exposure, expected in ((4.0, 1.0), ([[1.0], [2.0]], 12 / 4), ([[1.0, 2.0], [3.0, 9.0]], 2)):
        likelihood = SCALED[name](exposure=exposure)
        assert likelihood.typical_mean(Matrix.of(V)) == pytest.approx(expected)
        if np.size(exposure) < 4:
            sparse = SparseMatrix.of(scipy.sparse.csr_array(V))
            assert likelihood.typical_mean(sparse) == pytest.approx(expected)
    np.testing.assert_array_equal(SCALED[name](exposure=2.0).crude_mean(V), V / 2)


# -- shapes and names ----------------------------------------------------------------------------


def forms(values):
    """Return one value a row in every form that is accepted, the labelled ones in another order."""
    series, order = pd.Series(values, ROWS), [4, 2, 0, 5, 1, 3]
    return {
        "vector": values,
        "list": values.tolist(),
        "column": values[:, None],
        "table": np.tile(values[:, None], 5),
        "series": series.iloc[order],
        "frame": series.iloc[order].to_frame("depth"),
        "array": xr.DataArray(values[order], [("row", [ROWS[i] for i in order])]),
    }


@every_scaled
@pytest.mark.parametrize("form", forms(PER_ROW))
def test_one_value_a_row(name, form):
    V = pd.DataFrame(np.ones(small.SHAPE), ROWS, COLUMNS)
    resolved = SCALED[name](exposure=forms(PER_ROW)[form]).resolve(Matrix.of(V))
    np.testing.assert_array_equal(resolved.exposure, np.tile(PER_ROW[:, None], 5))


@every_scaled
def test_a_vector_that_could_be_of_rows_or_columns_is_refused(name):
    likelihood = SCALED[name](exposure=[1.0, 2.0])
    message = r"has shape \(2,\), and V has as many rows as columns. Give .* of shape \(2, 1\)"
    with pytest.raises(ValueError, match=message):
        likelihood.resolve(Matrix.of(np.ones((2, 2))))


@every_scaled
def test_an_exposure_of_other_rows_is_refused(name):
    V = Matrix.of(pd.DataFrame(np.ones(small.SHAPE), ROWS, COLUMNS))
    with pytest.raises(ValueError, match="names than those of V: 'q' not in V, 'a' of V missing"):
        SCALED[name](exposure=pd.Series(PER_ROW, ["q", *ROWS[1:]])).resolve(V)
    with pytest.raises(ValueError, match=r"shape \(7,\), but V has shape \(6, 5\). Give"):
        SCALED[name](exposure=np.ones(7)).resolve(V)


@every_scaled
def test_exposures_follow_their_rows(name):
    V, mask = Matrix.of(np.ones(small.SHAPE)), np.arange(6) % 2 == 0
    table = np.arange(1.0, 31.0).reshape(small.SHAPE)
    for exposure, expected in (
        (PER_ROW, PER_ROW[mask, None]),
        (table, table[mask]),
        (np.ones((1, 5)), np.ones((1, 5))),
        (2.0, 2.0),
    ):
        part = SCALED[name](exposure=exposure).matched(V).at_rows(mask)
        np.testing.assert_array_equal(part.exposure, expected)


# -- fits ----------------------------------------------------------------------------------------

#: Not all of them, since each is compiled for some seconds; tests elsewhere fit the others.
PAIRS = [
    ("poisson-exposure", "mcmc"),
    ("negative_binomial-exposure", "mcmc"),
    ("gamma-exposure", "svi"),
]


@pytest.mark.parametrize(("name", "method"), small.short_of(PAIRS, PAIRS[0]))
def test_the_log_density_of_draws_is_scipys(name, method):
    fit = small.fitted(name, method)
    W, H = small.originals(fit)
    for chain, draw in {(0, 0), (W.shape[0] - 1, W.shape[1] - 1)}:
        sites = {
            p: float(fit.tree["posterior"][p][chain, draw]) for p in fit.model.likelihood.priors
        }
        exact = log_joint(fit.model, fit.V.to_numpy(), W[chain, draw], H[chain, draw], **sites)
        assert fit.tree["sample_stats/lp"][chain, draw] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", small.short_of(list(SCALED), "poisson"))
def test_exposures_of_rows_only_rescale_w_under_flat_priors(name):
    """The likelihood sees exposure * W, so that the optimum is the plain one, scaled."""
    V, given = small.data(small.LIKELIHOODS[name], missing=0.15), GIVEN[name]
    rng = np.random.default_rng(1)
    start = rng.gamma(2.0, size=(6, 2)), rng.gamma(2.0, size=(2, 5))
    method = bn.MAP(init=start, tol=1e-9, max_iter=5000)
    plain, exposed = (
        small.run(V, bn.NMF(2, SCALED[name](**given, exposure=exposure), Flat(), Flat()), method)
        for exposure in (None, PER_ROW)
    )
    objective = plain.tree.attrs["objective"]
    assert exposed.tree.attrs["objective"] == pytest.approx(objective, rel=1e-7)
    np.testing.assert_allclose(PER_ROW[:, None] * exposed.mean, plain.mean, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("name", small.short_of(list(SCALED), "poisson"))
def test_a_saved_fit_has_its_exposure(name, tmp_path):
    fit = small.fitted(f"{name}-exposure", "map")
    fit.save(tmp_path / "fit.nc")
    assert bn.load(tmp_path / "fit.nc").model == fit.model


# -- sparse counts -------------------------------------------------------------------------------

LINES = {"rows": PER_ROW[:, None], "columns": np.array([[0.5, 2.0, 1.0, 3.0, 0.7]]), "one": 1.7}


def sparse_counts():
    V = np.random.default_rng(3).poisson(0.8, small.SHAPE).astype(float)
    V[2, 3], V[4, 0] = np.nan, np.nan
    return V


@pytest.mark.parametrize("line", LINES)
@pytest.mark.usefixtures("float64")
def test_sparse_counts_answer_as_every_cell_does(line):
    V, rng = sparse_counts(), np.random.default_rng(0)
    matrices = Matrix.of(V), SparseMatrix.of(scipy.sparse.csr_array(V))
    W, H, new_W, new_H = (jnp.asarray(rng.gamma(1.0, size=(2, n))) for n in (6, 5, 6, 5))
    answers = []
    for matrix in matrices:
        model = bn.NMF(2, Poisson(LINES[line])).resolve(matrix)
        data = observe_for_sampling(model, matrix)
        assert isinstance(data, Counts) == matrix.is_sparse
        other = observe(model, matrix)
        answers.append(
            [
                data.density(model, W, H)({}),
                other.density(model, W, H)({}) - other.saturated(model, {}),
                data.gradients(model, W, H, {}),
                other.score_parts(model, H, W, {}, axis=0)[0],
                data.log_density_change(model, W, new_W, H, {}, axis=1),
                data.log_density_change(model, H, new_H, W, {}, axis=0),
                data.joint_log_density_change(model, (W, H), (new_W, new_H), {}),
                model.prior_W.rate,
            ]
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), *answers)


@pytest.mark.parametrize("line", ["rows", "columns"])
def test_fits_of_sparse_counts_stay_sparse(line, tmp_path):
    V, rng = sparse_counts(), np.random.default_rng(2)
    start = rng.gamma(1.0, size=(6, 2)), rng.gamma(1.0, size=(2, 5))
    model = bn.NMF(
        2, Poisson(LINES[line].squeeze()), bn.priors.Gamma(1.5, 0.8), bn.priors.Gamma(1.0, 1.1)
    )
    dense, sparse = (
        small.run(x, model, bn.MAP(init=start, tol=1e-8)) for x in (V, scipy.sparse.csr_array(V))
    )
    assert "V_value" in sparse.tree["observed_data"]
    assert sparse.tree["constant_data/exposure"].dims == (line[:-1],)
    objective = dense.tree.attrs["objective"]
    assert sparse.tree.attrs["objective"] == pytest.approx(objective, rel=1e-8)
    np.testing.assert_allclose(sparse.mean, dense.mean, rtol=1e-3)
    cells = np.arange(6), np.arange(5)
    scored = (
        NMFDensities(fit, fit.model, CellBlocks(fit.matrix), mass=False).at(*cells)[0]
        for fit in (dense, sparse)
    )
    np.testing.assert_allclose(*scored, rtol=1e-3, atol=1e-3)
    sparse.save(tmp_path / "fit.nc")
    assert bn.load(tmp_path / "fit.nc").model == sparse.model
