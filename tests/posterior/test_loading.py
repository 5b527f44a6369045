"""Loading results that others made: their code does not run, and damage gives one sentence."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import synthetic
import xarray as xr
from cli.command import run
from fuzz import results

import bayesnmf as bn
from bayesnmf.model import Program
from bayesnmf.posterior import archive as storage
from bayesnmf.posterior import checksums
from bayesnmf.posterior.loading import load_fit
from bayesnmf.zoo import load as zoo

FIT = synthetic.assembled(*synthetic.draws(2, 4))
MODEL = storage.MODEL_ATTRIBUTE
every_ending = pytest.mark.parametrize("ending", [".nc", ".zarr"])
ZOO = zoo._zoo()["cemgil2009"]


def changed(path, change, tree=None):
    """Save a tree after a change, as a program that knows the format would."""
    tree = FIT.tree.copy(deep=True) if tree is None else tree
    change(tree)
    bn.Fit(tree, None).save(path)
    return path


def names_a_program(path, reference):
    record = json.dumps({"program": str(reference), "options": {"n_components": 3}})
    return changed(path, lambda tree: tree.attrs.update({MODEL: record}))


# -- code that a file names ----------------------------------------------------------------------------


@every_ending
@pytest.mark.parametrize("where", ["absolute", "relative", "inside"])
def test_code_that_a_file_names_does_not_run(where, ending, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, sign = tmp_path / f"fit{ending}", tmp_path / "sign"
    payload = {
        "absolute": tmp_path / "payload.py",
        "relative": Path("payload.py"),
        "inside": Path(f"fit{ending}/payload.py"),
    }[where]
    names_a_program(path, payload)
    if path.is_dir() or where != "inside":
        payload.write_text(f"open({str(sign)!r}, 'w').close()")
    for load in (bn.load, load_fit):
        with pytest.warns(UserWarning, match=r"trust=True.*model=") as caught:
            fit = load(path)
        assert (fit.model, len(caught)) == (None, 1)
        assert fit.tree["posterior"].identical(FIT.tree["posterior"])
    for verb in ("check", "plot") if where == "relative" else ():
        outcome = run(verb, path)
        assert outcome.status in (0, 1)
        (line,) = outcome.err.splitlines()
        assert line.startswith("bayesnmf: warning: ")
    assert not sign.exists()


def test_a_report_does_not_run_it_either_and_says_what_is_missing(tmp_path):
    sign, payload = tmp_path / "sign", tmp_path / "payload.py"
    payload.write_text(f"open({str(sign)!r}, 'w').close()")
    path = names_a_program(tmp_path / "fit.nc", payload)
    outcome = run("report", path)
    assert (outcome.status, len(outcome.err.splitlines())) == (0, 1)
    assert "The model is not known here" in path.with_suffix(".html").read_text()
    assert not sign.exists()


def test_a_sweep_does_not_run_it_either_and_warns_once(tmp_path):
    sweep, sign, payload = results.sweep(), tmp_path / "sign", tmp_path / "payload.py"
    payload.write_text(f"open({str(sign)!r}, 'w').close()")
    for fit in sweep.fits.values():
        fit.tree.attrs[MODEL] = json.dumps({"program": str(payload), "options": {}})
    sweep.save(tmp_path / "sweep.nc")
    for load in (bn.load, bn.RankSelection.load):
        with pytest.warns(UserWarning, match="without its model") as caught:
            again = load(tmp_path / "sweep.nc")
        assert len(caught) == 1
        assert [fit.model for fit in again.fits.values()] == [None]
    assert not sign.exists()
    with pytest.raises(ValueError, match="is a sweep over ranks, whose fits have models"):
        bn.load(tmp_path / "sweep.nc", model=bn.NMF(3))


def test_a_program_of_the_user_comes_back_on_request(tmp_path):
    own = tmp_path / "own.py"
    shutil.copy(ZOO, own)
    fit = synthetic.assembled(
        *synthetic.draws(2, 4), model=bn.load_model(own, n_components=3, shape_W=0.5)
    )
    fit.save(tmp_path / "fit.nc")
    with pytest.warns(UserWarning, match="without its model"):
        assert bn.load(tmp_path / "fit.nc").model is None
    again = bn.load(tmp_path / "fit.nc", trust=True)
    assert isinstance(again.model, Program)
    assert again.model.options == {"n_components": 3, "shape_W": 0.5}
    given = bn.load(tmp_path / "fit.nc", model=fit.model)
    assert given.model is fit.model


def test_a_model_that_is_given_must_fit_the_draws(tmp_path):
    path = names_a_program(tmp_path / "fit.nc", "gone.py")
    given = bn.load(path, model=bn.NMF(3))
    assert given.model == FIT.model  # with its defaults resolved
    with pytest.raises(ValueError, match=r"model has 2 component\(s\), and the draws have 3"):
        bn.load(path, model=bn.NMF(2))


@pytest.mark.parametrize("options", [{"n_components": 10**9}, {"no_such_option": 1.0}])
def test_a_zoo_model_with_options_that_do_not_fit_is_left_out(options, tmp_path):
    record = json.dumps({"program": "cemgil2009", "options": options})
    path = changed(tmp_path / "fit.nc", lambda tree: tree.attrs.update({MODEL: record}))
    with pytest.warns(UserWarning, match=r"without its model \(cemgil2009"):
        assert bn.load(path).model is None


# -- checksums --------------------------------------------------------------------------------------


def test_a_changed_number_is_noticed(tmp_path):
    path = tmp_path / "fit.nc"
    FIT.save(path)
    data = path.read_bytes()
    value = FIT.tree["posterior/W"].to_numpy().tobytes()
    at = data.index(value)
    path.write_bytes(data[: at + 8] + np.float64(0.25).tobytes() + data[at + 16 :])
    for attempt in (lambda: bn.load(path), lambda: bn.load(path, trust=True)):
        with pytest.raises(ValueError, match=r"fit\.nc has changed since it was saved"):
            attempt()
    error = run("check", path).error()
    assert "checksum" in error


def remove_piece(path):
    (path / "posterior/W/c/0/0/0/0").unlink()  # zarr reads NaN for it


def link_piece(path):
    piece = path / "posterior/W/c/0/0/0/0"
    piece.unlink()
    piece.symlink_to("/dev/zero")


def link_group(path):
    (path / "more").symlink_to(path.parent)


@pytest.mark.parametrize("damage", [remove_piece, link_piece, link_group])
def test_a_changed_store_is_noticed(damage, tmp_path):
    path = tmp_path / "fit.zarr"
    FIT.save(path)
    damage(path)
    with pytest.raises(ValueError, match=r"fit\.zarr has changed since it was saved"):
        bn.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("trust", [False, True])
def test_a_pipe_is_not_waited_for(trust, tmp_path):
    os.mkfifo(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match=r"fit\.nc is not a bayesnmf result"):
        bn.load(tmp_path / "fit.nc", trust=trust)


def test_files_beside_the_store_do_not_matter(tmp_path):
    path = tmp_path / "fit.zarr"
    FIT.save(path)
    (path / ".DS_Store").write_text("x")
    (path / "notes.txt").write_text("x")
    assert bn.load(path).tree.identical(FIT.tree)


@every_ending
def test_other_programs_read_results(ending, tmp_path):
    path = tmp_path / f"fit{ending}"
    FIT.save(path)
    options = {".nc": {"engine": "h5netcdf"}, ".zarr": {"engine": "zarr", "consolidated": False}}
    with xr.open_datatree(path, **options[ending]) as opened:
        xr.testing.assert_identical(
            opened["posterior"].to_dataset(), FIT.tree["posterior"].to_dataset()
        )


@every_ending
def test_a_result_without_a_checksum_is_read_on_request(ending, tmp_path):
    path = tmp_path / f"fit{ending}"
    if ending == ".nc":
        FIT.tree.to_netcdf(path, engine="h5netcdf")
    else:
        FIT.tree.to_zarr(path, consolidated=False)
    with pytest.raises(ValueError, match=r"has no checksum.*trust=True\) reads it$"):
        bn.load(path)
    assert bn.load(path, trust=True).tree.identical(FIT.tree)
    assert run("check", path).error().startswith(f"{path} is not a bayesnmf result")


# -- structure --------------------------------------------------------------------------------------------


def put(group, name, change):
    """Return a change of one variable of a group."""

    def edit(tree):
        data = tree[group].to_dataset()
        tree[group].dataset = data.assign({name: change(data[name])})

    return edit


def record(text):
    return lambda tree: tree.attrs.update({MODEL: text})


def without(group, name):
    def edit(tree):
        tree[group].dataset = tree[group].to_dataset().drop_vars(name)

    return edit


NMF_RECORD = json.loads(FIT.tree.attrs[MODEL])


@pytest.mark.parametrize(
    "change",
    [
        record("{"),
        record("[1]"),
        record("null"),
        record("[" * 100_000),
        record('{"program": 1}'),
        record(json.dumps(NMF_RECORD | {"n_components": 2})),
        record(json.dumps(NMF_RECORD | {"n_components": 10**400})),
        record(json.dumps(NMF_RECORD | {"likelihood": {"name": "gaussian", "sigma": "array"}})),
        record(json.dumps(NMF_RECORD | {"prior_W": None})),
        lambda tree: tree.attrs.pop("method"),
        lambda tree: tree.attrs.update(converged="maybe"),
        lambda tree: tree.__delitem__("observed_data"),
        lambda tree: tree.__delitem__("posterior"),
        without("posterior", "H"),
        without("posterior", "row"),
        without("sample_stats", "scale"),
        put("posterior", "W", lambda x: x.transpose("chain", "draw", "component", "row")),
        put("posterior", "W", lambda x: x.astype(str)),
        put("posterior", "H", lambda x: x.isel(draw=0, drop=True)),
        put("observed_data", "V", lambda x: x.astype(str)),
        lambda tree: setattr(
            tree["observed_data"], "dataset", tree["observed_data"].to_dataset().isel(row=slice(2))
        ),
    ],
)
def test_what_lacks_a_part_of_a_fit_is_refused_in_one_sentence(change, tmp_path):
    path = changed(tmp_path / "fit.nc", change)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"fit\.nc is damaged \(") as caught:
            bn.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", ["check", "plot", "report"])
def test_commands_refuse_a_damaged_result_with_exit_status_2(verb, tmp_path):
    path = changed(tmp_path / "fit.nc", record("{"))
    assert run(verb, path).error().startswith(f"{path} is damaged (")


@pytest.mark.parametrize(
    "change",
    [
        put("observed_data", "V_column", lambda x: x + 100),
        put("observed_data", "V_column", lambda x: x - 100),
        put("observed_data", "V_start", lambda x: x.copy(data=x.to_numpy()[::-1])),
        put("constant_data", "held_out_row", lambda x: x + 100),
    ],
)
def test_sparse_data_that_point_outside_are_refused(change, sparse_fit, tmp_path):
    path = changed(tmp_path / "fit.nc", change, sparse_fit.tree.copy(deep=True))
    with pytest.raises(ValueError, match=r"fit\.nc is damaged \("):
        bn.load(path)


def test_sparse_data_come_back(sparse_fit, tmp_path):
    sparse_fit.save(tmp_path / "fit.nc")
    assert bn.load(tmp_path / "fit.nc").tree.identical(sparse_fit.tree)


@pytest.fixture(scope="module")
def sparse_fit():
    V = scipy.sparse.csr_array(np.random.default_rng(1).poisson(0.7, (5, 4)) + 0.0)
    held_out = scipy.sparse.csr_array(([True], ([1], [2])), (5, 4))
    return bn.fit(V, bn.NMF(2), "map", held_out=held_out, progress=False)


def test_a_sweep_that_lacks_a_part_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "sweep.nc"
    results.sweep().save(path)
    for change in (
        without("criteria", "elpd_i"),
        lambda tree: tree.attrs.update({storage.SWEEP_ATTRIBUTE: "{}"}),
        lambda tree: tree["fits"].__delitem__("rank_3"),
    ):
        tree = storage.read(path, (storage.SWEEP_ATTRIBUTE,))
        change(tree)
        storage.write(tree, tmp_path / "other.nc")
        with pytest.raises(ValueError, match=r"other\.nc is damaged \("):
            bn.load(tmp_path / "other.nc")


def test_a_small_file_that_claims_terabytes_is_refused(tmp_path):
    import zarr

    path = tmp_path / "fit.zarr"
    FIT.save(path)
    group = zarr.open_group(path, mode="r+")
    group["posterior"].create_array(
        "huge",
        shape=(2, 4, 10**6, 10**6),
        dtype="float64",
        chunks=(1, 1, 1000, 1000),
        dimension_names=("chain", "draw", "i", "j"),
    )
    checksums.seal(path)
    with pytest.raises(ValueError, match="claim to hold 64,000,"):
        bn.load(path)
