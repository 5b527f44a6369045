"""The automatic upper end of a sweep."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bayesnmf as bn
from bayesnmf.rank import ard as rank_ard
from bayesnmf.rank import select as rank
from bayesnmf.rank.ard import Range, automatic_range
from bayesnmf.rank.settings import settings_of


def settings(V):
    return settings_of(
        V, None, "poisson", "map", "gamma", "gamma", "auto", n_folds=2, n_replicates=19, seed=0
    )


def test_the_range_ends_above_the_components_that_are_left():
    V, _, _ = bn.datasets.make_nmf(20, 15, 2, "poisson", seed=1)
    found = automatic_range(settings(V))
    assert found.ranks == [1, 2, 3, 4]
    assert found.note == "ARD keeps 2 of 15 components, so ranks 1 to 4 were tried"


def test_no_component_left_says_nothing(monkeypatch):
    class Empty:
        def active(self):
            return xr.DataArray(np.zeros(3, bool), dims="component")

    monkeypatch.setattr(rank_ard.fitting, "fit_silently", lambda *_, **__: Empty())
    found = automatic_range(settings(np.ones((14, 5))))
    assert found.ranks == [1, 2, 3, 4, 5]
    assert "ARD emptied every component" in found.note


def test_a_sweep_shows_the_count_at_the_largest_rank(monkeypatch):
    V, _, _ = bn.datasets.make_nmf(14, 10, 1, "poisson", seed=3)
    monkeypatch.setattr(rank, "automatic_range", lambda _: Range([1, 2], "ARD keeps 2 of 10"))
    options = {"n_replicates": 19, "n_folds": 2, "progress": False, "method": bn.MAP(n_init=2)}
    selection = bn.select_rank(V, "auto", **options)
    np.testing.assert_array_equal(selection.table["ard"], [np.nan, 1])
    assert selection.verdicts["ARD"] == 1
    assert "ARD keeps 2 of 10" in selection.message
    assert " ard " in repr(selection)


def test_other_words_are_refused():
    with pytest.raises(TypeError, match="a list of integers or 'auto', not 'all'"):
        bn.select_rank(np.ones((3, 3)), "all", progress=False)
