"""RankSelection: its file, its figure, its text."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small import same

import bayesnmf as bn
from bayesnmf.posterior.loading import load_fit
from bayesnmf.rank import plot as rank_plot


@pytest.fixture(scope="module")
def selection() -> bn.RankSelection:
    V, _, _ = bn.datasets.make_nmf(14, 10, 1, "poisson", seed=3)
    frame = pd.DataFrame(V).rename(index=lambda i: f"r{i}", columns=lambda j: f"c{j}")
    options = {"n_replicates": 19, "n_folds": 2, "progress": False}
    return bn.select_rank(frame, [1, 2], method=bn.MAP(n_init=2), **options)


@pytest.mark.parametrize("name", ["sweep.nc", "sweep.zarr"])
def test_saved_sweep_comes_back(selection, tmp_path, name):
    selection.save(tmp_path / name)
    again = bn.RankSelection.load(tmp_path / name)
    pd.testing.assert_frame_equal(again.table, selection.table)
    np.testing.assert_array_equal(again.elpd_i, selection.elpd_i)
    assert again.settings == selection.settings
    assert repr(again) == repr(selection)
    assert list(again.fits) == [1, 2]
    for rank, fit in again.fits.items():
        assert same(fit, selection.fits[rank])
        assert fit.model == selection.fits[rank].model


def test_files_of_another_kind_are_refused(selection, tmp_path):
    selection.save(tmp_path / "sweep.nc")
    selection.fits[1].save(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match=r"fit\.nc is not a sweep over ranks"):
        bn.RankSelection.load(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match=r"sweep\.nc is a sweep over ranks, not a fit: bayesnmf r"):
        load_fit(tmp_path / "sweep.nc")
    xr.Dataset({"x": ("i", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other\.nc is not a bayesnmf result"):
        bn.load(tmp_path / "other.nc")
    with pytest.raises(FileNotFoundError, match="no file"):
        bn.RankSelection.load(tmp_path / "absent.nc")
    with pytest.raises(ValueError, match=r"must end in \.nc or \.zarr"):
        selection.save(tmp_path / "sweep.pkl")


def test_chains_of_a_saved_sweep_go_on(selection, tmp_path):
    state = {"step": np.array(3), "key": np.arange(4.0)}
    fits = {rank: replace(fit, sampler_state=state) for rank, fit in selection.fits.items()}
    replace(selection, fits=fits).save(tmp_path / "sweep.nc")
    for rank, fit in bn.load(tmp_path / "sweep.nc").fits.items():
        assert same(fit, fits[rank])
        assert fit.tree.parent is None


def test_load_returns_what_was_saved(selection, tmp_path):
    selection.save(tmp_path / "sweep.nc")
    selection.fits[1].save(tmp_path / "fit.nc")
    assert repr(bn.load(tmp_path / "sweep.nc")) == repr(selection)
    assert same(bn.load(tmp_path / "fit.nc"), selection.fits[1])


def test_a_sweep_that_cannot_be_saved_goes_on_and_says_so_once(selection, tmp_path, monkeypatch):
    def fail(self, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(bn.RankSelection, "save", fail)
    fits, settings = selection.fits, selection.settings
    options = {"n_replicates": 19, "n_folds": 2, "progress": False, "method": bn.MAP(n_init=2)}
    with pytest.warns(UserWarning, match=r"could not be saved to .*sweep\.nc.*No space") as caught:
        again = bn.select_rank(fits[1].V, [1, 2], save_to=tmp_path / "sweep.nc", **options)
    assert len(caught) == 1
    assert (list(again.fits), again.settings) == ([1, 2], settings)
    assert repr(again).split("\n")[0] == selection.message


def test_text_holds_the_message_and_marks_the_choice(selection):
    lines = repr(selection).splitlines()
    assert lines[0] == selection.message
    assert [line.split()[0] for line in lines if line.endswith("<-")] == [str(selection.best)]
    assert "waic" not in lines[1]  # a column without a number is not shown


def test_figure_shows_what_the_rule_looks_at(selection):
    figure = selection.plot()
    elpd, residual, stability = figure.axes
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes] == [
        "elpd, difference",
        "p of the",
        "stability",
    ]
    np.testing.assert_allclose(elpd.lines[-2].get_ydata(), selection.table["elpd_diff"])
    np.testing.assert_allclose(residual.lines[0].get_ydata(), selection.table["residual_p"])
    np.testing.assert_allclose(stability.lines[0].get_ydata(), selection.table["stability"])
    assert f"rank {selection.best} chosen" in elpd.get_title(loc="left")
    figure.canvas.draw()
    plt.close(figure)


def test_figure_says_what_is_missing(selection):
    table = selection.table.assign(elpd_diff=np.nan, dse=np.nan, stability=np.nan)
    figure = rank_plot.draw(table, 1)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["not available", "not available"]
    figure.canvas.draw()
    plt.close(figure)
