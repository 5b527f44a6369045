"""Figures and axes of the caller: drawn into, left alone, or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

import bayesnmf as bn
from bayesnmf import plots
from bayesnmf.plots.canvas import size_of, whole

DRAWS = synthetic.draws(1, 6)
V = pd.DataFrame(np.full((5, 4), 2.0), list("vwxyz"), [f"A[C>A]{base}" for base in "ACGT"])
FIT = synthetic.assembled(*DRAWS, V=V)
CHECKS = bn.ppc(FIT, num_samples=5)
TABLE = pd.DataFrame({"elpd_diff": [0.0, -1.0], "dse": [0.0, 1.0]}, index=["a", "b"])

IN_FIGURE = [
    (plots.components, FIT),
    (plots.signatures, FIT),
    (plots.top_columns, FIT),
    (plots.loadings, FIT),
    (plots.reconstruction, FIT),
    (plots.ppc, CHECKS),
]
IN_AXES = [(plots.loadings, FIT), (plots.compare, TABLE), (plots.residual_spectrum, CHECKS)]


@pytest.mark.parametrize(("draw", "what"), IN_FIGURE)
def test_plots_are_drawn_into_a_figure(draw, what):
    figure = Figure(figsize=(7, 8))
    assert draw(what, figure=figure) is figure
    assert figure.get_size_inches().tolist() == [7, 8]
    assert figure.axes
    assert figure.get_layout_engine() is not None
    with pytest.raises(ValueError, match="has axes already"):
        draw(what, figure=figure)


@pytest.mark.parametrize(("draw", "what"), IN_FIGURE)
def test_plots_are_drawn_into_a_part_of_a_figure(draw, what):
    figure = Figure(figsize=(12, 8), layout="constrained")
    left, right = figure.subfigures(1, 2)
    assert draw(what, figure=left) is figure
    assert left.axes
    assert not right.axes
    figure.draw_without_rendering()
    middle = figure.bbox.width / 2
    assert all(axes.get_tightbbox().x1 <= middle + 1 for axes in left.axes)


@pytest.mark.parametrize(("draw", "what"), IN_AXES)
def test_plots_are_drawn_into_axes(draw, what):
    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert draw(what, ax=second) is figure
    assert second.has_data()
    assert not first.has_data()


def test_other_places_are_refused():
    axes = Figure().subplots(1, 2)
    with pytest.raises(TypeError, match="ax must be one Matplotlib Axes, not ndarray"):
        plots.loadings(FIT, ax=axes)
    with pytest.raises(
        TypeError, match="figure must be a Matplotlib Figure or SubFigure, not Axes"
    ):
        plots.components(FIT, figure=axes[0])
    with pytest.raises(ValueError, match="ax or figure, not both"):
        plots.loadings(FIT, ax=axes[0], figure=Figure())
    with pytest.raises(ValueError, match="kind='panels' draws several axes: give figure"):
        plots.loadings(FIT, kind="panels", ax=axes[0])


def test_axes_out_of_a_layout_stay_where_they_are():
    figure = Figure()
    plots.loadings(FIT, ax=figure.add_axes((0.2, 0.3, 0.4, 0.5)))
    plots.loadings(FIT, ax=figure.add_subplot(GridSpec(1, 2)[0]))
    assert figure.get_layout_engine() is None
    figure.draw_without_rendering()


def test_a_layout_that_was_chosen_stays():
    figure = Figure(layout="tight")
    engine = figure.get_layout_engine()
    plots.compare(TABLE, ax=figure.subplots())
    assert figure.get_layout_engine() is engine


def test_sizes_and_wholes_of_nested_parts():
    figure = Figure(figsize=(8, 4))
    part = figure.subfigures(1, 2)[0].subfigures(2, 1)[1]
    assert size_of(part) == pytest.approx((4, 2))
    assert whole(part.subplots()) is whole(part) is whole(figure) is figure
