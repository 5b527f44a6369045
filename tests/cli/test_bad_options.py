"""Bad options and files are refused in one line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import xarray as xr
from cli.command import run

from bayesnmf.posterior import output_files


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--rank 0", ["--rank", "1"]),
        ("--rank few", ["--rank"]),
        ("--rank 2 --likelihood posson", ["unknown likelihood 'posson'", "poisson", "beta"]),
        ("--rank 2 --likelihood kullback-leibler", ["use likelihood='poisson'"]),
        ("--rank 2 --method em", ["unknown method 'em'", "map, svi, mcmc"]),
        ("--rank 2 --prior-w cauchy", ["unknown --prior-w 'cauchy'", "gamma, exponential, flat"]),
        ("--rank 2 --prior-h cauchy", ["unknown --prior-h 'cauchy'", "gamma, exponential, flat"]),
        ("--rank 2 --prior-h flat", ["prior_H is flat"]),
        ("--rank 2 --method map --solver simplex", ["unknown solver 'simplex'", "auto, newton"]),
        ("--rank 2 --method map --init zeros", ["unknown init 'zeros'", "random, nndsvd"]),
        ("--rank 2 --method svi --algorithm em", ["unknown algorithm 'em'", "guide"]),
        ("--rank 2 --kernel slice", ["unknown kernel 'slice'", "nuts"]),
        ("--rank 2 --method map --chains 4", ["--chains belongs to --method mcmc"]),
        ("--rank 2 --method map --samples 4", ["--samples belongs to --method svi or mcmc"]),
        ("--rank 2 --solver mu", ["--solver belongs to --method map, not to --method mcmc"]),
        ("--rank 2 --chains 0", ["--chains"]),
        ("--rank 2 --min-ess 0", ["min_ess must be positive"]),
        ("--rank 2 --tol -1", ["--tol"]),
        ("--rank 2 --seed one", ["--seed"]),
        ("--rank 2 --ranks 3", ["--ranks"]),
        ("", ["--rank", "bayesnmf fit --help"]),
    ],
)
def test_bad_options_are_refused_in_one_line(counts, options, named):
    error = run("fit", counts, *options.split(), "--out", counts.with_name("fit.nc")).error()
    for part in named:
        assert part in error


@pytest.mark.parametrize(
    ("out", "named"),
    [
        ("fit.pkl", "must end in .nc or .zarr"),
        ("fit", "must end in .nc or .zarr"),
        ("nowhere/fit.nc", "there is no folder"),
        ("folder.nc", "that is a folder"),
    ],
)
def test_fit_looks_at_its_target_before_anything_else(tmp_path, out, named):
    (tmp_path / "folder.nc").mkdir()
    error = run("fit", tmp_path / "absent.csv", "--rank", 2, "--out", tmp_path / out).error()
    assert named in error
    assert out in error


def test_target_that_cannot_be_written_is_refused(counts, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output_files.tempfile, "TemporaryDirectory", refuse)
    error = run("fit", counts, "--rank", 2, "--out", counts.with_name("fit.nc")).error()
    assert "fit.nc: cannot write there (Permission denied)" in error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["fot"], "'fot'"), (["check"], "FILE"), (["plot", "a.nc", "b.nc"], "b.nc")],
)
def test_usage_errors_are_one_line_that_points_to_the_help(arguments: Sequence[str], named):
    error = run(*arguments).error()
    assert named in error
    assert "--help)" in error


@pytest.mark.parametrize("verb", ["check", "plot"])
@pytest.mark.parametrize("content", ["absent", "words", "netcdf", "folder"])
def test_file_that_is_no_result_is_refused(tmp_path, verb, content):
    path = tmp_path / "other.nc"
    if content == "words":
        path.write_text("These are words.")
    elif content == "netcdf":
        xr.Dataset({"x": ("i", [1.0])}).to_netcdf(path, engine="h5netcdf")
    elif content == "folder":
        path.mkdir()
    error = run(verb, path).error()
    assert str(path) in error
    assert ("no file" if content == "absent" else "is not a bayesnmf result") in error


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--kind pie", "unknown --kind 'pie'; valid: components, top_columns, signatures,"),
        ("--kind signatures", "columns of V are not among the 96 channels"),
        ("--out map.jpg", "must end in .png or .pdf or .svg"),
    ],
)
def test_plot_refuses_what_it_cannot_draw(map_file, options, named):
    assert named in run("plot", map_file, *options.split()).error()
