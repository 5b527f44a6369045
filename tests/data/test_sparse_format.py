"""Malformed sparse matrices: one sentence for each fault, by each way into the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.data.files import read
from bayesnmf.data.sparse_format import sound

V = np.array([[0.0, 2.0, 0.0, 1.0], [3.0, 0.0, 4.0, 0.0], [5.0, 1.0, 0.0, 2.0]])

#: What is written into indices or indptr of V in rows, and what the sentence says.
FAULTS = {
    "beyond": (("indices", 2, 10**6), "column index 1000000 is outside 0 to 3"),
    "negative": (("indices", 2, -7), "column index -7 is outside 0 to 3"),
    "decreasing": (("indptr", 1, 6), "indptr decreases at row 1"),
    "end-beyond": (("indptr", 3, 10**6), "indptr ends with 1000000, but 7 values are stored"),
    "end-before": (("indptr", 3, 5), "indptr ends with 5, but 7 values are stored"),
    "start": (("indptr", 0, 1), "indptr starts with 1, not 0"),
}


def malformed(fault, dtype=float):
    (name, where, value), sentence = FAULTS[fault]
    matrix = scipy.sparse.csr_array(V, dtype=dtype)
    getattr(matrix, name)[where] = value
    return matrix, sentence


def from_npz(fault, tmp_path):
    matrix, _ = malformed(fault)
    path = tmp_path / "V.npz"
    scipy.sparse.save_npz(path, matrix)
    read(path)


def from_saved_fit(fault, tmp_path):
    (name, where, value), _ = FAULTS[fault]
    fit = small.run(scipy.sparse.csr_array(V), bn.NMF(1), bn.MAP(n_init=1, max_iter=3))
    stored = {"indices": "V_column", "indptr": "V_start"}[name]
    data = fit.tree["observed_data"].to_dataset().copy(deep=True)
    data[stored][where] = value
    fit.tree["observed_data"] = data
    fit.matrix  # noqa: B018


ROUTES = {
    "Matrix": lambda fault, _: Matrix.of(malformed(fault)[0]),
    "SparseMatrix": lambda fault, _: SparseMatrix.of(malformed(fault)[0]),
    "fit": lambda fault, _: bn.fit(malformed(fault)[0], bn.NMF(1), "map"),
    "kfold": lambda fault, _: bn.kfold(malformed(fault)[0], bn.NMF(1), "map"),
    "select_rank": lambda fault, _: bn.select_rank(malformed(fault)[0], [1]),
    "mask": lambda fault, _: Matrix.of(V, malformed(fault, bool)[0]),
    "mask of sparse": lambda fault, _: SparseMatrix.of(
        scipy.sparse.csr_array(V), malformed(fault, bool)[0]
    ),
    "held out": lambda fault, _: Matrix.of(V, held_out=malformed(fault, bool)[0]),
    "npz": from_npz,
    "saved fit": from_saved_fit,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("route", ROUTES)
def test_no_malformed_matrix_comes_in(route, fault, tmp_path):
    """Compiled routines would follow these indices out of their arrays."""
    with pytest.raises(ValueError, match="malformed csr matrix: ") as caught:
        ROUTES[route](fault, tmp_path)
    assert FAULTS[fault][1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_saved_fit_is_checked_before_it_goes_on():
    """The state of chains is made up, since the data are looked at before it."""
    fit = small.run(scipy.sparse.csr_array(V), bn.NMF(1), bn.MAP(n_init=1, max_iter=3))
    fit = replace(fit, sampler_state={"step": np.array(0)})
    fit.tree.attrs |= {"method": "mcmc", "method_options": "{}"}
    data = fit.tree["observed_data"].to_dataset().copy(deep=True)
    data["V_column"][0] = 10**6
    fit.tree["observed_data"] = data
    with pytest.raises(ValueError, match="the sparse data of this fit is a malformed csr matrix"):
        bn.resume(fit, 1, progress=False)
    with pytest.raises(ValueError, match="malformed"):
        fit.V  # noqa: B018


def test_held_out_cells_of_a_saved_fit_are_checked():
    held = np.zeros(V.shape, bool)
    held[0, 1] = True
    fit = small.run(
        scipy.sparse.csr_array(V), bn.NMF(1), bn.MAP(n_init=1, max_iter=3), held_out=held
    )
    constant = fit.tree["constant_data"].to_dataset().copy(deep=True)
    constant["held_out_column"][0] = -9
    fit.tree["constant_data"] = constant
    with pytest.raises(ValueError, match="malformed coo matrix: column index -9"):
        fit.matrix  # noqa: B018


def _edited(form, **parts):
    matrix = getattr(scipy.sparse, f"{form}_array")(V)
    for name, part in parts.items():
        setattr(matrix, name, part)
    return matrix


def _lil(edit):
    matrix = scipy.sparse.lil_array(V)
    edit(matrix)
    return matrix


def _dok(key):
    matrix = scipy.sparse.dok_array(V)
    matrix._dict[key] = 1.0
    return matrix


def _bsr(name, where, value):
    matrix = scipy.sparse.bsr_array(V, blocksize=(1, 2))
    getattr(matrix, name)[where] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (_edited("csc", indices=np.array([1, 2, 0, 2, 1, 0, 9])), "row index 9 is outside 0 to 2"),
        (_edited("csr", indices=np.array([1.0, 3, 0, 2, 0, 1, 3])), "indices have dtype float64"),
        (_edited("csr", indices=np.array([1, 3, 0])), "3 column indices for 7 values"),
        (_edited("csr", indptr=np.array([0, 7])), "indptr has shape (2,)"),
        (_edited("csr", data=np.ones((7, 2))), "values have 2 dimensions"),
        (_edited("csr", indices=np.full(7, 2**63, np.uint64)), "index 9223372036854775808 is"),
        (_edited("csr", data=[1.0] * 7), "its values are a list, not an array"),
        (_edited("csr", indices=None), "its arrays cannot be understood"),
        (_edited("coo", coords=(np.full(7, 3), np.full(7, 0))), "row index 3 is outside 0 to 2"),
        (_edited("coo", coords=(np.full(7, 0), np.full(7, -1))), "column index -1 is outside"),
        (_edited("coo", coords=(np.zeros(6, int), np.zeros(7, int))), "6 row and 7 column"),
        (_edited("coo", coords=(np.zeros(7), np.zeros(7, int))), "row indices have dtype float64"),
        (_bsr("indices", 0, 8), "block column index 8 is outside 0 to 1"),
        (_bsr("indptr", 1, -4), "indptr decreases"),
        (_edited("dia", offsets=np.arange(100, 104)), "an offset is outside -2 to 3"),
        (_edited("dia", offsets=np.array([0])), "1 offsets for diagonals"),
        (_edited("dia", offsets=np.zeros(4, int)), "an offset stands there twice"),
        (_lil(lambda m: m.rows[0].append(99)), "not as many values as indices"),
        (_lil(lambda m: m.rows.__setitem__(0, [1, 99])), "column index 99 is outside 0 to 3"),
        (_lil(lambda m: m.rows.__setitem__(0, None)), "a row is not a list"),
        (_lil(lambda m: m.rows.__setitem__(0, [1, "x"])), "column indices have dtype"),
        (_dok((7, 0)), "row index 7 is outside 0 to 2"),
        (_dok((0, -5)), "column index -5 is outside 0 to 3"),
        (_dok("ab"), "malformed dok matrix"),
    ],
)
def test_every_format_is_checked(matrix, sentence):
    with pytest.raises(ValueError, match="V is a malformed ") as caught:
        SparseMatrix.of(matrix)
    assert sentence in str(caught.value)
    with pytest.raises(ValueError, match="V is a malformed "):
        Matrix.of(matrix)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_sound_format_comes_in(form, kind):
    matrix = getattr(scipy.sparse, f"{form}_{kind}")(V)
    np.testing.assert_array_equal(SparseMatrix.of(matrix).stored.toarray(), V)
    np.testing.assert_array_equal(Matrix.of(matrix).values, V)


def test_a_false_flag_does_not_leave_duplicates():
    matrix = scipy.sparse.csr_array((np.ones(3), [2, 0, 2], [0, 3]), shape=(1, 3))
    matrix.has_canonical_format = True
    stored = SparseMatrix.of(matrix).stored
    assert stored.indices.tolist() == [0, 2]
    assert stored.data.tolist() == [1.0, 2.0]
    assert matrix.nnz == 3  # the caller's own is left as it was


def test_duplicates_of_small_integers_do_not_wrap():
    """SciPy sums them in eight bits."""
    matrix = scipy.sparse.coo_array((np.full(2, 100, np.int8), ([0, 0], [0, 0])), shape=(1, 1))
    assert SparseMatrix.of(matrix).stored[0, 0] == 200
    assert Matrix.of(matrix).values[0, 0] == 200


def test_a_side_that_no_memory_holds_is_refused():
    with pytest.raises(MemoryError, match="above 268435456 on a side"):
        sound(scipy.sparse.coo_array((2**40, 2)))
