"""What a caller says of a data file: columns, separator, decimal sign, transposition; names beside it."""

from __future__ import annotations

import gzip
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from bayesnmf.data import SparseMatrix
from bayesnmf.data.files import describe, read
from bayesnmf.data.text_body import TALL

VALUES = np.array([[3.0, 1.5, 4.0, 1.0], [5.0, 9.0, 2.5, 6.0], [7.0, 0.0, 8.0, 2.0]])
NAMES, TITLES = ["s1", "s2", "s3"], list("ABCD")


def written(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def same(table, values, rows=None, columns=None):
    np.testing.assert_array_equal(table, values)
    assert list(table.index) == (rows or list(range(len(values))))
    assert list(table.columns) == (columns or list(range(np.shape(values)[1])))


# -- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "csv.gz"])
@pytest.mark.parametrize("separator", [";", "|", "\t", " "])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("repeat", [1, TALL], ids=["lines", "pandas"])
def test_separators_and_decimal_signs(tmp_path, ending, separator, decimal, repeat):
    values = np.tile(VALUES, (repeat, 1))
    names = [f"s{i}" for i in range(len(values))]
    text = pd.DataFrame(values, names, TITLES).to_csv(sep=separator, decimal=decimal)
    path = written(tmp_path / f"data.{ending}", "name" + text)
    same(read(path, separator=separator, decimal=decimal), values, names, TITLES)


def test_a_csv_with_decimal_commas_is_separated_by_what_its_first_line_shows(tmp_path):
    path = written(tmp_path / "data.csv", "id;A;B\n1;3,5;2\n2;1,25e1;,5\n")
    same(read(path, decimal=","), [[3.5, 2], [12.5, 0.5]], ["1", "2"], ["A", "B"])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id;A\ns1;3,5\n", {}, "line 1 has semicolons but no commas, .* Say separator=';'"),
        ("id;A\ns1;1.000,5\n", {"decimal": ","}, r"line 2: '1.000,5' has a point, but the decimal"),
        ("a\n1\n", {"decimal": "x"}, "decimal must be '.' or ',', not 'x'"),
        ("a\n1\n", {"separator": "::"}, "separator must be one character, not '::'"),
        ("a\n1\n", {"separator": ",", "decimal": ","}, "separator and decimal are both ','"),
    ],
)
def test_signs_that_do_not_fit_are_refused(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path / "data.csv", text), **options)


# -- columns ------------------------------------------------------------------------------------

TABLE = "gene,type,A,B,C,chr1:7\ns1,x,3,1.5,4,1\ns2,y,5,9,2.5,6\ns3,z,7,0,8,2\n"


@pytest.mark.parametrize("repeat", [1, TALL], ids=["lines", "pandas"])
@pytest.mark.parametrize(
    ("columns", "places"),
    [
        (["A", "B", "C", "chr1:7"], [0, 1, 2, 3]),
        (["C", "A"], [2, 0]),
        (["A:C"], [0, 1, 2]),
        (["3:5", "chr1:7"], [0, 1, 2, 3]),
        (["4:chr1:7", 2], [1, 2, 3, 0]),
    ],
)
def test_columns_are_chosen_and_the_others_may_hold_text(tmp_path, columns, places, repeat):
    head, *lines = TABLE.splitlines()
    path = written(tmp_path / "data.csv", "\n".join([head, *(lines * repeat)]))
    titles = [["A", "B", "C", "chr1:7"][j] for j in places]
    table = read(path, columns=columns)
    same(table, np.tile(VALUES[:, places], (repeat, 1)), NAMES * repeat, titles)
    assert describe(table).startswith("row names: column 'gene' (s1, s2, s3")
    named = read(path, columns=columns, names="type")
    assert list(named.index[:3]) == ["x", "y", "z"]
    unnamed = read(path, columns=columns, names=False)
    same(unnamed, np.tile(VALUES[:, places], (repeat, 1)), columns=titles)


def test_a_first_column_that_is_not_asked_for_may_hold_names(tmp_path):
    for first, rows in (("id", ["7", "8"]), ("plate", None), ("", ["7", "8"])):
        path = written(tmp_path / "data.csv", f"{first},A,B\n7,1,2\n8,3,4\n")
        same(read(path, columns=["B"]), [[2], [4]], rows, ["B"])
    path = written(tmp_path / "data.csv", "7,x,2\n8,y,4\n")
    same(read(path, columns=["3"], header=False), [[2], [4]])
    same(read(path, columns=[2, 0], header=False), [[2, 7], [4, 8]])


def test_columns_of_other_files(tmp_path):
    frame = pd.DataFrame(VALUES, NAMES, TITLES)
    frame.assign(kind="x").to_parquet(tmp_path / "data.parquet")
    same(read(tmp_path / "data.parquet", columns=["B:C"]), VALUES[:, 1:3], NAMES, ["B", "C"])
    np.save(tmp_path / "data.npy", VALUES)
    np.testing.assert_array_equal(read(tmp_path / "data.npy", columns=["4", 0]), VALUES[:, [3, 0]])
    scipy.io.mmwrite(tmp_path / "data.mtx", scipy.sparse.coo_array(VALUES))
    part = read(tmp_path / "data.mtx", columns=["2:3"], transpose=True)
    np.testing.assert_array_equal(part.toarray(), VALUES[:, 1:3].T)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["A", "Z"], "has no column 'Z': it has 'gene', 'type', 'A', 'B', 'C', 'chr1:7'"),
        (["C:A"], "column 'A' stands before column 'C'"),
        (["A", "3"], "column 'A' is asked for twice"),
        ([9], "has 6 columns, so 9 is the position of none of them"),
        (["type"], "line 2, column 'type': 'x' is not a number"),
    ],
)
def test_columns_that_there_are_not(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path / "data.csv", TABLE), columns=columns)


def test_rows_and_columns_are_swapped(tmp_path):
    path = written(tmp_path / "data.csv", pd.DataFrame(VALUES, NAMES, TITLES).to_csv())
    table = read(path, transpose=True)
    same(table, VALUES.T, TITLES, NAMES)
    assert describe(table) == "row names: the header (A, B, C, …); data: 3 columns (s1, s2, s3)"


def test_options_of_text_are_refused_elsewhere(tmp_path):
    np.save(tmp_path / "data.npy", VALUES)
    for option in ({"separator": ";"}, {"decimal": ","}, {"layer": "raw"}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} is for .*is read as npy"):
            read(tmp_path / "data.npy", **option)


# -- names beside a Matrix Market file ------------------------------------------------------------

BARCODES = ["AAA-1", "CCC-1", "GGG-1"]
FEATURES = "ENS1\tTP53\tGene\nENS2\tTBCE\tGene\nENS3\tTBCE\tGene\nENS4\tMYC\tGene\n"
SYMBOLS = ["TP53", "TBCE (ENS2)", "TBCE (ENS3)", "MYC"]


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz"])
@pytest.mark.parametrize("features", ["features", "genes"])
@pytest.mark.parametrize("prefix", ["", "GSM1_"])
@pytest.mark.parametrize("sequencer", [True, False])
def test_names_beside_a_matrix(tmp_path, ending, features, prefix, sequencer):
    counts = scipy.sparse.coo_array(VALUES.T if sequencer else VALUES)
    scipy.io.mmwrite(tmp_path / f"{prefix}matrix.mtx", counts)
    written(tmp_path / f"{prefix}barcodes.{ending}", "\n".join(BARCODES))
    written(tmp_path / f"{prefix}{features}.{ending}", FEATURES)
    matrix = read(tmp_path / f"{prefix}matrix.mtx")
    assert isinstance(matrix, SparseMatrix)
    np.testing.assert_array_equal(matrix.all_cells().toarray(), VALUES)
    assert (list(matrix.row_names), list(matrix.column_names)) == (BARCODES, SYMBOLS)
    assert describe(matrix) == (
        f"row names: {prefix}barcodes.{ending} (AAA-1, CCC-1, GGG-1); data: 4 columns "
        "(TP53, TBCE (ENS2), TBCE (ENS3), …)"
    )
    part = read(tmp_path / f"{prefix}matrix.mtx", columns=["MYC"], transpose=True)
    assert (list(part.row_names), list(part.column_names)) == (["MYC"], BARCODES)
    plain = read(tmp_path / f"{prefix}matrix.mtx", names=False)
    np.testing.assert_array_equal(plain.toarray(), counts.toarray())


def test_names_of_one_side_and_of_dense_files(tmp_path):
    written(tmp_path / "barcodes.tsv", "\n".join(BARCODES))
    scipy.io.mmwrite(tmp_path / "matrix.mtx", VALUES)
    same(read(tmp_path / "matrix.mtx"), VALUES, BARCODES)


def test_names_that_do_not_fit_are_refused(tmp_path):
    scipy.io.mmwrite(tmp_path / "matrix.mtx", scipy.sparse.coo_array(VALUES))
    written(tmp_path / "barcodes.tsv", "A\nB\n")
    with pytest.raises(
        ValueError, match=r"has 3 rows and 4 columns, .*: barcodes\.tsv has 2\. Say na"
    ):
        read(tmp_path / "matrix.mtx")
    assert read(tmp_path / "matrix.mtx", names=False).shape == (3, 4)


# -- h5ad -----------------------------------------------------------------------------------------


@pytest.fixture
def h5ad(tmp_path):
    names = pd.DataFrame({"kind": ["a", "b", "a"]}, NAMES), pd.DataFrame(index=TITLES)
    data = anndata.AnnData(scipy.sparse.csr_matrix(VALUES), *names, layers={"raw": 2 * VALUES})
    data.write_h5ad(tmp_path / "data.h5ad")
    return tmp_path / "data.h5ad"


def test_h5ad(h5ad):
    for layer, factor in ((None, 1), ("raw", 2)):
        data = read(h5ad, layer=layer)
        np.testing.assert_array_equal(data.to_df(), factor * VALUES)
        assert (list(data.obs_names), list(data.var_names)) == (NAMES, TITLES)
        assert list(data.obs["kind"]) == ["a", "b", "a"]
    assert describe(data) == "row names: obs_names (s1, s2, s3); data: 4 columns (A, B, C, …)"
    part = read(h5ad, columns=["B:C"], transpose=True)
    np.testing.assert_array_equal(part.to_df(), VALUES[:, 1:3].T)


def test_h5ad_that_cannot_be_read(h5ad, monkeypatch):
    with pytest.raises(ValueError, match=r"data\.h5ad: V is an AnnData without .*: it has 'raw'"):
        read(h5ad, layer="counts")
    with pytest.raises(MemoryError, match=r"data\.h5ad would take"):
        read(h5ad, budget=50)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "anndata", None)
        with pytest.raises(
            ValueError, match="anndata, which is not installed: pip install anndata"
        ):
            read(h5ad)
    h5ad.write_bytes(h5ad.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"data\.h5ad"):
        read(h5ad)
