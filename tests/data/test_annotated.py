"""AnnData in and out, and names for what has none."""

from __future__ import annotations

import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic
import xarray as xr

import bayesnmf as bn
from bayesnmf.data import Matrix, SparseMatrix
from bayesnmf.data.storage import matrix_of
from bayesnmf.rank.settings import settings_of

CELLS, GENES = [f"cell{i}" for i in range(6)], ["TP53", "KRAS", "MYC", "EGFR", "ATM"]
METHOD = bn.MAP(n_init=1, max_iter=100)


def counts():
    return np.random.default_rng(0).poisson(2.0, (6, 5)).astype(float)


def adata(X=None, **layers):
    names = pd.DataFrame(index=CELLS), pd.DataFrame(index=GENES)
    return anndata.AnnData(
        scipy.sparse.csr_matrix(counts()) if X is None else X, *names, layers=layers
    )


def sparse_allowed(masked):
    return True


def opened(V, **options):
    """Return the storage, the cells and the names of data."""
    matrix = matrix_of(V, sparse_allowed, **options)
    cells = matrix.block(np.arange(matrix.n_rows), np.arange(matrix.n_columns))
    return type(matrix), cells, list(matrix.row_names), list(matrix.column_names)


# -- in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("place", ["X", "layer", "backed", "backed layer", "view", "backed view"])
def test_every_matrix_of_an_anndata_is_v_with_its_names(kind, place, tmp_path):
    V = counts() if kind == "dense" else getattr(scipy.sparse, f"{kind}_matrix")(counts())
    data = adata(V) if "layer" not in place else adata(V * 0, raw=V)
    expected, cells = counts(), CELLS
    if "backed" in place:
        data.write_h5ad(tmp_path / "data.h5ad")
        data = anndata.read_h5ad(tmp_path / "data.h5ad", backed="r")
    if "view" in place:
        data, expected, cells = data[[0, 3, 5]], expected[[0, 3, 5]], [CELLS[i] for i in (0, 3, 5)]
    storage, found, rows, columns = opened(data, layer="raw" if "layer" in place else None)
    assert storage is (Matrix if kind == "dense" else SparseMatrix)
    np.testing.assert_array_equal(found, expected)
    assert (rows, columns) == (cells, GENES)


def test_a_fit_of_an_anndata_is_that_of_its_sparse_matrix():
    model = small.model("poisson")
    depth = pd.Series(np.linspace(1, 2, 6), CELLS)
    model = bn.NMF(2, bn.likelihoods.Poisson(depth[::-1]), model.prior_W, model.prior_H)
    method = bn.MAP(n_init=1, max_iter=5000, tol=1e-7)
    fit = small.run(
        adata(counts() * 0, raw=scipy.sparse.csr_array(counts())), model, method, layer="raw"
    )
    assert "V_value" in fit.tree["observed_data"]
    assert fit.W.indexes["row"].to_list() == CELLS
    assert list(fit.matrix.column_names) == GENES
    plain = small.run(
        pd.DataFrame(counts(), CELLS, GENES), model, bn.MAP(init=(fit.W, fit.H), max_iter=2000)
    )
    assert fit.tree.attrs["objective"] == pytest.approx(plain.tree.attrs["objective"], rel=1e-6)


#: What a function that takes data is given: an AnnData's layer, and an array with names.
NAMED = [
    (adata(counts() * 0, raw=scipy.sparse.csr_matrix(counts())), {"layer": "raw"}),
    (counts(), {"rows": CELLS, "columns": GENES}),
]


@pytest.mark.parametrize(("V", "options"), NAMED, ids=["layer", "names"])
def test_functions_of_data_take_what_fit_takes(V, options):
    frame, model = pd.DataFrame(counts(), CELLS, GENES), bn.NMF(2)
    fit, method = small.run(frame, small.model("poisson"), METHOD), synthetic.MadeUp(num_samples=20)

    def results(V, **options):
        new = bn.transform(fit, V, **options)
        densities = bn.score(fit, V, num_samples=20, **options)
        prior = bn.prior_predictive(model, V, num_samples=3, **options)["prior_predictive/V"]
        folds = bn.kfold(V, model, method, n_folds=2, progress=False, **options)
        asked = None, "poisson", "map", "gamma", "gamma", "auto"
        sweep = settings_of(V, *asked, n_folds=2, n_replicates=19, seed=0, **options)
        return (
            new.W,
            densities,
            prior,
            folds.elpd_i,
            sweep.matrix.frame().to_xarray().to_dataarray(),
        )

    for found, expected in zip(results(V, **options), results(frame), strict=True):
        xr.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda V, **options: bn.kfold(V, bn.NMF(2), "svi", **options),
        lambda V, **options: bn.select_rank(V, [1], **options),
        lambda V, **options: bn.prior_predictive(bn.NMF(2), V, **options),
        lambda V, **options: bn.transform(small.fitted("poisson", "map"), V, **options),
        lambda V, **options: bn.score(small.fitted("poisson", "map"), V, **options),
    ],
)
def test_a_layer_that_is_not_there_is_named_everywhere(function):
    with pytest.raises(ValueError, match="without the layer 'counts': it has 'raw'"):
        function(adata(raw=counts()), layer="counts")


def test_a_model_takes_an_anndata():
    assert bn.NMF(2).resolve(adata()) == bn.NMF(2).resolve(counts())


@pytest.mark.parametrize(
    ("V", "options", "error", "message"),
    [
        (
            adata(raw=counts(), scaled=counts()),
            {"layer": "counts"},
            ValueError,
            "an AnnData without the layer 'counts': it has 'raw', 'scaled'. Leave layer out to use X",
        ),
        (adata(), {"layer": "raw"}, ValueError, "without the layer 'raw': it has no layers. Leave"),
        (
            anndata.AnnData(obs=pd.DataFrame(index=CELLS), layers={"raw": counts()}),
            {},
            ValueError,
            "an AnnData without X: it has 'raw'. Say layer=… to use one of them",
        ),
        (
            counts(),
            {"layer": "raw"},
            TypeError,
            "layer='raw' is for an AnnData, but V is a ndarray",
        ),
        (
            adata(),
            {"rows": CELLS},
            ValueError,
            "rows= is for data without names, but the rows of V",
        ),
        (counts(), {"rows": CELLS[:4]}, ValueError, "rows has 4 names, but V has 6 rows"),
        (counts(), {"columns": CELLS}, ValueError, "columns has 6 names, but V has 5 columns"),
    ],
)
def test_bad_input_is_one_sentence(V, options, error, message):
    with pytest.raises(error, match=message):
        bn.fit(V, bn.NMF(2), "map", progress=False, **options)


def test_packages_that_are_not_needed_are_not_imported():
    code = (
        "import sys, bayesnmf as bn, numpy as np;"
        "bn.data.Matrix.of(np.ones((2, 2)));"
        "assert not {'anndata', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- names for what has none -------------------------------------------------------------------


@pytest.mark.parametrize("V", [counts(), scipy.sparse.coo_array(counts()), counts().tolist()])
def test_rows_and_columns_are_named(V):
    _, found, rows, columns = opened(V, rows=CELLS, columns=pd.Index(GENES))
    np.testing.assert_array_equal(found, counts())
    assert (rows, columns) == (CELLS, GENES)
    assert opened(pd.DataFrame(counts(), columns=GENES), rows=CELLS)[2:] == (CELLS, GENES)


def test_named_sparse_data_match_masks_by_name(tmp_path):
    mask = pd.DataFrame(np.ones((6, 5), bool), CELLS, GENES)
    mask.loc["cell1", "MYC"] = False
    V, named = scipy.sparse.csr_array(counts()), {"rows": CELLS, "columns": GENES}
    fit = small.run(V, small.model("poisson"), METHOD, mask=mask.iloc[::-1, ::-1], **named)
    assert np.argwhere(np.isnan(fit.V.to_numpy())).tolist() == [[1, 2]]
    fit.save(tmp_path / "fit.nc")
    loaded = bn.load(tmp_path / "fit.nc")
    assert loaded.matrix.is_sparse
    assert list(loaded.matrix.row_names) == CELLS


# -- out ---------------------------------------------------------------------------------------


def test_a_fit_is_written_into_the_anndata(tmp_path):
    data = adata()
    fit = small.run(data, small.model("poisson"), METHOD)
    assert bn.to_anndata(fit, data) is data
    np.testing.assert_array_equal(data.obsm["X_nmf"], fit.W)
    np.testing.assert_array_equal(data.varm["nmf"], fit.H.T)
    np.testing.assert_allclose(data.uns["nmf"]["mass"], fit.summary()["share"], rtol=1e-6)
    data.write_h5ad(tmp_path / "data.h5ad")
    again = anndata.read_h5ad(tmp_path / "data.h5ad")
    np.testing.assert_array_equal(again.obsm["X_nmf"], fit.W)
    assert again.uns["nmf"]["params"]["likelihood"] == "Poisson()"
    assert again.uns["nmf"]["params"]["method"] == "map"
    assert bool(again.uns["nmf"]["converged"]) == fit.converged


def test_names_are_matched_and_what_was_not_fitted_is_missing():
    data = adata()
    fit = small.run(data[[5, 0, 2, 3], [1, 4, 0]].copy(), small.model("poisson"), METHOD)
    bn.to_anndata(fit, data, key="part")
    W = pd.DataFrame(data.obsm["X_part"], CELLS)
    np.testing.assert_array_equal(W.loc[["cell5", "cell0", "cell2", "cell3"]], fit.W)
    assert W.loc[["cell1", "cell4"]].isna().all(axis=None)
    H = pd.DataFrame(data.varm["part"], GENES)
    np.testing.assert_array_equal(H.loc[["KRAS", "ATM", "TP53"]], fit.H.T)
    assert H.loc[["MYC", "EGFR"]].isna().all(axis=None)


def test_what_cannot_be_matched_is_refused_before_anything_is_written():
    fit = small.run(adata(), small.model("poisson"), METHOD)
    other = adata()[:, :3].copy()
    with pytest.raises(ValueError, match="variables of adata lack 2 of the fit: 'EGFR', …"):
        bn.to_anndata(fit, other)
    assert not other.obsm.keys()
    unnamed = small.run(counts(), small.model("poisson"), METHOD)
    with pytest.raises(ValueError, match="adata has 3 variables, but the fit has 5 without names"):
        bn.to_anndata(unnamed, other)
    assert bn.to_anndata(unnamed, adata()).obsm["X_nmf"].shape == (6, 2)
    with pytest.raises(TypeError, match="adata must be an AnnData, not a ndarray"):
        bn.to_anndata(fit, counts())
