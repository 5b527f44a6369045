"""Bad data are refused in one line that says where they are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.command import run

LABELLED = "x,A,B\ns1,{},2\ns2,3,4\n"


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        pytest.param(
            LABELLED.format(-3), "", ["V[0, 0] = -3", "'s1'", "'A'", "negative"], id="negative"
        ),
        pytest.param(LABELLED.format("inf"), "", ["V[0, 0] = inf", "'s1'", "'A'"], id="infinite"),
        pytest.param("x,A,B\ns1,,NA\ns2,3,4\n", "", ["row 's1'", "no observed cell"], id="row"),
        pytest.param("x,A,B\ns1,,1\ns2,,4\n", "", ["column 'A'", "no observed cell"], id="column"),
        pytest.param(
            LABELLED.format(1.5),
            "",
            ["V[0, 0] = 1.5", "'s1'", "not an integer"],
            id="fraction-mcmc",
        ),
        pytest.param(
            LABELLED.format(1.5),
            "--method svi",
            ["V[0, 0] = 1.5", "not an integer"],
            id="fraction-svi",
        ),
        pytest.param(
            "x,A,B\ns1,0,0.2\ns2,0.3,0.4\n",
            "--likelihood beta",
            ["V[0, 0] = 0", "'s1'", "between 0 and 1"],
            id="beta-0",
        ),
        pytest.param(
            "x,A,B\ns1,0.1,0.2\ns2,0.3,1\n",
            "--likelihood beta",
            ["V[1, 1] = 1", "'s2'", "'B'"],
            id="beta-1",
        ),
        pytest.param(
            LABELLED.format(0), "--likelihood gamma", ["V[0, 0] = 0", "'s1'", "gamma"], id="gamma-0"
        ),
        pytest.param("", "", ["data.csv is empty"], id="empty"),
        pytest.param("\n\n", "", ["data.csv is empty"], id="blank"),
        pytest.param("x,A,B\n", "", ["data.csv", "no line of numbers"], id="header-alone"),
        pytest.param(
            "x,A,B\ns1,1,2\ns2,many,4\n", "", ["data.csv, line 3", "'A'", "'many'"], id="text"
        ),
        pytest.param("x,A,B\ns1,1,2\ns2,3\n", "", ["data.csv, line 3", "2 cell(s)"], id="short"),
        pytest.param('x,A,B\ns1,1,2\ns2,"3,4\n', "", ["data.csv, line 3", "quotes"], id="quote"),
    ],
)
def test_bad_data_are_refused_in_one_line(tmp_path, text, options, named):
    data = tmp_path / "data.csv"
    data.write_text(text)
    out = tmp_path / "fit.nc"
    error = run("fit", data, "--rank", 1, *options.split(), "--out", out).error()
    for part in named:
        assert part in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "array", "named"),
    [
        ("V.npy", np.empty((0, 3)), "V is empty: its shape is (0, 3)"),
        ("V.npy", np.array([["a", "b"]]), "V[0, 0] = "),
        ("V.npy", np.ones(3), "V has 1 dimension(s)"),
    ],
)
def test_bad_arrays_are_refused_in_one_line(tmp_path, name, array, named):
    np.save(tmp_path / name, array)
    error = run("fit", tmp_path / name, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert named in error


def test_text_column_of_a_table_is_named(tmp_path):
    path = tmp_path / "V.parquet"
    pd.DataFrame({"A": [1, 2], "B": ["few", "many"]}).to_parquet(path)
    error = run("fit", path, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert "V[0, 1] = 'few'" in error
    assert "column 'B'" in error


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("absent.csv", "there is no file"),
        ("notes.xls", "ending '.xls'"),
        ("notes.txt", "no line of numbers"),
        ("V.npz", "cannot be read as npz"),
        ("V.parquet", "cannot be read as parquet"),
        ("V.mtx", "no Matrix Market file"),
        ("V.csv.gz", "cannot read"),
        ("V.npy", "cannot be read as npy"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path, name, named):
    if not name.startswith("absent"):
        (tmp_path / name).write_text("These are words.")
    error = run("fit", tmp_path / name, "--rank", 1, "--out", tmp_path / "fit.nc").error()
    assert named in error
    assert str(tmp_path / name) in error
