"""Saving and loading: what comes back is what went in, and a file is complete or not there."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import fields

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import pytest
import small
import synthetic
import xarray as xr

import bayesnmf as bn
from bayesnmf.likelihoods import REGISTRY
from bayesnmf.model import Program
from bayesnmf.posterior import archive, output_files
from bayesnmf.posterior.model_record import model_to_json

DRAWS = synthetic.draws(n_chains=2, n_draws=4)
READERS = {
    ".nc": {"engine": "h5netcdf"},
    ".zarr": {"engine": "zarr", "consolidated": False, "zarr_format": 3},
}
every_ending = pytest.mark.parametrize("ending", [".nc", ".zarr"])


def saved(fit, path):
    fit.save(path)
    return bn.load(path)


def same_model(a, b):
    """Return whether two NMF models have equal fields, arrays included."""
    assert (type(a), a.n_components, a.prior_W, a.prior_H) == (
        type(b),
        b.n_components,
        b.prior_W,
        b.prior_H,
    )
    ours, theirs = a.likelihood, b.likelihood
    assert type(ours) is type(theirs)
    for field in fields(ours):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
    return True


# -- what comes back ----------------------------------------------------------------------------


@every_ending
@pytest.mark.parametrize("name", small.LIKELIHOODS)
def test_every_likelihood_comes_back(name, ending, tmp_path):
    likelihood = small.LIKELIHOODS[name]
    V = pd.DataFrame(small.data(likelihood, missing=0.2), list("abcdef"), [10, 20, 30, 40, 50])
    rng = np.random.default_rng(1)
    sites = {parameter: rng.gamma(2.0, size=(2, 3)) for parameter in likelihood.priors}
    W, H = rng.gamma(2.0, size=(2, 3, 6, 2)), rng.gamma(2.0, size=(2, 3, 2, 5))
    fit = synthetic.assembled(W, H, V=V, model=bn.NMF(2, likelihood), sites=sites)
    again = saved(fit, tmp_path / f"fit{ending}")
    assert again.tree.identical(fit.tree)
    assert same_model(again.model, fit.model)
    # It can be saved once more, and used like the first.
    assert saved(again, tmp_path / f"again{ending}").tree.identical(fit.tree)
    pd.testing.assert_frame_equal(again.V, fit.V)
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    assert repr(again) == repr(fit)


@pytest.mark.parametrize(
    "prior",
    [
        "gamma",
        "exponential",
        "flat",
        bn.priors.Gamma(0.5, 3.0),
        bn.priors.Exponential(np.float32(2)),
    ],
)
def test_every_prior_comes_back(prior, tmp_path):
    fit = synthetic.assembled(*DRAWS, model=bn.NMF(3, prior_W=prior, prior_H="exponential"))
    assert same_model(saved(fit, tmp_path / "fit.nc").model, fit.model)


def test_every_likelihood_of_the_registry_is_among_them():
    assert {likelihood.name for likelihood in small.LIKELIHOODS.values()} == set(REGISTRY)


@every_ending
@pytest.mark.parametrize("method", small.short_of(list(small.METHODS), "map", "mcmc"))
def test_fits_of_every_method_come_back(method, ending, tmp_path):
    fit = small.fitted("gaussian", method)
    again = saved(fit, tmp_path / f"fit{ending}")
    assert small.same(again, fit)
    assert (again.method, again.converged, again.message) == (method, fit.converged, fit.message)
    np.testing.assert_array_equal(again.mean, fit.mean)


@every_ending
def test_the_state_of_chains_is_a_group_of_the_file_and_not_of_the_tree(ending, tmp_path):
    """As in files of earlier versions, whose trees had it."""
    fit = small.fitted("poisson", "mcmc")
    assert "sampler_state" not in repr(fit.tree)
    path = tmp_path / f"fit{ending}"
    fit.save(path)
    with xr.open_datatree(path, **READERS[ending]) as stored:
        group = stored["sampler_state"].load()
    assert set(group.data_vars) == set(fit.sampler_state)
    for name, x in group.data_vars.items():
        assert x.dims == tuple(f"{name}_dim_{i}" for i in range(x.ndim))
        np.testing.assert_array_equal(x, fit.sampler_state[name])


def test_a_file_of_an_earlier_version_goes_on(tmp_path):
    fit = small.fitted("poisson", "mcmc")
    tree = fit.tree.copy()
    variables = {
        name: ([f"{name}_dim_{i}" for i in range(np.ndim(x))], x)
        for name, x in fit.sampler_state.items()
    }
    tree["sampler_state"] = xr.DataTree(xr.Dataset(variables))
    archive.write(tree, tmp_path / "fit.nc")
    again = bn.load(tmp_path / "fit.nc")
    assert small.same(again, fit)
    ours, theirs = (bn.resume(one, 3, progress=False) for one in (again, fit))
    assert small.same(ours, theirs)
    assert not small.same_state(ours, fit)


@every_ending
def test_precision_and_text_come_back(ending, tmp_path):
    """Labels of any alphabet, and none that is taken for a missing value."""
    W, H = (x.astype(np.float32) for x in DRAWS)
    V = pd.DataFrame(
        np.ones((5, 4), np.float32), ["ä", "", "nan", "NA", "日本"], ["a b", "/", "%", "\t"]
    )
    fit = synthetic.assembled(W, H, V=V)
    again = saved(fit, tmp_path / f"fit{ending}")
    assert again.tree.identical(fit.tree)
    assert {again.W.dtype, again.mean.dtype, again.mass.dtype} == {np.dtype(np.float32)}
    assert again.V.index.tolist() == V.index.tolist()


def test_zoo_models_come_back_by_name(tmp_path):
    program = bn.load_model("cemgil2009", n_components=3, shape_W=0.5)
    fit = synthetic.assembled(*DRAWS, model=program)
    again = saved(fit, tmp_path / "fit.nc")
    assert isinstance(again.model, Program)
    assert (again.model.reference, again.model.options) == (program.reference, program.options)
    assert again.model.function.__name__ == program.function.__name__


def test_a_function_of_the_session_does_not_come_back(tmp_path):
    zoo = bn.load_model("cemgil2009", n_components=3)
    fit = synthetic.assembled(*DRAWS, model=Program(zoo.function, {"n_components": 3}))
    with pytest.warns(UserWarning, match=r"without its model \(a function of a session that has e"):
        again = saved(fit, tmp_path / "fit.nc")
    assert again.model is None
    assert again.tree.identical(fit.tree)
    assert "model unknown" in repr(again)
    bn.check(again)


def test_the_record_of_a_model_is_plain_json():
    model = bn.NMF(2, small.LIKELIHOODS["gaussian-known"], "exponential")
    record = json.loads(model_to_json(model.resolve(np.ones((6, 5)))))
    assert record["likelihood"] == {"name": "gaussian", "sigma": "array", "scale": None}
    assert record["prior_W"].keys() == {"name", "rate"}


# -- files --------------------------------------------------------------------------------------


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickled")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    fit = synthetic.assembled(*DRAWS, V=pd.DataFrame(np.ones((5, 4)), list("abcde"), list("wxyz")))
    for ending in (".nc", ".zarr"):
        saved(fit, tmp_path / f"fit{ending}")

    kinds = set()
    with h5py.File(tmp_path / "fit.nc") as file:

        def look(name, item):
            if isinstance(item, h5py.Dataset):
                kinds.add("text" if h5py.check_string_dtype(item.dtype) else item.dtype.kind)

        file.visititems(look)
    assert kinds <= {"text", "f", "i", "b", "u"}


@every_ending
def test_a_later_fit_replaces_an_earlier_one(ending, tmp_path):
    path = tmp_path / f"fit{ending}"
    a, b = synthetic.assembled(*DRAWS), synthetic.assembled(*synthetic.draws(seed=5))
    a.save(path)
    assert saved(b, path).tree.identical(b.tree)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@every_ending
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_earlier_file(ending, error, tmp_path, monkeypatch):
    path = tmp_path / f"fit{ending}"
    fit = synthetic.assembled(*DRAWS)
    fit.save(path)
    name = "to_zarr" if ending == ".zarr" else "to_netcdf"
    write = getattr(xr.DataTree, name)

    def halfway(tree, target, **options):
        write(tree, target, **options)
        raise error

    monkeypatch.setattr(xr.DataTree, name, halfway)
    with pytest.raises(type(error)):
        synthetic.assembled(*synthetic.draws(seed=5)).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert bn.load(path).tree.identical(fit.tree)


def test_paths_may_be_text_and_hold_dots(tmp_path):
    fit = synthetic.assembled(*DRAWS)
    assert saved(fit, str(tmp_path / "rank.3.nc")).tree.identical(fit.tree)


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fit.pkl", "fit", "fit.nc.gz", ".nc"])
def test_a_name_of_another_kind_is_refused(name, tmp_path):
    with pytest.raises(
        ValueError, match=r"cannot save to .*: the name must end in \.nc or \.zarr$"
    ):
        synthetic.assembled(*DRAWS).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_netcdf_cannot_hold_is_one_sentence_and_is_rescued(text, tmp_path, monkeypatch):
    monkeypatch.setattr(output_files.tempfile, "tempdir", str(tmp_path))
    fit = synthetic.assembled(*DRAWS)
    fit.tree.attrs["message"] = text
    with pytest.raises(ValueError, match=r"fit\.nc: the format cannot hold something in this re"):
        fit.save(tmp_path / "fit.nc")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=r"cannot hold something.*The result is in .*rescue\.zarr"):
        output_files.save_or_rescue(fit, tmp_path / "fit.nc")


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"cannot save to .*: there is no folder .*nowhere$"
    ):
        synthetic.assembled(*DRAWS).save(tmp_path / "nowhere" / "fit.nc")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*fit\.nc$"):
        bn.load(tmp_path / "fit.nc")


def plain_netcdf(path):
    xr.Dataset({"x": ("a", np.arange(3))}).to_netcdf(path, engine="h5netcdf")


def plain_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)


def another_netcdf(path):
    with h5netcdf.File(path, "w") as file:
        file.attrs["bayesnmf_version"] = "0.1.0"


def cut_short(path):
    synthetic.assembled(*DRAWS).save(path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("a,b\n1,2\n"),
        lambda path: path.write_bytes(b""),
        lambda path: path.mkdir(),
        plain_netcdf,
        plain_hdf5,
        another_netcdf,
        cut_short,
    ],
)
@every_ending
def test_what_is_no_result_is_refused_in_one_sentence(write, ending, tmp_path):
    path = tmp_path / f"other{ending}"
    write(tmp_path / "written.nc")
    (tmp_path / "written.nc").rename(path)
    with pytest.raises(ValueError, match="is not a bayesnmf result") as caught:
        bn.load(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_a_zarr_store_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.zarr"
    xr.Dataset({"x": ("a", np.arange(3))}).to_zarr(path, consolidated=False)
    with pytest.raises(ValueError, match="is not a bayesnmf result"):
        bn.load(path)


def test_zarr_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"saving to \.zarr needs the zarr package: pip install"):
        synthetic.assembled(*DRAWS).save(tmp_path / "fit.zarr")
    assert list(tmp_path.iterdir()) == []
