"""Long tables of a fit, and their files: the numbers are NumPy's, the labels those of the data."""

from __future__ import annotations

import ambiguous
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic

import bayesnmf as bn

DRAWS = synthetic.draws()
ROWS, COLUMNS = ["r1", "r2", "r,3", 'r"4"', "r\n5 é"], ["a", "b", "c", "d"]
LABELS = {"W": ["row", "component"], "H": ["component", "column"], "mass": ["component"]}
every_table = pytest.mark.parametrize("name", LABELS)


@pytest.fixture(scope="module")
def fit():
    return synthetic.assembled(*DRAWS, V=pd.DataFrame(np.ones((5, 4)), ROWS, COLUMNS))


def a_map(**options):
    W, H = DRAWS
    return synthetic.assembled(W[:1, :1], H[:1, :1], method="map", converged=True, **options)


def draws_of(fit, name):
    """Return all draws of a table's entries, of shape (draw, entry)."""
    if name == "mass":
        W, H = (fit.tree[f"posterior/{factor}"].to_numpy() for factor in "WH")
        x = np.einsum("cdik,cdkj->cdk", W, H)
    else:
        x = fit.tree[f"posterior/{name}"].to_numpy()
    return x.reshape(x.shape[0] * x.shape[1], -1)


@every_table
@pytest.mark.parametrize(
    ("likelihood", "method"), [(name, method) for name in small.PLAIN for method in small.METHODS]
)
def test_the_numbers_are_numpys(likelihood, method, name):
    fit = synthetic.shaped(likelihood, method)
    table, draws = fit.to_frame(name, ci_prob=0.8), draws_of(fit, name)
    assert table.columns.tolist() == [*LABELS[name], "mean", "sd", "10%", "90%"]
    np.testing.assert_allclose(table["mean"], draws.mean(axis=0))
    if method == "map":
        assert table[["sd", "10%", "90%"]].isna().all(axis=None)
        return
    np.testing.assert_allclose(table["sd"], draws.std(axis=0, ddof=1))
    np.testing.assert_allclose(table["10%"], np.quantile(draws, 0.1, axis=0))
    np.testing.assert_allclose(table["90%"], np.quantile(draws, 0.9, axis=0))


def test_every_number_has_its_labels(fit):
    fit = fit.rename({0: "first"})
    for name in ("W", "H"):
        table, means = fit.to_frame(name), getattr(fit, name)
        assert len(table) == means.size
        for line in table.sample(8, random_state=0).to_dict("records"):
            entry = {dim: line[dim] for dim in means.dims}
            assert line["mean"] == means.sel(entry).item()
    assert fit.to_frame("mass")["component"].tolist() == ["first", "1", "2"]


def test_the_masses_are_those_of_the_summary(fit):
    table, summary = fit.to_frame("mass").set_index("component"), fit.summary()
    columns = {"mean": "mass", "sd": "sd", "5%": "5%", "95%": "95%"}
    for ours, theirs in columns.items():
        pd.testing.assert_series_equal(table[ours], summary[theirs], check_names=False)


def test_blocks_of_entries_change_nothing(fit, monkeypatch):
    whole = fit.to_frame("W")
    monkeypatch.setattr("bayesnmf.posterior.tables.BLOCK", 250)
    pd.testing.assert_frame_equal(fit.to_frame("W"), whole, check_exact=True)


def test_sparse_and_masked_data_have_the_same_tables():
    V = np.random.default_rng(0).poisson(2.0, (5, 4)) + 0.0
    plain = synthetic.assembled(*DRAWS, V=V)
    masked = synthetic.assembled(*DRAWS, V=np.where(np.eye(5, 4) > 0, np.nan, V))
    sparse = synthetic.assembled(*DRAWS, V=scipy.sparse.csr_array(V))
    for name in LABELS:
        for other in (masked, sparse):
            pd.testing.assert_frame_equal(plain.to_frame(name), other.to_frame(name))


def test_what_cannot_be_a_table_is_refused(fit):
    with pytest.raises(ValueError, match="there is no table 'V'; valid: W, H, mass"):
        fit.to_frame("V")
    with pytest.raises(ValueError, match="ci_prob must lie between 0 and 1, not 90"):
        fit.to_frame("W", ci_prob=90)
    for name in LABELS:
        with pytest.raises(ValueError, match=r"in 2 modes .*bn\.modes\(fit\)\[0\]"):
            ambiguous.fitted().to_frame(name)


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
def test_files_hold_the_tables(fit, tmp_path, there):
    """Names with commas, quotes and line breaks come back."""
    folder = tmp_path / "tables"
    if there:
        folder.mkdir()
        (folder / ".DS_Store").write_text("a desktop's")
    fit.to_csv(str(folder), ci_prob=0.5)
    names = {f"{name}.csv" for name in LABELS} | ({".DS_Store"} if there else set())
    assert {path.name for path in folder.iterdir()} == names
    assert list(tmp_path.iterdir()) == [folder]  # nothing private is left
    for name in LABELS:
        read = pd.read_csv(folder / f"{name}.csv")
        pd.testing.assert_frame_equal(read, fit.to_frame(name, 0.5), rtol=1e-14)


def test_a_map_estimate_has_empty_intervals(tmp_path):
    a_map().to_csv(tmp_path)
    lines = (tmp_path / "mass.csv").read_text().splitlines()
    assert lines[0] == "component,mean,sd,5%,95%"
    assert [line.endswith(",,,") for line in lines[1:]] == [True] * 3


def test_folders_that_cannot_be_written_are_refused(fit, tmp_path):
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "W.csv").write_text("mine")
    file.write_text("mine")
    with pytest.raises(ValueError, match="full: that folder is not empty: give the name of a new"):
        fit.to_csv(full)
    with pytest.raises(ValueError, match="file: that is a file: give the name of a folder"):
        fit.to_csv(file)
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path / 'absent'}"):
        fit.to_csv(tmp_path / "absent" / "tables")
    with pytest.raises(ValueError, match="NUL"):
        fit.to_csv("a\0b")
    assert (full / "W.csv").read_text() == file.read_text() == "mine"


def test_what_has_no_table_leaves_no_folder(fit, tmp_path):
    with pytest.raises(ValueError, match="in 2 modes"):
        ambiguous.fitted().to_csv(tmp_path / "tables")
    with pytest.raises(ValueError, match="ci_prob"):
        fit.to_csv(tmp_path / "tables", ci_prob=2)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_names_the_folder(fit, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "private")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*tables'"):
        fit.to_csv(tmp_path / "tables")
    assert list(tmp_path.iterdir()) == []


def test_the_means_are_a_matrix_that_can_be_fitted_again(fit, tmp_path):
    fit.to_csv(tmp_path / "tables")
    table = pd.read_csv(tmp_path / "tables" / "H.csv")
    H = table.pivot(index="component", columns="column", values="mean")
    np.testing.assert_allclose(bn.match(fit, H).assignment["reference"].astype(int), [0, 1, 2])
