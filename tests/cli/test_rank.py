"""``bayesnmf rank``: one library call, and one line for each error."""

from __future__ import annotations

import numpy as np
import pytest

import bayesnmf as bn
from bayesnmf.cli import app as cli
from bayesnmf.cli.rank import parse_ranks


@pytest.fixture
def counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    V, _, _ = bn.datasets.make_nmf(14, 10, 1, "poisson", seed=3)
    np.savetxt("counts.csv", V, fmt="%d", delimiter=",")
    return V


def test_sweep_is_printed_saved_drawn_and_resumed(counts, capsys):
    common = ["rank", "counts.csv", "--replicates", "19", "--folds", "2"]
    wanted = ["--ranks", "1:2", "--out", "sweep.nc", "--plot", "ranks.png"]
    assert cli.main([*common, *wanted]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    note = "counts.csv: row names: none; data: 10 columns, without names\n\n"
    assert out.startswith(f"{note}Rank 1: the smallest that passes the residual check")
    assert out.endswith("Saved to sweep.nc\nFigure: ranks.png\n")
    with open("ranks.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    saved = bn.RankSelection.load("sweep.nc")
    options = {"n_replicates": 19, "n_folds": 2, "progress": False}
    direct = bn.select_rank(counts, [1, 2], **options)
    assert direct.table.drop(columns="seconds").equals(saved.table.drop(columns="seconds"))
    assert cli.main([*common, "--ranks", "1,2", "--resume", "sweep.nc"]) == 0
    assert capsys.readouterr().out == f"{note}{saved}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ranks", "0:3"], "ranks must be at least 1, not 0"),
        (["--ranks", "3:1"], "--ranks 3:1 is empty: the last rank is below the first"),
        (["--ranks", "one"], "--ranks one: write FIRST:LAST"),
        (["--ranks", "1:2:3"], "--ranks 1:2:3: write FIRST:LAST"),
        (["--ranks", "1:11"], "rank 11 is above 10, the smaller side of V"),
        (["--out", "sweep.csv"], "--out sweep.csv: the name must end in .nc or .zarr"),
        (["--plot", "ranks.txt"], "ranks.txt: the name must end in .png or .pdf or .svg"),
        (["--resume", "absent.nc"], "no file absent.nc"),
        (["--method", "em"], "em"),
        (["--criterion", "aic"], "unknown criterion 'aic'"),
        (["--prior-w", "flat"], "prior_W is flat"),
        (["--likelihood", "zip"], "zip"),
    ],
)
def test_errors_are_one_line(counts, capsys, arguments, sentence):
    assert cli.main(["rank", "counts.csv", *arguments]) == 2
    out, err = capsys.readouterr()
    assert "Rank" not in out
    assert err.count("\n") == 1
    assert sentence in err


def test_ranks_are_read_as_written():
    assert parse_ranks("3:3") == [3]
    assert parse_ranks("5,2") == [5, 2]
