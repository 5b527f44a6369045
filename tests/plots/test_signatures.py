"""Signatures and leading columns, read back from the figure."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from bayesnmf import datasets, plots
from bayesnmf.plots.channels import CHANNELS, channel_places
from bayesnmf.plots.colours import CLASSES, COMPONENTS

COSMIC = Path(__file__).parents[3] / "shared" / "data" / "cosmic" / "COSMIC_v3.4_SBS_GRCh37.txt"
RNG = np.random.default_rng(0)
SHUFFLED = random.Random(1).sample(CHANNELS, 96)


def fit_of(columns, n_draws=20, **options):
    W = RNG.gamma(5.0, size=(1, n_draws, 4, 2))
    H = RNG.dirichlet(np.ones(len(columns)), (1, n_draws, 2))
    V = pd.DataFrame(np.full((4, len(columns)), 2.0), columns=columns)
    return synthetic.assembled(W, H, V=V, **options)


def bars(axes):
    """Return the heights of bars by their places, without the strip above."""
    return {
        round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.containers[0]
    }


# -- signatures ---------------------------------------------------------------------------------


def test_there_are_96_channels_by_class():
    assert len(set(CHANNELS)) == 96
    assert CHANNELS[:5] == ("A[C>A]A", "A[C>A]C", "A[C>A]G", "A[C>A]T", "C[C>A]A")
    assert list(dict.fromkeys(name[2:5] for name in CHANNELS)) == list(CLASSES)
    assert set(CHANNELS) == set(datasets.breast21().columns)


@pytest.mark.data
def test_channels_are_those_of_cosmic():
    """Its file is sorted by name; within a class the order is the same."""
    if not COSMIC.exists():
        pytest.skip("no COSMIC catalogue beside the repository")
    published = pd.read_csv(COSMIC, sep="\t", usecols=[0]).iloc[:, 0]
    by_class = sorted(published, key=lambda name: list(CLASSES).index(name[2:5]))
    assert tuple(by_class) == CHANNELS


def test_columns_in_any_order_are_drawn_in_class_order():
    fit = fit_of(SHUFFLED)
    figure = plots.signatures(fit, ci_prob=0.8)
    H = fit.tree["posterior/H"].sel(column=list(CHANNELS)).to_numpy()[0]
    assert len(figure.axes) == 2
    for k, axes in enumerate(figure.axes):
        heights = bars(axes)
        np.testing.assert_allclose([heights[j] for j in range(96)], H[:, k].mean(axis=0))
        (lines,) = axes.collections
        expected = np.quantile(H[:, k], [0.1, 0.9], axis=0)
        for segment in lines.get_segments():
            place = round(segment[0, 0])
            np.testing.assert_allclose(segment[:, 1], expected[:, place])
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels == [name[0] + name[2] + name[-1] for name in CHANNELS]
    assert figure.get_supylabel() == "weight in H (mean and 80 % interval)"


def test_classes_have_their_colour_and_name():
    axes = plots.signatures(fit_of(SHUFFLED)).axes[0]
    for bar in axes.containers[0]:
        place = round(bar.get_x() + bar.get_width() / 2)
        assert bar.get_facecolor()[:3] == pytest.approx(to_rgb(CLASSES[CHANNELS[place][2:5]]))
    assert [text.get_text() for text in axes.texts] == list(CLASSES)
    strip = [x for x in axes.patches if isinstance(x, Rectangle) and x.get_width() > 10]
    assert [x.get_facecolor()[:3] for x in strip] == [to_rgb(x) for x in CLASSES.values()]


def test_channels_that_are_missing_stay_empty():
    axes = plots.signatures(fit_of([*CHANNELS[:3], *CHANNELS[90:]])).axes[-1]
    assert sorted(bars(axes)) == [0, 1, 2, *range(90, 96)]
    assert axes.get_xlabel() == "context (87 of 96 are not in V)"
    low, high = axes.get_xlim()
    assert low < 0
    assert high > 95


def test_signatures_of_a_map_estimate_have_no_intervals():
    fit = fit_of(CHANNELS, n_draws=1, method="map", converged=True)
    assert not any(axes.collections for axes in plots.signatures(fit).axes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["TP53", "BRCA1"], "2 of 2 columns of V are not among the 96 channels of single-base"),
        (["A[C>T]G", "ACG"], "such as 'ACG'. Write a channel as 'A[C>T]G'"),
        (["A[C>T]G", "A[G>T]C"], "Write it from the pyrimidine of the base pair: 'G[C>A]T'"),
        (["A[C>T]G", "A[C>C]G"], "such as 'A[C>C]G'. Write a channel"),
        (["A[C>T]G", "A[C>T]G"], "several columns of V have the name 'A[C>T]G'"),
    ],
)
def test_other_columns_are_refused(names, message):
    with pytest.raises(ValueError) as error:
        plots.signatures(fit_of(names))
    assert message in str(error.value)


def test_numbered_columns_are_no_channels():
    with pytest.raises(ValueError, match="such as '0'"):
        channel_places(np.arange(96))


# -- colours ------------------------------------------------------------------------------------

#: What people without one kind of cone see of linear RGB: Machado, Oliveira & Fernandes (2009).
VISION = {
    "all": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen(colour, vision):
    """Return a colour in CIELAB, as it is seen; distances of about 2 can just be told apart."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [CLASSES.values(), COMPONENTS])
def test_colours_can_be_told_apart(vision, palette):
    found = [seen(colour, vision) for colour in palette]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(found, 2)) > 12


# -- leading columns ----------------------------------------------------------------------------


def test_leading_columns_are_in_order_with_their_intervals():
    fit = fit_of([f"gene {j}" for j in range(30)])
    figure = plots.top_columns(fit, top=7, ci_prob=0.8)
    H = fit.tree["posterior/H"].to_numpy()[0]
    figure.draw_without_rendering()
    for k, axes in enumerate(figure.axes):
        order = np.argsort(-H[:, k].mean(axis=0))[:7]
        widths = [bar.get_width() for bar in axes.patches]
        np.testing.assert_allclose(widths, H[:, k, order].mean(axis=0))
        drawn = np.array([segment[:, 0] for segment in axes.collections[0].get_segments()])
        np.testing.assert_allclose(drawn.T, np.quantile(H[:, k, order], [0.1, 0.9], axis=0))
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == [f"gene {j}" for j in order]
        assert axes.yaxis_inverted()
    assert figure.get_supxlabel() == "weight in H (mean and 80 % interval)"


def test_fewer_columns_than_asked_for_are_all_drawn():
    figure = plots.top_columns(fit_of(["a", "b", "c"]))
    assert [len(axes.patches) for axes in figure.axes] == [3, 3]


@pytest.mark.parametrize("top", [0, -1, 2.5])
def test_bad_numbers_of_columns_are_refused(top):
    with pytest.raises(ValueError, match="top must be a whole number of columns, 1 or more"):
        plots.top_columns(fit_of(["a", "b"]), top=top)


def test_titles_stay_within_their_panel():
    fit = fit_of(["a rather long name of a column", "b"]).rename({0: "x" * 40, 1: "y" * 40})
    figure = plots.top_columns(fit)
    figure.draw_without_rendering()
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert left.x1 < right.x0
    assert right.x1 <= figure.bbox.width
