"""Options that say how data are read, and tables of known parameters."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from cli.command import run

import bayesnmf as bn
from bayesnmf.cli import rank as cli_rank
from bayesnmf.cli.data import Layout, likelihoods_of
from bayesnmf.cli.plot import PLOTS
from bayesnmf.likelihoods import REGISTRY as LIKELIHOODS
from bayesnmf.methods import METHODS
from bayesnmf.posterior import fitting
from bayesnmf.priors import REGISTRY as PRIORS

QUICK = ("--rank", 2, "--method", "map", "--starts", 1, "--max-iter", 20)


@pytest.fixture
def known(counts):
    """Write a table with the names of the counts and another number in every cell."""
    V = pd.read_csv(counts, index_col=0)
    table = pd.DataFrame(np.arange(1.0, 21).reshape(5, 4), V.index, V.columns)
    path = counts.with_name("known.tsv.gz")
    path.write_bytes(gzip.compress(table.to_csv(sep="\t").encode()))
    return path, table


@pytest.fixture
def no_fit(monkeypatch):
    """Stop when the data have been read and described, before anything is compiled."""

    def stop(*_, **__):
        raise ValueError("enough")

    monkeypatch.setattr(fitting, "fit", stop)
    monkeypatch.setattr(fitting, "fit_silently", stop, raising=False)


@pytest.mark.parametrize(
    ("verb", "option", "choices"),
    [
        ("fit", "--solver", bn.MAP._options["solver"]),
        ("fit", "--kernel", bn.MCMC._kernels),
        ("fit", "--algorithm", bn.SVI._algorithms),
        ("fit", "--init", ("random", "nndsvd")),
        ("fit", "--likelihood", LIKELIHOODS),
        ("fit", "--method", METHODS),
        ("fit", "--prior-w", PRIORS),
        ("compare", "--likelihoods", LIKELIHOODS),
        ("compare", "--criterion", ("loo", "waic", "kfold")),
        ("rank", "--likelihood", LIKELIHOODS),
        ("rank", "--method", METHODS),
        ("rank", "--prior-w", PRIORS),
        ("rank", "--criterion", ("kfold", "loo", "auto")),
        ("plot", "--kind", PLOTS),
    ],
)
def test_help_and_errors_list_the_choices(counts, verb, option, choices):
    shown = " ".join(run(verb, "--help").out.split())
    text = shown.partition(f" {option} ")[2][:200]
    needed = {"fit": QUICK[:2], "compare": QUICK[:2]}.get(verb, ())
    needed = (*needed, "--out", counts.with_name("fit.nc")) if verb == "fit" else needed
    owner = {"--solver": "map", "--init": "map", "--algorithm": "svi"}.get(option)
    needed = (*needed, "--method", owner) if owner else needed
    error = run(verb, counts, *needed, option, "wrong").error()
    for choice in choices:
        assert choice in text
        assert choice in error
    assert "'wrong'" in error


@pytest.mark.parametrize(
    ("likelihood", "parameter"), [("gaussian", "sigma"), ("negative_binomial", "exposure")]
)
def test_known_parameters_come_from_a_file(counts, known, likelihood, parameter):
    path, table = known
    out = counts.with_name("fit.nc")
    options = ("--likelihood", likelihood, f"--{parameter}", path)
    assert run("fit", counts, *QUICK, *options, "--out", out).status in (0, 1)
    stored = getattr(bn.load(out).model.likelihood, parameter)
    np.testing.assert_array_equal(np.asarray(stored), table)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "gamma"])
def test_an_exposure_may_be_a_column_of_a_file(counts, likelihood):
    V = pd.read_csv(counts, index_col=0)
    path = counts.with_name("depth.csv")
    pd.Series(np.arange(1.0, 6), V.index, name="depth")[::-1].to_csv(path)
    known = Layout().read_known(None, path)
    resolved = likelihoods_of(likelihood, known)[likelihood].resolve(bn.data.Matrix.of(V))
    np.testing.assert_array_equal(resolved.exposure, np.tile(np.arange(1.0, 6)[:, None], 4))


@pytest.mark.parametrize("verb", ["fit", "compare", "rank"])
def test_a_parameter_of_another_likelihood_is_refused(counts, known, verb):
    needed = ("--out", counts.with_name("fit.nc")) if verb == "fit" else ()
    needed = (*needed, "--rank", 1) if verb != "rank" else needed
    error = run(verb, counts, *needed, "--sigma", known[0]).error()
    assert "--sigma belongs to the likelihood gaussian, not to poisson" in error


def test_rank_and_compare_pass_known_parameters_on(counts, known, monkeypatch):
    given = []

    def stop(V, *arguments, **_):
        given.append(arguments[1])
        raise ValueError("enough")

    monkeypatch.setattr(cli_rank, "select_rank", stop)
    assert "enough" in run("rank", counts, "--exposure", known[0]).err
    monkeypatch.setattr(fitting, "fit", stop)
    monkeypatch.setattr(fitting, "fit_silently", stop, raising=False)
    options = ("--rank", 1, "--likelihoods", "gaussian,poisson", "--sigma", known[0])
    assert "enough" in run("compare", counts, *options).err
    np.testing.assert_array_equal(given[0].exposure, known[1])
    likelihoods = likelihoods_of("gaussian,poisson", {"sigma": known[1]})
    assert likelihoods["gaussian"].sigma is known[1]
    assert likelihoods["poisson"].exposure is None


@pytest.mark.parametrize(
    ("options", "note", "columns"),
    [
        ("", "row names: column 'sample_id' (11, 12, 13); data: 3 columns (plate, A, B)", 3),
        ("--names none", "row names: none; data: 4 columns (sample_id, plate, A, …)", 4),
        (
            "--names plate",
            "row names: column 'plate' (7, 8, 5); data: 3 columns (sample_id, A, B)",
            3,
        ),
        ("--names 2", "row names: column 'plate' (7, 8, 5); data: 3 columns (sample_id, A, B)", 3),
    ],
)
def test_names_are_recognised_or_chosen_and_told(tmp_path, no_fit, options, note, columns):
    data = tmp_path / "data.csv"
    data.write_text("sample_id,plate,A,B\n11,7,3,1\n12,8,4,1\n13,5,9,2\n")
    fitted = run("fit", data, *QUICK, *options.split(), "--out", tmp_path / "fit.nc")
    assert note in fitted.out.splitlines()
    assert f"3 rows x {columns} columns, missing cells: 0" in fitted.out


def test_the_header_can_be_refused(tmp_path, no_fit):
    data = tmp_path / "data.csv"
    data.write_text("4,5,6,7\n3,1,4,1\n5,9,2,6\n")
    for options, rows in (((), 2), (("--no-header",), 3)):
        fitted = run("fit", data, *QUICK, *options, "--out", tmp_path / "fit.nc")
        assert f"{rows} rows x 4 columns" in fitted.out


@pytest.mark.parametrize("verb", ["fit", "compare", "rank"])
def test_text_of_other_conventions_is_read_as_told(tmp_path, no_fit, monkeypatch, verb):
    monkeypatch.setattr(cli_rank, "select_rank", fitting.fit)
    data = tmp_path / "data.csv"
    data.write_text("gene;kind;S1;S2;S3\nTP53;x;3,5;1,5;2\nMYC;y;4;1;7\n")
    options = [
        "--columns",
        "S1,4:5",
        "--separator",
        "semicolon",
        "--decimal",
        "comma",
        "--transpose",
    ]
    needed = {"fit": (*QUICK, "--out", tmp_path / "fit.nc"), "compare": ("--rank", 1), "rank": ()}
    told = run(
        verb,
        data,
        *needed[verb],
        *options,
        *(("--likelihoods", "gamma,gaussian") if verb == "compare" else ("--likelihood", "gamma")),
    )
    assert "row names: the header (S1, S2, S3); data: 2 columns (TP53, MYC)" in told.out
    assert told.err == "bayesnmf: enough\n"


def test_the_layer_of_an_h5ad_is_chosen(tmp_path, no_fit):
    V, path = np.ones((4, 3)), tmp_path / "data.h5ad"
    anndata.AnnData(-V, layers={"raw": 2 * V}).write_h5ad(path)
    options = (*QUICK, "--out", tmp_path / "fit.nc")
    told = run("fit", path, *options, "--layer", "raw")
    assert "row names: obs_names (0, 1, 2, …); data: 3 columns (0, 1, 2)" in told.out
    assert (
        "without the layer 'counts': it has 'raw'"
        in run("fit", path, *options, "--layer", "counts").error()
    )


def test_the_size_budget_can_be_set(counts, no_fit):
    options = (*QUICK, "--out", counts.with_name("fit.nc"), "--read-budget")
    assert "above the budget of 9.31e-10 GiB" in run("fit", counts, *options, 2.0**-30).error()
    assert run("fit", counts, *options, 5).err == "bayesnmf: enough\n"


@pytest.mark.parametrize("name", ["counts.npz", "counts.parquet", "counts.mtx.gz", "counts.txt.gz"])
def test_damaged_files_have_the_status_of_an_error(tmp_path, name):
    """Not 1, which says that a fit has not converged."""
    path = tmp_path / name
    path.write_bytes(b"PK\3\4" + bytes(60))
    assert str(path) in run("fit", path, *QUICK, "--out", tmp_path / "fit.nc").error()


def test_known_components_come_from_a_file(counts):
    V = pd.read_csv(counts, index_col=0)
    known = pd.DataFrame(np.arange(1.0, 9).reshape(2, 4), ["A", "B"], V.columns)
    path = counts.with_name("known.tsv")
    known[list(V.columns[::-1])].to_csv(path, sep="\t", index_label="component")
    saved, options = counts.with_name("fit.nc"), ("--method", "map", "--starts", 1)
    outcome = run("fit", counts, "--reference", path, *options, "--out", saved)
    assert outcome.status == 0, outcome.err
    fit = bn.load(saved)
    assert fit.H["component"].values.tolist() == ["A", "B"]
    np.testing.assert_allclose(fit.H, known.div(known.sum(axis=1), axis=0))
    assert "--rank is missing" in run("fit", counts, "--out", saved).error()
    outcome = run("rank", counts, "--reference", path, "--ranks", "0,1", "--replicates", 19)
    assert outcome.status == 0, outcome.err
    flipped = counts.with_name("flipped.csv")
    known.T.to_csv(flipped, index_label="gene")
    refused = run("fit", counts, "--reference", flipped, "--out", saved).error()
    assert "names of V's columns in its rows: give it transposed" in refused
