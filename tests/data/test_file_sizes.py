"""Files that would expand beyond the budget, or announce more than they hold, are not expanded."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from bayesnmf.data import files

BUDGET = 2**18


def _npz_of_header(path, header):
    """Write an archive of one array whose header is replaced."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("V.npy", stream.getvalue() + bytes(64))


WRITERS = {
    "zeros.npz": lambda path: np.savez_compressed(path, V=np.zeros((400, 400))),
    "bytes.npz": lambda path: np.savez_compressed(path, V=np.zeros((400, 400), np.int8)),
    "sparse.npz": lambda path: scipy.sparse.save_npz(
        path, scipy.sparse.csr_array(np.ones((400, 400), np.int8))
    ),
    "many.npz": lambda path: np.savez_compressed(path, *np.zeros((4, 400, 100))),
    "V.npy": lambda path: np.save(path, np.zeros((400, 400), np.int8)),
    "V.csv": lambda path: path.write_text("1,2,3\n" * 50_000),
    "V.csv.gz": lambda path: path.write_bytes(gzip.compress(b"1,2,3\n" * 50_000)),
    "V.mtx": lambda path: scipy.io.mmwrite(path, np.zeros((400, 400), int)),
    "wide.mtx": lambda path: path.write_text(
        "%%MatrixMarket matrix coordinate real general\n% words\n\n900000 2 1\n1 1 2.5\n"
    ),
    "V.mtx.gz": lambda path: path.write_bytes(gzip.compress(b"%" * 2**22)),
    "V.parquet": lambda path: pd.DataFrame({"A": [1] * 99_000, "B": [2] * 99_000}).to_parquet(path),
    "text.parquet": lambda path: pd.DataFrame({"A": ["x" * 4096] * 999, "B": [2] * 999}).to_parquet(
        path
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_expands_beyond_the_budget_is_refused(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path)
    assert files.read(path) is not None if name not in ("many.npz", "V.mtx.gz") else True
    monkeypatch.setattr(files, "READ_BUDGET", BUDGET)
    with pytest.raises(MemoryError, match="GiB of memory when read, above the budget") as caught:
        files.read(path)
    assert str(path) in str(caught.value)
    assert "raise bayesnmf.data.files.READ_BUDGET" in str(caught.value)


@pytest.mark.parametrize("name", ["zeros.npz", "sparse.npz", "V.parquet"])
def test_the_size_is_found_before_anything_is_expanded(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path)
    monkeypatch.setattr(files, "READ_BUDGET", BUDGET)
    for owner, reader in ((np, "load"), (scipy.sparse, "load_npz")):
        monkeypatch.setattr(owner, reader, lambda *_, **__: pytest.fail("was read"))
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read", lambda *_: pytest.fail("was read"))
    with pytest.raises(MemoryError):
        files.read(path)


@pytest.mark.parametrize(
    "shape", [(2**40, 2**40), (100, 100), (-1, 5)], ids=["huge", "long", "negative"]
)
def test_an_array_that_announces_more_than_it_holds_is_damaged(shape, tmp_path):
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    _npz_of_header(tmp_path / "V.npz", header)
    with zipfile.ZipFile(tmp_path / "V.npz") as archive:
        (tmp_path / "V.npy").write_bytes(archive.read("V.npy"))
    for path in (tmp_path / "V.npz", tmp_path / "V.npy"):
        with pytest.raises(
            ValueError, match=r"is damaged: the header of V\.npy announces"
        ) as caught:
            files.read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "coordinate real general\n5 5 99999999999\n1 1 2\n",
        "array real general\n99999 99999\n1\n2\n",
    ],
)
def test_a_matrix_market_file_that_announces_too_much_is_damaged(text, tmp_path):
    path = tmp_path / "V.mtx"
    path.write_text(f"%%MatrixMarket matrix {text}")
    with pytest.raises(ValueError, match=r"V\.mtx is damaged: its size line announces .*99999"):
        files.read(path)


def test_an_archive_with_many_arrays_is_explained_in_a_short_line(tmp_path):
    path = tmp_path / "V.npz"
    np.savez(path, *np.zeros((300, 2)))
    with pytest.raises(ValueError, match=r"holds 300 arrays .*, …\), but a data file") as caught:
        files.read(path)
    assert len(str(caught.value)) < 400
