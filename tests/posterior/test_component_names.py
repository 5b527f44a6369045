"""Names of components: what shows and keeps them, and which ones are refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import ambiguous
import numpy as np
import pandas as pd
import pytest
import synthetic
import xarray as xr
from matplotlib.text import Text

import bayesnmf as bn
from bayesnmf.cli.text import summary_of
from bayesnmf.posterior.component_names import carried
from bayesnmf.reporting.factors import share_image

DRAWS = synthetic.draws()
EVIL = "<b>&$x$"


@pytest.fixture(scope="module")
def fit():
    return synthetic.assembled(*DRAWS)


def names_of(fit):
    return fit.H["component"].to_numpy().tolist()


def test_all_groups_have_the_names_and_nothing_else_changes(fit):
    renamed = fit.rename({0: "APOBEC", 2: "clock"})
    assert names_of(fit) == [0, 1, 2]  # the fit itself stays
    assert names_of(renamed) == ["APOBEC", "1", "clock"]
    for name, group in fit.tree.children.items():
        other = renamed.tree[name].to_dataset()
        if "component" in group.coords:
            assert other["component"].to_numpy().tolist() == ["APOBEC", "1", "clock"]
            other = other.assign_coords(component=group["component"])
        xr.testing.assert_identical(other, group.to_dataset())
    assert renamed.tree.attrs == fit.tree.attrs
    assert renamed.model is fit.model


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, [0, 1, 2]),
        ({0: 1, 1: 0}, [1, 0, 2]),
        ({0: 10, 1: 20}, [10, 20, 2]),
        ({np.int64(1): np.int64(7)}, [0, 7, 2]),
        ({"1": "a"}, ["0", "a", "2"]),
        ({1.0: 0.5}, [0.0, 0.5, 2.0]),
    ],
)
def test_numbers_stay_numbers_until_one_name_is_text(fit, names, expected):
    assert names_of(fit.rename(names)) == expected
    assert names_of(fit.rename(names).rename({2: "last"}))[2] == "last"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({5: "a"}, "there is no component 5: the names are 0, 1, 2"),
        ({"a": "b"}, "there is no component 'a'"),
        ({0: "a", "0": "b"}, "component 0 is given two names"),
        ({0: "a", 1: "a"}, "two components would have the name 'a'"),
        ({0: 1}, "two components would have the name 1"),
        ({0: "1"}, "two components would have the name '1'"),
    ],
)
def test_other_names_are_refused(fit, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit.rename(names)


def test_a_name_fits_into_a_file(fit):
    with pytest.raises(ValueError, match=r"the name of component 1, 'a\\x00', holds the character"):
        fit.rename({1: "a\0"})


@pytest.mark.parametrize("name", [None, float("nan"), True, ("a", "b")])
def test_a_name_is_text_or_a_number(fit, name):
    with pytest.raises(TypeError, match="must be text or a number"):
        fit.rename({0: name})
    with pytest.raises(TypeError, match="must be a mapping such as"):
        fit.rename(["a", "b", "c"])


def test_components_of_several_modes_have_no_names():
    fit = ambiguous.fitted()
    with pytest.raises(ValueError, match=r"name those of one mode, as bn\.modes\(fit\)\[0\]"):
        fit.rename({0: "a"})
    assert names_of(bn.modes(fit)[1].rename({0: "a"}))[0] == "a"


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_files_keep_names(fit, ending, tmp_path):
    renamed = fit.rename({1: EVIL})
    renamed.save(tmp_path / f"fit{ending}")
    loaded = bn.load(tmp_path / f"fit{ending}")
    assert names_of(loaded) == ["0", EVIL, "2"]
    pd.testing.assert_frame_equal(loaded.summary(), renamed.summary())
    assert names_of(loaded.rename({EVIL: "plain"})) == ["0", "plain", "2"]


def test_names_follow_their_components_into_another_order():
    """As when further draws change the order by mass, and when modes are aligned afresh."""
    before, order = DRAWS[1], [2, 0, 1]
    after = before[:, :, order].copy()
    after[0, :3] = after[0, :3, ::-1]  # a few draws may be matched otherwise
    names = pd.Index(["a", "b", "c"])
    assert carried(names, before, after).tolist() == ["c", "a", "b"]
    assert carried(pd.Index([7, 8, 9]), before, after).tolist() == [9, 7, 8]
    assert carried(pd.Index([0, 1, 2]), before, after).tolist() == [0, 1, 2]


def test_modes_carry_names_with_their_components():
    """A fit may get its names while its chains are in one mode, and more chains later."""
    fit = ambiguous.fitted()
    names = ["p", "q", "r", "s"]
    groups = {
        name: group.to_dataset().assign_coords(component=names)
        if "component" in group.coords
        else group.to_dataset()
        for name, group in fit.tree.children.items()
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(fit.tree.attrs)
    mode = bn.modes(bn.Fit(tree, fit.model))[0]
    chain = mode.tree["posterior/chain"].to_numpy()
    before = tree["posterior/H"].sel(chain=chain).mean(("chain", "draw"))
    for name in names:
        np.testing.assert_allclose(mode.H.sel(component=name), before.sel(component=name))


# -- what shows them ----------------------------------------------------------------------------


def test_tables_and_verdicts_name_components(fit):
    renamed = fit.rename({0: "APOBEC"})
    names = ["APOBEC", "1", "2"]
    assert renamed.summary().index.tolist() == names
    assert renamed.active()["component"].to_numpy().tolist() == names
    assert set(bn.uniqueness(renamed).table["source"]) == set(names)
    assert bn.check(renamed).components.index.tolist() == names
    assert "mass[APOBEC]" in bn.check(renamed).table.index
    assert "mass[0]" not in bn.check(renamed).table.index
    assert "APOBEC" in summary_of(renamed)
    pd.testing.assert_frame_equal(
        renamed.summary().reset_index(drop=True), fit.summary().reset_index(drop=True)
    )


def test_the_message_names_them_too():
    W, H = synthetic.draws(noise=0.02)
    H[..., 1, :] = 0.5 * H[..., 1, :] + 0.5 * H[..., 0, :]
    fit = synthetic.assembled(W, H)
    verdict = bn.check(fit).message
    assert ", 1 (57% of it" in verdict
    fit.tree.attrs["message"] = f"3 chain(s) of 40 draws. {verdict}"
    message = fit.rename({1: "mixed"}).message
    assert message == fit.message.replace(", 1 (57%", ", mixed (57%")


def test_figures_name_components(fit):
    renamed = fit.rename({0: EVIL})
    W = renamed.W
    figures = {
        "titles": bn.plots.components(renamed),
        "ticks": share_image(*(x.to_numpy() for x in (W, W["row"], W["component"]))),
    }
    for figure in figures.values():
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if EVIL in text.get_text()]
        assert texts
        assert not any(text.get_parse_math() for text in texts)


def test_a_report_names_components(fit, tmp_path):
    checks = bn.ppc(fit, num_samples=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = bn.report(fit.rename({0: EVIL}), tmp_path / "report.html", checks=checks)
    text = Path(page).read_text(encoding="utf-8")
    assert EVIL not in text
    escaped = "&lt;b&gt;&amp;$x$"
    for phrase in ("Component {}", "Leading columns of component {}", "5% of {}"):
        assert phrase.format(escaped) in text
