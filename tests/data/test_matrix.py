"""How data enter: containers, labels, missing cells, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bayesnmf.data import Matrix
from bayesnmf.data import matrix as dense_data

NAN = float("nan")

shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=5)
matrices = shapes.flatmap(lambda s: arrays.arrays(np.float64, s, elements=st.floats(-1e6, 1e6)))


@st.composite
def masked_matrices(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return values and a mask that leaves a cell in every row and column."""
    V = draw(matrices)
    mask = draw(arrays.arrays(bool, V.shape))
    mask[np.arange(V.shape[0]), np.arange(V.shape[0]) % V.shape[1]] = True
    mask[np.arange(V.shape[1]) % V.shape[0], np.arange(V.shape[1])] = True
    return V, mask


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# -- containers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u8", "i8", "f2", "f4", "f8", ">f8", "g"])
def test_numeric_types(dtype):
    V = np.array([[1, 0], [0, 1]], dtype)
    matrix = Matrix.of(V)
    assert matrix.dtype == (np.float32 if dtype == "f4" else np.float64)
    assert matrix.dtype.isnative
    np.testing.assert_array_equal(matrix.values, V)
    assert matrix.shape == (matrix.n_rows, matrix.n_columns) == (2, 2)
    assert matrix.observed.all()
    pd.testing.assert_index_equal(matrix.row_names, pd.RangeIndex(2))


def test_nested_lists():
    np.testing.assert_array_equal(Matrix.of([[1, 2.5], [None, 4]]).values, [[1, 2.5], [NAN, 4]])


def test_a_matrix_passes_through():
    matrix = Matrix.of([[1.0, 2.0], [3.0, 4.0]])
    assert Matrix.of(matrix) is matrix
    masked = Matrix.of(matrix, mask=[[True, False], [True, True]])
    np.testing.assert_array_equal(masked.values, [[1.0, NAN], [3.0, 4.0]])


def test_the_callers_array_is_neither_kept_nor_changed():
    V = np.array([[1.0, 2.0], [3.0, 4.0]])
    matrix = Matrix.of(V, mask=np.array([[True, False], [True, True]]))
    np.testing.assert_array_equal(V, [[1.0, 2.0], [3.0, 4.0]])
    V[:] = 9
    assert matrix.values[0, 0] == 1


def test_names_of_a_frame_become_labels():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, NAN]}, pd.Index(["x", "y"], name="patient"))
    matrix = Matrix.of(frame)
    pd.testing.assert_index_equal(matrix.row_names, frame.index)
    pd.testing.assert_index_equal(matrix.column_names, frame.columns)
    pd.testing.assert_frame_equal(matrix.frame(), frame.astype(float))
    pd.testing.assert_frame_equal(Matrix.of(matrix, mask=frame.notna()).frame(), matrix.frame())


@pytest.mark.parametrize("dtype", ["float32", "Float64", "Int64", "boolean", "object"])
def test_pandas_types(dtype):
    frame = pd.DataFrame([[1, 0], [1, 1]], dtype=dtype)
    matrix = Matrix.of(frame)
    assert matrix.dtype == (np.float32 if dtype == "float32" else np.float64)
    np.testing.assert_array_equal(matrix.values, [[1, 0], [1, 1]])


@pytest.mark.parametrize("missing", [None, pd.NA, NAN, pd.NaT])
@pytest.mark.parametrize("dtype", ["Int64", "Float64", "object"])
def test_missing_values_of_pandas(missing, dtype):
    if missing is pd.NaT and dtype != "object":
        missing = pd.NA
    frame = pd.DataFrame({"a": pd.Series([1, missing], dtype=dtype), "b": [3.0, 4.0]})
    np.testing.assert_array_equal(Matrix.of(frame).values, [[1, 3], [NAN, 4]])


def test_decimals_are_numbers():
    assert Matrix.of([[Decimal("0.5"), 1]]).values.tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("coordinates", [{}, {"gene": ["a", "b", "c"]}])
def test_data_arrays(coordinates):
    array = xr.DataArray(np.arange(6.0).reshape(2, 3), coordinates, ["cell", "gene"])
    matrix = Matrix.of(array)
    np.testing.assert_array_equal(matrix.values, array)
    assert list(matrix.row_names) == [0, 1]
    assert list(matrix.column_names) == coordinates.get("gene", [0, 1, 2])


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok"])
def test_sparse_storage_reads_absent_cells_as_zeros(form, kind):
    V = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 1.0]])
    np.testing.assert_array_equal(Matrix.of(getattr(scipy.sparse, f"{form}_{kind}")(V)).values, V)
    with_nan = scipy.sparse.csr_array(np.where(V == 2, NAN, V))
    assert Matrix.of(with_nan).observed.sum() == 5


def test_repeated_sparse_entries_add_up():
    V = scipy.sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [0, 0, 1])), shape=(2, 2))
    np.testing.assert_array_equal(Matrix.of(V).values, [[3, 0], [0, 5]])


def test_sparse_input_over_the_budget_is_refused(monkeypatch):
    V = scipy.sparse.eye_array(100)
    with monkeypatch.context() as patch:
        patch.setattr(dense_data, "DENSE_BUDGET", 100 * 100 * 8 - 1)
        with pytest.raises(MemoryError, match=r"shape \(100, 100\) would take .* raise"):
            Matrix.of(V)
    huge = scipy.sparse.coo_array((2**32, 2**32))  # in 64 bits its size overflows to 0
    with pytest.raises(MemoryError, match="above the budget of 4 GiB"):
        Matrix.of(huge)


def test_masked_arrays_stay_masked():
    V = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], [[False, True], [False, False]])
    np.testing.assert_array_equal(Matrix.of(V).values, [[1.0, NAN], [3.0, 4.0]])
    assert Matrix.of(V.astype(np.float32)).dtype == np.float32
    assert Matrix.of(V.astype(int)).observed.tolist() == [[True, False], [True, True]]


# -- properties ---------------------------------------------------------------------------------


@given(matrices)
def test_values_come_back_as_they_went_in(V):
    matrix = Matrix.of(V)
    assert same_bits(matrix.values, V)
    assert same_bits(matrix.cells, V.ravel())
    assert same_bits(Matrix.of(matrix.frame()).values, V)
    np.testing.assert_array_equal(Matrix.of(scipy.sparse.csr_array(V)).values, V)
    assert same_bits(Matrix.of(xr.DataArray(V)).values, V)


@given(masked_matrices())
def test_a_mask_and_nan_mean_the_same(pair):
    V, mask = pair
    by_nan = Matrix.of(np.where(mask, V, NAN))
    by_mask = Matrix.of(V, mask=mask)
    for matrix in (by_nan, by_mask, Matrix.of(np.ma.masked_array(V, ~mask))):
        np.testing.assert_array_equal(matrix.observed, mask)
        assert same_bits(matrix.values, by_nan.values)
        assert same_bits(matrix.filled(7.0), np.where(mask, V, 7.0))
        assert same_bits(matrix.cells, V[mask])


@given(masked_matrices(), st.sampled_from([0.0, -1.0, 1e308, np.inf, -np.inf, NAN, -NAN]))
def test_the_value_of_a_masked_cell_leaves_no_trace(pair, value):
    V, mask = pair
    expected = Matrix.of(V, mask=mask)
    changed = Matrix.of(np.where(mask, V, value), mask=mask)
    assert same_bits(changed.values, expected.values)
    assert same_bits(changed.observed, expected.observed)


def test_precision_is_kept_when_filling():
    matrix = Matrix.of(np.array([[1.0, NAN], [2.0, 3.0]], np.float32))
    assert matrix.filled(0.5).dtype == np.float32


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("V", "message"),
    [
        ([[1.0, np.inf], [1.0, 1.0]], r"V\[0, 1\] = inf is infinite\. Replace it"),
        ([[1.0, -np.inf], [np.inf, 1.0]], r"V\[0, 1\] = -inf is infinite \(and 1 more\)"),
        (np.zeros((0, 3)), r"V is empty: its shape is \(0, 3\)"),
        (np.zeros((3, 0)), r"V is empty: its shape is \(3, 0\)"),
        (pd.DataFrame(index=["a"]), r"V is empty: its shape is \(1, 0\)"),
        ([], r"V has 1 dimension\(s\); it must have two"),
        ([1.0, 2.0], r"V has 1 dimension\(s\); it must have two, rows \(samples\) by columns"),
        (3.0, r"V has 0 dimension\(s\)"),
        (None, r"V has 0 dimension\(s\)"),
        (np.zeros((2, 2, 2)), r"V has 3 dimension\(s\)"),
        (xr.DataArray(np.zeros(3)), r"V has 1 dimension\(s\)"),
        (scipy.sparse.coo_array(np.ones(3)), r"V has 1 dimension\(s\)"),
        ([[1.0, 2.0], [3.0]], "nested sequence whose rows differ in length"),
        ([[1.0, NAN], [2.0, NAN]], r"column 1 has no observed cell: .* Drop that column\."),
        ([[NAN, NAN], [2.0, NAN]], r"row 0 has no observed cell: .* Drop that row\."),
        ([[NAN], [1.0], [NAN]], r"row 0 has no observed cell \(and 1 more\)"),
        ([[1, 10**400], [1, 1]], r"V\[0, 1\] is an integer above 1e308"),
        (pd.DataFrame({"n": [1, -(10**400)]}), r"V\[1, 0\] \(row 1, column 'n'\) is an integer"),
        (np.array([[np.longdouble("1e4000")]]), r"V\[0, 0\] = inf is infinite"),
        (pd.DataFrame([[1.0]], ["a\0b"]), r"name of row 0, 'a\\x00b', holds the character U\+0000"),
        (pd.DataFrame([[1.0]], columns=["\x1b[2J"]), r"name of column 0, .* U\+001B"),
        (pd.DataFrame([[1.0]], pd.Index(["\ud800"], dtype=object)), r"name of row 0, .* U\+D800"),
        (pd.DataFrame([[1.0]], pd.MultiIndex.from_tuples([("a", "\0")])), "U\\+0000"),
        (xr.DataArray([[1.0]], {"gene": ["\1"]}, ["cell", "gene"]), "U\\+0001"),
    ],
)
def test_bad_values(V, message):
    with pytest.raises(ValueError, match=message):
        Matrix.of(V)


def test_errors_use_the_names():
    frame = pd.DataFrame([[1.0, np.inf], [NAN, NAN]], ["mouse", "rat"], ["pax6", "sox2"])
    with pytest.raises(ValueError, match=r"V\[0, 1\] = inf \(row 'mouse', column 'sox2'\) is inf"):
        Matrix.of(frame)
    with pytest.raises(ValueError, match="row 'rat' has no observed cell"):
        Matrix.of(frame.replace(np.inf, 1.0))
    # A label that is a number is named too, unless it is just the position.
    numbered = pd.DataFrame([[1.0, np.inf], [NAN, NAN]], [10, 20], [0, 1])
    with pytest.raises(ValueError, match=r"V\[0, 1\] = inf \(row 10\) is infinite"):
        Matrix.of(numbered)
    with pytest.raises(ValueError, match="row 20 has no observed cell"):
        Matrix.of(numbered.replace(np.inf, 1.0))


@pytest.mark.parametrize(
    ("V", "message"),
    [
        ([["1.5", "2"]], r"V\[0, 0\] = .*1.5.* is not a real number"),
        (np.array([[1.0, "2"]], object), r"V\[0, 1\] = '2' is not a real number"),
        ([[1.0, {}]], r"V\[0, 1\] = \{\} is not a real number"),
        (np.array([[1, 2j]]), "V has dtype complex128; it must hold real numbers"),
        (np.array([[1, 2j]], object), r"V\[0, 1\] = 2j is not a real number"),
        (np.array([["2020-01-01"]], "M8[D]"), "it must hold real numbers, not dates"),
        (np.array([[3]], "m8[s]"), "it must hold real numbers, not durations. Convert them"),
        (np.ma.masked_array(np.array([["2020-01-01"]], "M8[D]"), [[True]]), "not dates"),
        (np.zeros((1, 2), "f8,i4"), "it must hold real numbers, not records"),
        (pd.DataFrame({"t": pd.to_timedelta([1, 2], "s")}), "not durations"),
        (pd.DataFrame({"t": pd.to_datetime(["2020"]), "n": [1]}), r"V\[0, 0\] = Timestamp"),
        (
            "counts.csv",
            r"the name of a file, 'counts\.csv', .* give bayesnmf\.data\.files\.read\('counts",
        ),
        (Path("counts.mtx"), "V is the name of a file"),
        ({"A": [1, 2], "B": [3, 4]}, "V is a dict with the keys 'A', 'B', not a matrix"),
        (
            pd.DataFrame({"tissue": ["skin", "lung"], "dose": [1, 2]}, ["p1", "p2"]),
            r"V\[0, 0\] = 'skin' \(row 'p1', column 'tissue'\) .* Drop columns of text",
        ),
        (
            pd.DataFrame({"dose": [1, 2], "n": [3, "4"]}, ["p1", "p2"]),
            r"V\[1, 1\] = '4' \(row 'p2', column 'n'\)",
        ),
    ],
)
def test_bad_types(V, message):
    with pytest.raises(TypeError, match=message):
        Matrix.of(V)


def test_bad_masks():
    V = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 2\), but V has shape \(2, 3\)"):
        Matrix.of(V, mask=np.ones((3, 2), bool))
    with pytest.raises(TypeError, match="mask has dtype int64; it must be boolean, True where"):
        Matrix.of(V, mask=np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match="row 1 has no observed cell"):
        Matrix.of(V, mask=np.array([[True] * 3, [False] * 3]))


def test_a_labelled_mask_is_matched_by_its_labels():
    V = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], ["a", "b"], ["x", "y"])
    mask = pd.DataFrame([[True, False], [True, True]], ["b", "a"], ["x", "y"])
    assert np.isnan(Matrix.of(V, mask).frame().loc["b", "y"])
    assert Matrix.of(V, mask).observed.sum() == 3
    with pytest.raises(ValueError, match="the rows of mask have other names than those of V"):
        Matrix.of(V, mask.rename(index={"b": "c"}))
