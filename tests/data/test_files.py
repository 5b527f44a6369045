"""Reading data files: what comes back, and one sentence for everything that is wrong."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesnmf.data import Matrix, text_body
from bayesnmf.data.files import READERS, read


@pytest.fixture(autouse=True, params=[0, 10**9], ids=["pandas", "lines"])
def reader_of_text(request, monkeypatch):
    """Read short files both ways: by pandas where it can, and line by line."""
    monkeypatch.setattr(text_body, "TALL", request.param)


@pytest.fixture
def write(tmp_path):
    def writer(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


def message(path, error=ValueError):
    with pytest.raises(error) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


# -- csv and tsv ------------------------------------------------------------------------------


def test_text_with_names(write):
    frame = read(write("sample,A,B\ns1,1,2.5\ns2,,NA\ns3,nan,-4e1\n"))
    assert list(frame.index) == ["s1", "s2", "s3"]
    assert frame.index.name == "sample"
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[1, 2.5], [np.nan, np.nan], [np.nan, -40]])
    assert frame.to_numpy().dtype == np.float64


def test_text_without_row_names(write):
    frame = read(write("A,B\n1,2\n3,4\n"))
    assert isinstance(frame.index, pd.RangeIndex)
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[1, 2], [3, 4]])


@pytest.mark.parametrize("missing", ["", "NA", "nan"])
def test_text_without_header(write, missing):
    frame = read(write(f"1,2,{missing}\n4,5,6\n"))
    assert isinstance(frame.columns, pd.RangeIndex)
    np.testing.assert_array_equal(frame, [[1, 2, np.nan], [4, 5, 6]])
    assert Matrix.of(frame).shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("\tA\tB\nx\t1\t2\n", "data.tsv"),
        ('\ufeff"","A","B"\r\n"x",1,2\r\n\r\n', "DATA.CSV"),
        ("A,B\nx,1,2\n", "r.csv"),
        (', "A", B \nx, 1 , 2', "spaces.csv"),
        ("\n\n,A,B\r\rx,1,2\r", "mac.csv"),
    ],
)
def test_dialects(write, content, name):
    frame = read(write(content, name))
    assert list(frame.index) == ["x"]
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[1, 2]])


def test_an_empty_corner_makes_numbers_names(tmp_path):
    """An unlabelled table written by pandas must not gain a row and a column of labels."""
    path = tmp_path / "data.csv"
    pd.DataFrame([[1.0, 2.0], [3.0, 4.0]]).to_csv(path)
    frame = read(path)
    assert list(frame.index) == ["0", "1"]
    assert list(frame.columns) == ["0", "1"]
    np.testing.assert_array_equal(frame, [[1, 2], [3, 4]])


def test_names_that_look_like_numbers_or_missing(write):
    """Half of the first column is text, so all of it is names, kept as written."""
    frame = read(write("gene,A\n10_1,1\nNA,2\n7,3\nTP53,4\n"))
    assert list(frame.index) == ["10_1", "NA", "7", "TP53"]


def test_a_quoted_name_may_hold_separators_and_line_ends(write):
    frame = read(write(',"a,b","c\nd"\nx,1,2\ny,3,oops\n'.replace("oops", "4")))
    assert list(frame.columns) == ["a,b", "c\nd"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("sample,A,B\ns1,1,2\n\ns2,3,4x\n", ("line 4", "'B'", "'4x'")),
        ("A,B\n1,2\n3,4\n5,6\n7x,8\n", ("line 5", "'A'", "'7x'")),
        ("1,2\n3,4\n5,six\n", ("line 3", "column 2", "'six'")),
        ("1,2\n3,4\nfive,6\n", ("line 3", "column 1", "'five'")),
        (',"A\nB",C\nx,1,2\ny,3,oops\n', ("line 4", "'C'", "'oops'")),
        ("sample,A\ns1,1_000\n", ("line 2", "'A'", "'1_000'")),
        ("A,B\n1,2\nTrue,3\n4,5\n", ("line 3", "'A'", "'True'")),
        ('A,B\n1,2\n"3"4,5\n', ("line 3", "quotes")),
        ("A,B\n1,2\n5,3\x004\n", ("line 3", "'B'", "is not a number")),
        ("A,B\n1,2\n3\n", ("line 3 has 1 cell(s),", "line 2 has 2")),
        ("A,B\n1,2,3,4\n", ("line 2 has 4 cell(s)", "line 1 has 2")),
        ("A,B\nx,1,2\ny,3\n", ("line 3 has 2 cell(s)", "line 2 has 3")),
        ('A,B\n1,2\n"3,4\n5,6\n', ("line 3", "quotes")),
        ("", ("empty",)),
        ("\n \n\n", ("empty",)),
        ("A,B\n", ("line 1", "no line of numbers")),
        ("sample\ns1\ns2\n", ("no numbers", "'sample'")),
        ("A;B\n1;2\n", ("semicolons", "commas")),
        ("A\tB\n1\t2\n", ("tabs", "commas")),
        ("s1,0,3,0\ns2,1,2,5\n", ("line 1", "'0'", "more than once")),
        (b"A,B\n1,2\n\xe9,3\n", ("line 3", "0xe9", "UTF-8")),
        (b"\x1f\x8b\x08\x00", ("line 1", "UTF-8")),
    ],
)
def test_text_errors_name_the_line(write, content, parts):
    text = message(write(content))
    for part in parts:
        assert part in text


def test_tsv_refuses_commas(write):
    assert "tabs" in message(write("A,B\n1,2\n", "data.tsv"))


@given(
    values=st.lists(
        st.lists(st.floats(allow_infinity=False), min_size=3, max_size=3), min_size=1, max_size=5
    )
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_written_table_comes_back_exactly(tmp_path, values):
    path = tmp_path / "data.tsv"
    frame = pd.DataFrame(values, columns=["A", "B", "C"])
    frame.index = pd.Index([f"row {i}" for i in range(len(values))])
    frame.to_csv(path, sep="\t")
    pd.testing.assert_frame_equal(read(path), frame, check_exact=True)


# -- binary -----------------------------------------------------------------------------------

DENSE = np.array([[0.0, 2.0, np.nan], [3.0, 0.0, 0.5]])
COUNTS = np.array([[0, 2, 0], [3, 0, 7]])


def test_npy_and_npz(tmp_path):
    np.save(tmp_path / "data.npy", DENSE.astype(np.float32))
    np.savez(tmp_path / "data.npz", V=DENSE)
    assert read(str(tmp_path / "data.npy")).dtype == np.float32
    np.testing.assert_array_equal(read(tmp_path / "data.npz"), DENSE)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array"])
def test_sparse_npz(tmp_path, kind):
    path = tmp_path / "data.npz"
    scipy.sparse.save_npz(path, getattr(scipy.sparse, kind)(COUNTS))
    loaded = read(path)
    assert isinstance(loaded, scipy.sparse.csr_array)
    np.testing.assert_array_equal(loaded.toarray(), COUNTS)


def test_matrix_market(tmp_path):
    scipy.io.mmwrite(tmp_path / "sparse.mtx", scipy.sparse.coo_array(COUNTS))
    scipy.io.mmwrite(tmp_path / "dense.mtx", COUNTS)
    sparse, dense = read(tmp_path / "sparse.mtx"), read(tmp_path / "dense.mtx")
    assert isinstance(sparse, scipy.sparse.csr_array)
    np.testing.assert_array_equal(sparse.toarray(), COUNTS)
    np.testing.assert_array_equal(dense, COUNTS)


def test_parquet_keeps_or_finds_row_names(tmp_path):
    path = tmp_path / "data.parquet"
    frame = pd.DataFrame(DENSE, pd.Index(["x", "y"], name="sample"), ["A", "B", "C"])
    frame.to_parquet(path)
    pd.testing.assert_frame_equal(read(path), frame)
    frame.reset_index().to_parquet(path, index=False)
    pd.testing.assert_frame_equal(read(path), frame)
    frame.reset_index(drop=True).to_parquet(path)
    assert isinstance(read(path).index, pd.RangeIndex)


def test_several_arrays_are_listed(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, W=DENSE, H=DENSE)
    assert "2 arrays (W, H)" in message(path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "no array" in message(path)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_pickles_are_refused(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    save = np.save if ending == "npy" else np.savez
    save(path, np.array([{"not": "numbers"}], dtype=object), allow_pickle=True)
    text = message(path)
    assert "pickled" in text
    assert "allow_pickle" not in text


@pytest.mark.parametrize("ending", ["npy", "npz", "mtx", "parquet"])
def test_damaged_binaries(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    path.write_bytes(b"this is no such file")
    message(path)
    path.write_bytes(b"")
    assert "is empty" in message(path)


@pytest.mark.parametrize("ending", ["npy", "npz", "parquet"])
def test_truncated_binaries(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    frame = pd.DataFrame(np.ones((50, 3)), columns=["A", "B", "C"])
    {
        "npy": lambda: np.save(path, frame.to_numpy()),
        "npz": lambda: np.savez(path, frame.to_numpy()),
        "parquet": lambda: frame.to_parquet(path),
    }[ending]()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    message(path)


def test_an_npy_that_claims_too_much(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.ones((2, 2)))
    path.write_bytes(
        path.read_bytes().replace(b"(2, 2), }" + b" " * 12, b"(2000000000, 20000), }"[:21])
    )
    message(path)


def test_matrix_market_errors_name_the_line(tmp_path):
    path = tmp_path / "data.mtx"
    path.write_text("%%MatrixMarket matrix coordinate real general\n3 2 2\n1 1 2.5\n3 2 x\n")
    assert "line 4: '3 2 x' is no entry" in message(path)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("coordinate integer", b"1 1 2\xf8\5"),
        ("coordinate real", b"o\x001 1 2"),
        ("coordinate real", b"1 1"),
        ("coordinate pattern", b"1 1 2"),
        ("coordinate real", b"-1 1 2"),
        ("array real", b"1 2"),
        ("array integer", b"\0"),
    ],
)
def test_no_strange_line_reaches_the_reader_of_scipy(tmp_path, kind, line):
    """SciPy's reader crashed on some, and read others as numbers."""
    path = tmp_path / "data.mtx"
    size = b"2 2" if "array" in kind else b"2 2 1"
    path.write_bytes(
        b"%%MatrixMarket matrix " + kind.encode() + b" general\n" + size + b"\n" + line
    )
    assert "line 3: " in message(path).casefold()


def test_forms_of_matrix_market(tmp_path):
    path = tmp_path / "data.mtx"
    for kind, lines, expected in (
        ("coordinate pattern general", "2 2 2\n 1 1 \n\n2 1", [[1, 0], [1, 0]]),
        (
            "coordinate real symmetric",
            "2 2 2\r\n1 1 1.5e0\r\n2 1 -.5\r\n",
            [[1.5, -0.5], [-0.5, 0]],
        ),
        ("array integer general", "2 2\n1\n2\n3\n4\n", [[1, 3], [2, 4]]),
    ):
        path.write_text(f"%%MatrixMarket matrix {kind}\n% words\n{lines}", newline="")
        loaded = read(path)
        np.testing.assert_array_equal(
            loaded.toarray() if scipy.sparse.issparse(loaded) else loaded, expected
        )
    path.write_text("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 2 3\n")
    assert "no Matrix Market file of real numbers" in message(path)


# -- paths ------------------------------------------------------------------------------------


def test_missing_file_and_unknown_ending(tmp_path):
    message(tmp_path / "absent.csv", FileNotFoundError)
    path = tmp_path / "data.xlsx"
    path.write_text("x")
    text = message(path)
    for ending in READERS:
        assert ending in text
    assert "'.xlsx'" in text


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "mtx"])
def test_gzipped_text(tmp_path, ending):
    """Written under its plain name, and read from the compressed one, in either case."""
    plain, path = tmp_path / f"data.{ending}", tmp_path / f"data.{ending}.GZ"
    if ending == "mtx":
        scipy.io.mmwrite(plain, COUNTS)
    else:
        pd.DataFrame(COUNTS).to_csv(plain, sep={"csv": ","}.get(ending, "\t"))
    path.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read(path), COUNTS)
    path.write_bytes(path.read_bytes()[:-9])
    message(path)
    path.write_bytes(b"no such thing")
    message(path)


@pytest.mark.parametrize(
    "content",
    [
        ",A,B\nx y,1,2\nz,3,\n",
        "\tA\tB\nx y\t1\t2\nz\t3\t\n",
        ";A;B\nx y;1;2\nz;3;\n",
        '"A" "B"\n"x y" 1 2\n"z" 3 NA\n',
        "name   A  B \n'x' 1  2  \n  z  3 NA\n",
    ],
)
def test_the_separator_of_txt_is_found(write, content):
    frame = read(write(content.replace("'x'", '"x y"'), "data.txt"))
    assert list(frame.index) == ["x y", "z"]
    assert list(frame.columns) == ["A", "B"]
    np.testing.assert_array_equal(frame, [[1, 2], [3, np.nan]])


def test_what_numpy_writes_is_read(tmp_path):
    np.savetxt(tmp_path / "data.txt", COUNTS)
    np.testing.assert_array_equal(read(tmp_path / "data.txt"), COUNTS)


def test_a_folder_is_refused(tmp_path):
    path = tmp_path / "data.csv"
    path.mkdir()
    assert "folder" in message(path)


def test_an_unreadable_file_is_explained(write, monkeypatch):
    path = write("A,B\n1,2\n")

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", denied)
    assert "Permission denied" in message(path)
