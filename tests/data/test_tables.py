"""Tables of Polars and PyArrow, with the names that they hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest

from bayesnmf.data import Matrix

MAKERS = {"polars": polars.DataFrame, "pyarrow": pyarrow.table}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
VALUES = np.array([[1.0, 4.0], [np.nan, 5.5], [3.0, 6.0]])


@every_maker
@pytest.mark.parametrize(
    ("name", "column", "rows"),
    [
        ("gene", ["TP53", "KRAS", "MYC"], ["TP53", "KRAS", "MYC"]),
        ("sample_id", [1001, 1002, 7], [1001, 1002, 7]),
        (None, None, [0, 1, 2]),
    ],
)
def test_names_and_nulls(make, name, column, rows):
    table = {} if name is None else {name: column}
    matrix = Matrix.of(make({**table, "A": [1, None, 3], "B": [4.0, 5.5, 6.0]}))
    np.testing.assert_array_equal(matrix.values, VALUES)
    assert list(matrix.row_names) == rows
    assert list(matrix.column_names) == ["A", "B"]


@every_maker
@pytest.mark.parametrize(
    "first",
    [
        {"plate": [7, 8, 5]},
        {"sample_id": [1, 1, 2]},
        {"id": [0.5, 1.5, 2.5]},
        {"ok": [True, False, True]},
    ],
)
def test_numbers_that_are_no_names_are_data(make, first):
    matrix = Matrix.of(make({**first, "A": [1, 2, 3]}))
    np.testing.assert_array_equal(matrix.values[:, 0], next(iter(first.values())))


@every_maker
def test_text_among_the_numbers_is_named(make):
    table = make({"gene": ["a", "b"], "A": [1, 2], "type": ["x", "y"]})
    with pytest.raises(
        TypeError, match=r"V\[0, 1\] = 'x' \(row 'a', column 'type'\) is not a real"
    ):
        Matrix.of(table)


def test_the_index_of_pandas_survives_arrow():
    frame = pd.DataFrame({"A": [1.0, 2.0]}, ["s1", "s2"])
    assert list(Matrix.of(pyarrow.Table.from_pandas(frame)).row_names) == ["s1", "s2"]


def test_a_lazy_table_holds_no_numbers():
    with pytest.raises(TypeError, match=r"polars.LazyFrame, .*: give V.collect\(\)"):
        Matrix.of(polars.DataFrame({"A": [1]}).lazy())
