"""The verb that writes a fit as text files."""

from __future__ import annotations

import ambiguous
import pandas as pd
from cli.command import run

import bayesnmf as bn


def test_export_writes_the_tables_of_the_fit(map_file):
    folder = map_file.with_name("tables")
    assert run("export", map_file, "--out", folder, "--ci-prob", 0.5) == (0, f"{folder}\n", "")
    fit = bn.load(map_file)
    for name in ("W", "H", "mass"):
        read = pd.read_csv(folder / f"{name}.csv")
        pd.testing.assert_frame_equal(read, fit.to_frame(name, 0.5), rtol=1e-14)
    assert set(pd.read_csv(folder / "W.csv")["row"]) == {"s1", "s2", "s3", "s4", "s5"}


def test_export_refuses_in_one_line(map_file):
    folder = map_file.parent
    assert "that folder is not empty" in run("export", map_file, "--out", folder).error()
    assert "that is a file" in run("export", map_file, "--out", map_file).error()
    assert "--out" in run("export", map_file).error()
    new = folder / "tables"
    error = run("export", map_file, "--out", new, "--ci-prob", 2).error()
    assert error == "ci_prob must lie between 0 and 1, not 2.0"
    assert run("export", folder / "absent.nc", "--out", new).error().startswith("no file")
    assert not new.exists()


def test_export_asks_for_a_mode(tmp_path):
    ambiguous.fitted().save(tmp_path / "fit.nc")
    assert "choose one with --mode" in run("export", tmp_path / "fit.nc", "--out", "x").error()
    folder = tmp_path / "tables"
    assert run("export", tmp_path / "fit.nc", "--mode", 1, "--out", folder).status == 0
    assert len(pd.read_csv(folder / "mass.csv")) == 4
