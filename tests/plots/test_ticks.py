"""Labels that never touch: measured where they are drawn, at many sizes and with long names."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import small
import synthetic
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

import bayesnmf as bn
from bayesnmf import plots
from bayesnmf.plots import channels
from bayesnmf.plots.colours import CLASSES
from bayesnmf.plots.text_sizes import fitting, width_of
from bayesnmf.plots.ticks import NameFormatter, date_ticks, name_ticks, number_ticks

RNG = np.random.default_rng(0)


def boxes(axis):
    """Return the boxes of the labels that are drawn, and that of the multiplier beside them."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    labels = [*(tick.label1 for tick in ticks), axis.get_offset_text()]
    drawn = [label for label in labels if label.get_visible() and label.get_text()]
    return [label.get_window_extent() for label in drawn]


def overlaps(axis):
    found = boxes(axis)
    return [(a, b) for a, b in itertools.combinations(found, 2) if a.overlaps(b)]


def require_no_overlap(figure):
    """Draw a figure; no label of an axis may touch another one, nor the labels of the other axis."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert not overlaps(axes.xaxis), axes.get_title(loc="left")
        assert not overlaps(axes.yaxis), axes.get_title(loc="left")
        pairs = itertools.product(boxes(axes.yaxis), boxes(axes.xaxis))
        assert not any(a.overlaps(b) for a, b in pairs)


def fit_of(n_rows, n_columns, n_components=2, row="row {}", column="column {}"):
    W = RNG.gamma(2.0, size=(1, 5, n_rows, n_components))
    H = RNG.gamma(2.0, size=(1, 5, n_components, n_columns))
    rows = [row.format(i) for i in range(n_rows)]
    columns = [column.format(j) for j in range(n_columns)]
    return synthetic.assembled(W, H, V=pd.DataFrame(np.ones((n_rows, n_columns)), rows, columns))


SIZES = [(2.0, 2.0), (3.0, 5.0), (6.0, 3.0), (14.0, 4.0)]
LONG = "a name of a column that has no end {}"


@pytest.mark.parametrize(
    "size", small.short_of([(size,) for size in SIZES], *[(s,) for s in SIZES[:2]])
)
@pytest.mark.parametrize(("n", "name"), [(4, "{}"), (30, LONG), (400, "g{}")])
def test_names_never_touch(size, n, name):
    fit = fit_of(n, n, row=name, column=name)
    for draw in (plots.components, plots.top_columns, plots.loadings):
        figure = Figure(figsize=(size[0], size[1] + 3), layout="constrained")
        draw(fit, figure=figure)
        require_no_overlap(figure)
    require_no_overlap(plots.loadings(fit, kind="panels"))
    if n < 100:
        require_no_overlap(plots.reconstruction(fit, figure=Figure(figsize=size)))


@pytest.mark.parametrize("width", small.short_of([1.5, 2.5, 4.0, 9.0], 1.5, 9.0))
@pytest.mark.parametrize("step", ["30s", "1h", "1D", "7D", "MS", "QS", "5YS"])
def test_dates_never_touch(width, step):
    axes = Figure(figsize=(width, 2), layout="constrained").subplots()
    for n_dates in (2, 13, 70):
        axes.clear()
        axes.plot(pd.date_range("1999-11-20", periods=n_dates, freq=step), np.zeros(n_dates))
        date_ticks(axes.xaxis)
        require_no_overlap(axes.figure)
        assert boxes(axes.xaxis)


@pytest.mark.parametrize("width", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("scale", [1e-9, 0.3, 7.0, 123_456.0, 1e12])
def test_numbers_never_touch(width, scale):
    axes = Figure(figsize=(width, width), layout="constrained").subplots()
    axes.plot(scale * (1 + RNG.random(9)), scale * RNG.random(9))
    number_ticks(axes.xaxis)
    number_ticks(axes.yaxis)
    require_no_overlap(axes.figure)


def test_all_names_are_shown_where_there_is_room():
    axes = Figure(figsize=(8, 3), layout="constrained").subplots()
    axes.bar(range(40), np.ones(40))
    name_ticks(axes.xaxis, [f"name {j}" for j in range(40)], 7)
    axes.figure.draw_without_rendering()
    assert [x.get_text() for x in axes.get_xticklabels()] == [f"name {j}" for j in range(40)]
    assert axes.get_xticklabels()[0].get_rotation() == 90


def test_short_names_are_written_along_the_axis():
    axes = Figure(figsize=(8, 3), layout="constrained").subplots()
    axes.bar(range(5), np.ones(5))
    name_ticks(axes.xaxis, list("abcde"), 7)
    axes.figure.draw_without_rendering()
    assert [x.get_rotation() for x in axes.get_xticklabels()] == [0] * 5


def test_labels_follow_the_size_of_the_figure():
    figure = plots.components(fit_of(5, 60))
    figure.draw_without_rendering()
    before = len(figure.axes[-1].get_xticklabels())
    figure.set_size_inches(3, 4)
    require_no_overlap(figure)
    assert 3 <= len(figure.axes[-1].get_xticklabels()) < before == 60


def test_names_are_drawn_at_their_places_only():
    names = NameFormatter(["a", "b"])
    assert [names(x) for x in (-1, 0, 0.5, 1, 2)] == ["", "a", "", "b", ""]


def test_dollars_are_no_mathematics():
    axes = Figure().subplots()
    axes.bar([0, 1], [1, 2])
    name_ticks(axes.xaxis, [r"$\wrong$", r"\$5"], 5)
    axes.figure.draw_without_rendering()
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert texts == [r"\$\wrong\$", r"\\$5"]
    assert not any(is_math_text(text) for text in texts)


def test_figures_can_be_copied_and_pickled():
    """Process pools send figures, and notebooks copy them."""
    figure = plots.loadings(fit_of(4, 3))
    for same in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        same.draw_without_rendering()
        labels = [label.get_text() for label in same.axes[0].get_xticklabels()]
        assert labels == ["row 0", "row 1", "row 2", "row 3"]


def test_texts_fit_their_room():
    choices = ["component 1: mass 5 (4 to 6)", "component 1"]
    for inches in (0.3, 1.0, 3.0):
        assert width_of(fitting(choices, inches, 9), 9) <= 72 * inches
    assert fitting(choices, 3, 9) == choices[0]
    assert fitting(choices, 1, 9) == choices[1]
    assert fitting(choices, 0.01, 9) == "co…"


@pytest.mark.parametrize("width", [3.0, 5.0, 11.0])
def test_channels_and_classes_never_touch(width):
    fit = fit_of(3, 96)
    V = pd.DataFrame(np.ones((3, 96)), columns=list(channels.CHANNELS))
    fit = synthetic.assembled(
        *(fit.tree[f"posterior/{name}"].to_numpy() for name in ("W", "H")), V=V
    )
    figure = plots.signatures(fit, figure=Figure(figsize=(width, 5)))
    require_no_overlap(figure)
    for axes in figure.axes:
        found = [text.get_window_extent() for text in [*axes.texts, axes._left_title]]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(found, 2))
        assert {text.get_text() for text in axes.texts} in (set(CLASSES), set())


def test_predictive_checks_in_a_narrow_figure():
    checks = bn.ppc(fit_of(6, 5), num_samples=20)
    require_no_overlap(plots.ppc(checks))
    require_no_overlap(plots.ppc(checks, figure=Figure(figsize=(2.5, 9))))
    require_no_overlap(plots.residual_spectrum(checks))


def test_models_with_long_names():
    names = [LONG.format(k) for k in range(5)]
    table = pd.DataFrame({"elpd_diff": -np.arange(5.0) * 1e6, "dse": 1e5}, index=names)
    require_no_overlap(plots.compare(table))
    axes = Figure(figsize=(4, 1.2), layout="constrained").subplots()
    plots.compare(table, ax=axes)
    require_no_overlap(axes.figure)
