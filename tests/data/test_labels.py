"""Labels: every argument that takes a matrix is matched by name, or refused with the names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import xarray as xr

import bayesnmf as bn
from bayesnmf.comparison import kfold as crossvalidation
from bayesnmf.comparison.pointwise import jacobian
from bayesnmf.data import Matrix
from bayesnmf.data.labels import matched, positions
from bayesnmf.likelihoods import REGISTRY
from bayesnmf.rank.settings import settings_of

ROWS, COLUMNS = pd.Index(list("abcdef")), pd.Index(list("vwxyz"))
RNG = np.random.default_rng(4)
VALUES = 1.0 + RNG.poisson(5.0, (6, 5))
#: Known values of each cell, such that every cell has its own.
CELLS = 1.0 + np.arange(30.0).reshape(6, 5) / 10
W, H = RNG.gamma(2.0, 1.0, (6, 2)), RNG.gamma(2.0, 1.0, (2, 5))
SHUFFLE = [4, 0, 5, 3, 1, 2], [2, 4, 0, 1, 3]
TINY = bn.MAP(n_init=1, max_iter=20)
#: Parameters that may be known for each cell, by likelihood.
KNOWN = [(name, parameter) for name, cls in REGISTRY.items() for parameter in cls.parameters]


def frame(values: Any) -> pd.DataFrame:
    return pd.DataFrame(values, ROWS, COLUMNS)


def shuffled(values: Any) -> pd.DataFrame:
    return frame(values).iloc[SHUFFLE[0], SHUFFLE[1]]


def data(storage: str) -> Any:
    """Return data with names (without for sparse ones, which have none)."""
    if storage == "sparse":
        return scipy.sparse.csr_array(VALUES)
    V = frame(VALUES)
    return V if storage == "dense" else V.mask(frame(np.eye(6, 5) > 0))


def likelihood_of(name: str, parameter: str, table: Any) -> bn.NMF:
    return bn.NMF(2, REGISTRY[name](**{parameter: table}), "flat", "flat")


def fitted(V: Any, model: Any = None, method: Any = TINY, **options: Any) -> bn.Fit:
    return small.run(V, bn.NMF(2) if model is None else model, method, **options)


def initial(W: Any, H: Any) -> bn.MAP:
    return bn.MAP(init=(W, H), max_iter=20)


#: A call for each argument that takes a matrix, of a table and the data.
ARGUMENTS: dict[str, Callable[[Any, Any], bn.Fit]] = {
    "sigma": lambda V, to: fitted(V, likelihood_of("gaussian", "sigma", to(CELLS))),
    "exposure": lambda V, to: fitted(V, likelihood_of("poisson", "exposure", to(CELLS))),
    "mask": lambda V, to: fitted(V, mask=to(CELLS != 2.0)),
    "held_out": lambda V, to: fitted(V, held_out=to(CELLS == 2.0)),
    "initial W": lambda V, to: fitted(V, method=initial(to(CELLS).iloc[:, :2], H)),
    "initial H": lambda V, to: fitted(V, method=initial(W, to(CELLS).iloc[:2])),
}


@pytest.mark.parametrize("storage", ["dense", "masked"])
@pytest.mark.parametrize("argument", ["sigma", "exposure", "mask", "held_out"])
def test_another_order_of_a_labelled_table_changes_nothing(argument, storage):
    V = data(storage)
    expected = ARGUMENTS[argument](V, np.asarray)
    for form in (frame, shuffled, lambda x: xr.DataArray(shuffled(x), dims=("row", "column"))):
        assert small.same(ARGUMENTS[argument](V, form), expected)


def test_initial_factors_are_matched_with_the_data_and_with_each_other():
    V = data("dense")
    named_W, named_H = pd.DataFrame(W, ROWS, ["p", "q"]), pd.DataFrame(H, ["p", "q"], COLUMNS)
    moved = named_W.iloc[SHUFFLE[0]], named_H.iloc[[1, 0], SHUFFLE[1]]
    expected = fitted(V, method=initial(W, H))
    for pair in ((named_W, named_H), moved, (moved[0], H), (W, named_H.iloc[:, SHUFFLE[1]])):
        other = fitted(V, method=initial(*pair))
        np.testing.assert_array_equal(other.W, expected.W)
        np.testing.assert_array_equal(other.H, expected.H)
    with pytest.raises(
        ValueError, match="rows of the initial H have other names than those of the initial W"
    ):
        fitted(V, method=initial(named_W, named_H.rename({"p": "r"})))


def test_the_factors_of_a_fit_start_another_one():
    days = pd.DataFrame(VALUES, pd.date_range("2026-01-01", periods=6), COLUMNS)
    first = fitted(days)
    assert fitted(days, method=initial(first.W, first.H)).W.shape == (6, 2)


@pytest.mark.parametrize("storage", ["dense", "masked", "sparse"])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_other_names_are_refused(argument, storage):
    def renamed(values):
        axis = "columns" if argument == "initial H" else "index"
        return frame(values).rename(**{axis: {"a": "other", "v": "other"}})

    words = "have names .*'other'" if storage == "sparse" else "'other' not in .*missing"
    with pytest.raises(ValueError, match=f"of the {argument} |of {argument} .*{words}"):
        ARGUMENTS[argument](data(storage), renamed)


@pytest.mark.parametrize(("name", "parameter"), KNOWN)
def test_every_known_parameter_is_matched(name, parameter):
    """No table is used before it is matched."""
    V = frame(VALUES / 20 if name == "beta" else VALUES)
    model = likelihood_of(name, parameter, shuffled(CELLS))
    resolved = model.resolve(V)
    np.testing.assert_array_equal(resolved.likelihood.known[parameter], CELLS)
    with pytest.raises(
        ValueError, match=rf"the {parameter} of the .*call model.resolve\(V\) first"
    ):
        model(V.to_numpy())
    with pytest.raises(ValueError, match=f"the rows of the {parameter} of the .*'b' of V missing"):
        likelihood_of(name, parameter, shuffled(CELLS).rename({"b": "B"})).resolve(V)


def test_equal_models_have_equal_names():
    one, other = (likelihood_of("gaussian", "sigma", x) for x in (frame(CELLS), frame(CELLS)))
    assert one.likelihood == other.likelihood
    assert hash(one.likelihood) == hash(other.likelihood)
    for table in (CELLS, frame(CELLS).rename({"a": "A"})):
        assert one.likelihood != likelihood_of("gaussian", "sigma", table).likelihood


def test_a_fit_keeps_tables_in_the_order_of_the_data(tmp_path):
    fit = fitted(frame(VALUES), likelihood_of("poisson", "exposure", shuffled(CELLS)))
    fit.save(tmp_path / "fit.nc")
    for one in (fit, bn.load(tmp_path / "fit.nc")):
        np.testing.assert_array_equal(one.model.likelihood.exposure, CELLS)


def test_cross_validation_matches_tables_before_it_makes_folds(monkeypatch):
    """Folds are arrays without names."""
    monkeypatch.setattr(crossvalidation.CrossValidation, "run", lambda _, *given: given)
    model = likelihood_of("poisson", "exposure", shuffled(CELLS))
    V, given, *_ = bn.kfold(frame(VALUES), model, "svi", mask=shuffled(CELLS != 2.0))
    np.testing.assert_array_equal(given.likelihood.exposure, CELLS)
    np.testing.assert_array_equal(V.observed, CELLS != 2.0)


def test_the_jacobian_of_a_criterion_is_matched():
    matrix = Matrix.of(frame(VALUES))
    np.testing.assert_array_equal(jacobian(shuffled(CELLS), matrix), CELLS)
    with pytest.raises(ValueError, match="the rows of log_jacobian have other names"):
        jacobian(shuffled(CELLS).rename({"a": "A"}), matrix)


def test_a_sweep_knows_the_names_of_its_data():
    def settings(V, exposure):
        likelihood = REGISTRY["poisson"](exposure=exposure)
        return settings_of(
            V, None, likelihood, "map", "gamma", "gamma", "auto", n_folds=2, n_replicates=19, seed=0
        ).describe()

    one = settings(frame(VALUES), CELLS)
    assert settings(frame(VALUES), shuffled(CELLS)) == one
    other = settings(frame(VALUES).rename({"a": "A"}), CELLS)
    assert {name for name in one if one[name] != other[name]} == {"names"}


# -- the shared helper --------------------------------------------------------------------------


def test_what_has_no_names_goes_by_position():
    default = pd.RangeIndex(6), pd.RangeIndex(5)
    for names in (default, (ROWS, COLUMNS)):
        assert matched(CELLS, *names, "sigma") is CELLS
        np.testing.assert_array_equal(matched(xr.DataArray(CELLS), *names, "sigma"), CELLS)
    np.testing.assert_array_equal(matched(pd.DataFrame(CELLS), *default, "sigma"), CELLS)


def test_names_on_one_side_alone_are_refused():
    with pytest.raises(
        ValueError,
        match=r"the rows of sigma have names \('a', 'b', 'c' and 3 more\), but those of V have none",
    ):
        matched(frame(CELLS), pd.RangeIndex(6), pd.RangeIndex(5), "sigma")
    with pytest.raises(ValueError, match=r"the rows of sigma have no names, but those of V have"):
        matched(pd.DataFrame(CELLS), ROWS, COLUMNS, "sigma")
    # An array may have been made from these rows in the order that they have here.
    moved = pd.DataFrame(CELLS).iloc[SHUFFLE[0]]
    with pytest.raises(ValueError, match=r"the rows of sigma have names \(4, 0, 5 and 3 more"):
        matched(moved, pd.RangeIndex(6), pd.RangeIndex(5), "sigma")


def test_a_name_that_occurs_twice_cannot_be_matched():
    twice = pd.Index(list("aacdef"))
    table = pd.DataFrame(CELLS, twice, COLUMNS)
    np.testing.assert_array_equal(matched(table, twice, COLUMNS, "sigma"), CELLS)
    with pytest.raises(ValueError, match="occurs more than once: 'a'"):
        matched(table.iloc[::-1], twice, COLUMNS, "sigma")


def test_tables_that_broadcast():
    depth = pd.DataFrame({"depth": CELLS[:, 0]}, ROWS)
    moved = depth.iloc[SHUFFLE[0]]
    for table in (moved, moved["depth"], xr.DataArray(moved["depth"])):
        got = matched(table, ROWS, COLUMNS, "exposure")
        np.testing.assert_array_equal(got, CELLS[:, :1])
    by_column = pd.Series(CELLS[0], COLUMNS).iloc[SHUFFLE[1]]
    np.testing.assert_array_equal(matched(by_column, ROWS, COLUMNS, "exposure"), CELLS[:1])
    with pytest.raises(ValueError, match=r"array of shape \(6, 1\) or \(1, 6\)"):
        matched(pd.Series(CELLS[:, 0], ROWS), ROWS, ROWS, "exposure")


def test_dimensions_have_names_too():
    V = xr.DataArray(frame(VALUES), dims=("sample", "gene"))
    table = xr.DataArray(shuffled(CELLS), dims=("sample", "gene")).transpose("gene", "sample")
    names = V.indexes["sample"], V.indexes["gene"]
    np.testing.assert_array_equal(matched(table, *names, "sigma"), CELLS)


def test_positions_of_names():
    assert positions(ROWS, ["c", "a"], "rows").tolist() == [2, 0]
    assert positions(pd.RangeIndex(6), 3, "rows").tolist() == [3]
    with pytest.raises(ValueError, match="there are no rows with the name 'q'"):
        positions(ROWS, ["c", "q"], "rows")
    with pytest.raises(ValueError, match="several rows have the name 'a'"):
        positions(pd.Index(["a", "a"]), "a", "rows")
