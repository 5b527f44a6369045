"""What a file's first column and first line hold: names or numbers."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from bayesnmf.data import text_body
from bayesnmf.data.files import describe, read

COUNTS = np.array([[3, 1, 4], [1, 5, 9], [2, 6, 5]])


@pytest.fixture(autouse=True, params=[0, 10**9], ids=["pandas", "lines"])
def reader_of_text(request, monkeypatch):
    """Read short files both ways: by pandas where it can, and line by line."""
    monkeypatch.setattr(text_body, "TALL", request.param)


def table(first, header, columns=("A", "B", "C"), values=COUNTS):
    return pd.DataFrame(np.asarray(values), columns=list(columns)).assign(**{header: first})[
        [header, *columns]
    ]


@pytest.fixture(params=["csv", "tsv", "parquet"])
def written(request, tmp_path):
    def write(frame):
        path = tmp_path / f"data.{request.param}"
        if request.param == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="," if request.param == "csv" else "\t")
        return path

    return write


# -- numbers that are names ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "sample_id",
        "SampleID",
        "id",
        "row",
        "Row Names",
        "index",
        "patient",
        "tumourID",
        "Unnamed: 0",
        "__index_level_0__",
    ],
)
def test_integers_below_a_word_for_names_are_names(written, header):
    frame = read(written(table([1001, 1002, 1007], header)))
    assert list(map(str, frame.index)) == ["1001", "1002", "1007"]
    assert list(frame.columns) == ["A", "B", "C"]
    np.testing.assert_array_equal(frame, COUNTS)
    assert describe(frame) == (
        f"row names: column {header!r} (1001, 1002, 1007); data: 3 columns (A, B, C)"
    )


@pytest.mark.parametrize("first", [[7, 7, 8], [1.5, 2.5, 3.5]])
def test_numbers_below_a_word_for_names_that_are_unclear_give_a_warning(written, first):
    path = written(table(first, "sample_id"))
    with pytest.warns(UserWarning, match=r"'sample_id' .* taken for data; say names='sample_id'"):
        frame = read(path)
    assert frame.shape == (3, 4)
    assert read(path, names=False).shape == (3, 4)  # without a warning
    assert read(path, names="sample_id").shape == (3, 3)


def test_a_count_of_the_rows_below_another_word_gives_a_warning(written):
    path = written(table(range(5), "depth", ("A",), [[3], [1], [4], [1], [5]]))
    with pytest.warns(UserWarning, match="'depth' counts the rows, but is taken for data"):
        assert read(path).shape == (5, 2)


def test_names_that_are_not_first_give_a_warning(written):
    path = written(table(COUNTS[:, 0], "A", ("B", "sample_id"), [[1, 7], [5, 8], [9, 11]]))
    with pytest.warns(UserWarning, match="'sample_id' looks like names, but is not the first") as w:
        frame = read(path, names="A")
    assert len(w) == 1
    assert frame.shape == (3, 2)
    chosen = read(path, names="sample_id")
    assert list(map(str, chosen.index)) == ["7", "8", "11"]
    assert list(chosen.columns) == ["A", "B"]
    np.testing.assert_array_equal(chosen, [[3, 1], [1, 5], [2, 9]])


def test_the_column_of_names_can_be_chosen(written):
    path = written(table([11, 12, 13], "plate"))
    assert read(path).shape == (3, 4)
    for names in ("plate", 0):
        assert list(map(str, read(path, names=names).index)) == ["11", "12", "13"]
    last = read(path, names=3)
    assert list(map(str, last.index)) == ["4", "9", "5"]
    assert list(last.columns) == ["plate", "A", "B"]
    with pytest.raises(ValueError, match="no column 'plates' of row names: it has 'plate', 'A'"):
        read(path, names="plates")
    with pytest.raises(ValueError, match="has 4 columns, so names=4 is none of them"):
        read(path, names=4)
    with pytest.raises(TypeError, match="names must be a column, its position or False, not True"):
        read(path, names=True)


def test_names_can_be_refused(written):
    frame = read(written(table([1001, 1002, 1007], "sample_id")), names=False)
    assert list(frame.columns) == ["sample_id", "A", "B", "C"]
    assert describe(frame) == "row names: none; data: 4 columns (sample_id, A, B, …)"


def test_arrays_have_no_column_of_names(tmp_path):
    np.save(tmp_path / "data.npy", COUNTS)
    assert (
        describe(read(tmp_path / "data.npy")) == "row names: none; data: 3 columns, without names"
    )
    with pytest.raises(ValueError, match="holds numbers alone, so no column 'id' holds row names"):
        read(tmp_path / "data.npy", names="id")


# -- text that is numbers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        ["1,000", "2,000", "950"],
        ["3,5", "4,5", "5"],
        ["1.000,5", "2.000,5", "3.000,5"],
        ["12 %", "13 %", "9 %"],
        ["$ 3", "$ 4", "$ 5.5"],
        ["1 days 00:00:01", "2 days 10:00:00", "3 days"],
    ],
)
def test_formatted_numbers_are_refused_as_names(written, first):
    path = written(table(first, "amount"))
    with pytest.raises(
        ValueError, match="column 'amount' holds formatted numbers, such as"
    ) as caught:
        read(path)
    assert repr(next(text for text in first if text != "950")) in str(caught.value)
    assert list(read(path, names="amount").index) == first


@pytest.mark.parametrize(
    "first",
    [
        ["2020-01-01", "2020-01-02", "2020-01-03"],
        ["1.2.3", "7", "s1"],
        ["08:00", "09:00", "10:00"],
        ["NA", "x", "y"],
    ],
)
def test_other_text_is_names(written, first):
    assert list(read(written(table(first, "when"))).index) == first


def test_durations_decimals_and_dates_of_parquet(tmp_path):
    path = tmp_path / "data.parquet"
    table(pd.to_timedelta([1, 2, 3], "s"), "time").to_parquet(path)
    with pytest.raises(ValueError, match="column 'time' holds durations"):
        read(path)
    table([Decimal("1.5"), Decimal("2.5"), Decimal("3.5")], "amount").to_parquet(path)
    assert read(path).shape == (3, 4)
    table(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]), "day").to_parquet(path)
    assert list(map(str, read(path).index)) == [f"2020-01-0{day} 00:00:00" for day in (1, 2, 3)]
    table([b"x", b"y", b"z"], "key").to_parquet(path)
    assert list(read(path).index) == ["x", "y", "z"]
    table([b"\xff", b"y", b"z"], "key").to_parquet(path)
    with pytest.raises(ValueError, match="holds bytes that are not UTF-8 text"):
        read(path)
    table([[1], [2], [3]], "lists").to_parquet(path)
    with pytest.raises(ValueError, match="column 'lists' holds list<"):
        read(path)


# -- headers of numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("400,402.5,405,407.5\n3,1,4,1\n5,9,2,6\n", ["400", "402.5", "405", "407.5"]),
        ("0,1,2,3\n3,1,4,1\n5,9,2,6\n", ["0", "1", "2", "3"]),  # pandas without index
        ("4000,3990,3970,3960\n" + 3 * "0.3,0.1,0.4,0.1\n", ["4000", "3990", "3970", "3960"]),
        ("1,2,4,5,7,8,9,12\n" + 3 * "3,1,4,1,5,9,2,6\n", ["1", "2", "4", "5", "7", "8", "9", "12"]),
    ],
)
def test_a_rising_line_of_numbers_is_a_header(tmp_path, content, columns):
    path = tmp_path / "data.csv"
    path.write_text(content)
    frame = read(path)
    assert list(frame.columns) == columns
    assert len(frame) == content.count("\n") - 1
    assert describe(frame).startswith("row names: none; data: ")
    whole = read(path, header=False)
    assert len(whole) == content.count("\n")
    assert isinstance(whole.columns, pd.RangeIndex)


def test_a_header_of_numbers_over_names_and_with_a_missing_corner(tmp_path):
    path = tmp_path / "data.csv"
    for corner, first in (("nan", ("7", "8")), ("0", ("x", "y")), ("", ("7", "8"))):
        path.write_text(f"{corner},400,402,404,406\n{first[0]},3,1,4,1\n{first[1]},5,9,2,6\n")
        frame = read(path)
        assert list(frame.index) == list(first)
        assert list(frame.columns) == ["400", "402", "404", "406"]


@pytest.mark.parametrize(
    "content",
    [
        "1,2,3\n6,4,5\n",  # three rise by accident
        "1,2,3,4\n5,6,7,8\n",  # every line rises
        "1,2,4,7\n3,1,4,1\n5,9,2,6\n",  # neither even nor outside the others
        "1,2,2,3\n3,1,4,1\n",
        "10,20,30,45\n1,3,2,5\n",  # outside, but above one line only
    ],
)
def test_other_lines_of_numbers_are_data(tmp_path, content):
    path = tmp_path / "data.csv"
    path.write_text(content)
    assert len(read(path)) == content.count("\n")
    if "2,2" not in content:  # names of columns must be distinct
        assert len(read(path, header=True)) == content.count("\n") - 1


# -- lines longer than the header ---------------------------------------------------------------


@pytest.mark.parametrize("header", ["A,B", "A,B,"])
@pytest.mark.parametrize("end", ["\n", ", \n"])
def test_a_separator_at_the_end_of_lines_moves_no_name(tmp_path, header, end):
    if header == "A,B," and end == "\n":
        header = "A,B"
    path = tmp_path / "data.csv"
    path.write_text(f"{header}\n5,6{end}7,8{end}")
    frame = read(path)
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[5, 6], [7, 8]])
    path.write_text(f"name,{header}\nx,5,6{end}y,7,8{end}")
    frame = read(path)
    assert list(frame.index) == ["x", "y"]
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[5, 6], [7, 8]])


def test_a_separator_at_the_end_of_lines_without_a_header(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("5,6,\n7,8,\n")
    np.testing.assert_array_equal(read(path), [[5, 6], [7, 8]])


@pytest.mark.parametrize("first", [("1", "2"), ("x", "y"), ("1001", "17")])
def test_the_short_header_of_r(tmp_path, first):
    path = tmp_path / "data.csv"
    path.write_text(f'"A","B"\n"{first[0]}",5,6\n"{first[1]}",7,8\n')
    frame = read(path)
    assert list(frame.index) == list(first)
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[5, 6], [7, 8]])
    # A missing last cell on some lines is no separator at the end of all.
    path.write_text(f'"A","B"\n"{first[0]}",5,\n"{first[1]}",7,8\n')
    frame = read(path)
    assert list(frame.index) == list(first)
    np.testing.assert_array_equal(frame, [[5, np.nan], [7, 8]])


def test_a_short_header_over_numbers_that_repeat_is_refused(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("A,B\n1,5,6\n1,7,8\n")
    with pytest.raises(
        ValueError, match=r"one cell less than the lines below, .* '1' stands there"
    ):
        read(path)


def test_plain_files_give_no_warning(tmp_path):
    path = tmp_path / "data.csv"
    pd.DataFrame(COUNTS, list("xyz"), list("ABC")).to_csv(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            describe(read(path))
            == "row names: the first column (x, y, z); data: 3 columns (A, B, C)"
        )
