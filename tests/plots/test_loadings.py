"""Loadings: stacks, lines and panels of W, read back from the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import synthetic
from matplotlib.dates import date2num

import bayesnmf as bn
from bayesnmf import plots
from bayesnmf.plots.colours import OTHERS, component_colour
from bayesnmf.plots.dates import dates_in

DRAWS = synthetic.draws(2, 10, noise=0.3)
W = DRAWS[0].reshape(-1, 5, 3)
ROWS, COLUMNS = list("vwxyz"), list("abcd")


def fit_of(rows=ROWS, draws=DRAWS, **options):
    V = pd.DataFrame(np.full((len(rows), 4), 2.0), rows, COLUMNS)
    return synthetic.assembled(*draws, V=V, **options)


def map_fit(rows=ROWS):
    return fit_of(rows, tuple(x[:1, :1] for x in DRAWS), method="map", converged=True)


def bars(axes):
    """Return bottoms and tops of bars of each component."""
    return [
        np.array([(bar.get_y(), bar.get_y() + bar.get_height()) for bar in container]).T
        for container in axes.containers
    ]


def intervals(collection):
    return np.array([segment[:, 1] for segment in collection.get_segments()]).T


def band_at(band, x):
    path = band.get_paths()[0].vertices
    drawn = path[np.isclose(path[:, 0], x), 1]
    return drawn.min(), drawn.max()


def names_of(axes):
    axes.figure.draw_without_rendering()
    return [label.get_text() for label in axes.get_xticklabels()]


# -- stacks -------------------------------------------------------------------------------------


def test_stacks_are_posterior_means_and_their_lines_intervals_of_sums():
    (axes,) = plots.loadings(fit_of(), ci_prob=0.8).axes
    tops = np.cumsum(W, axis=2)
    assert len(axes.containers) == len(axes.collections) == 3
    for k, (bottom, top) in enumerate(bars(axes)):
        np.testing.assert_allclose(top - bottom, W[:, :, k].mean(axis=0))
        np.testing.assert_allclose(top, tops[:, :, k].mean(axis=0))
        expected = np.quantile(tops[:, :, k], [0.1, 0.9], axis=0)
        np.testing.assert_allclose(intervals(axes.collections[k]), expected)
    assert axes.get_ylabel() == "weight in W (80 % intervals of sums)"
    assert names_of(axes) == ROWS
    assert axes.get_ylim()[0] == 0


def test_the_lines_of_a_row_do_not_hide_each_other():
    (axes,) = plots.loadings(fit_of()).axes
    places = [lines.get_segments()[0][0, 0] for lines in axes.collections]
    assert len(set(places)) == 3
    assert max(map(abs, places)) < 0.4


def test_shares_are_taken_draw_by_draw_and_sum_to_one():
    (axes,) = plots.loadings(fit_of(), share=True).axes
    share = W / W.sum(axis=2, keepdims=True)
    for k, (bottom, top) in enumerate(bars(axes)):
        np.testing.assert_allclose(top - bottom, share[:, :, k].mean(axis=0))
    np.testing.assert_allclose(bars(axes)[-1][1], 1)
    assert len(axes.collections) == 2  # all components together are always 1
    expected = np.quantile(share[:, :, 0], [0.05, 0.95], axis=0)
    np.testing.assert_allclose(intervals(axes.collections[0]), expected)
    assert axes.get_ylabel() == "share of the row (90 % intervals of sums)"


def test_rows_without_any_mass_have_no_shares():
    draws = DRAWS[0].copy(), DRAWS[1]
    draws[0][:, :, 2] = 0
    (axes,) = plots.loadings(fit_of(draws=draws), share=True).axes
    for bottom, top in bars(axes):
        assert bottom[2] == top[2] == 0


def test_a_map_estimate_has_no_intervals():
    for kind in ("bar", "line", "panels"):
        figure = plots.loadings(map_fit(), kind=kind)
        assert not any(axes.collections for axes in figure.axes)
    (axes,) = plots.loadings(map_fit()).axes
    np.testing.assert_allclose(bars(axes)[0][1], DRAWS[0][0, 0, :, 0])
    assert axes.get_ylabel() == "weight in W (MAP estimate)"


def test_rows_grouped_by_their_largest_component():
    (axes,) = plots.loadings(fit_of(), order="largest", share=True).axes
    heights = np.array([top - bottom for bottom, top in bars(axes)])
    largest = heights.argmax(axis=0)
    assert (np.diff(largest) >= 0).all()
    assert (np.diff(heights.max(axis=0))[np.diff(largest) == 0] <= 0).all()
    assert sorted(names_of(axes)) == ROWS


def test_many_rows_are_drawn_without_gaps_and_quickly():
    rng = np.random.default_rng(0)
    draws = rng.gamma(1.0, 1.0, (1, 2, 5000, 2)), rng.dirichlet(np.ones(4), (1, 2, 2))
    fit = fit_of(range(5000), draws)
    (axes,) = plots.loadings(fit).axes
    assert len(axes.patches) == 2
    values, edges, baseline = axes.patches[1].get_data()
    np.testing.assert_allclose(values - baseline, fit.W[:, 1])
    assert (edges[0], edges[-1]) == (-0.5, 4999.5)
    assert not axes.collections
    assert axes.get_ylabel() == "weight in W (mean)"


def test_many_components_are_added_up():
    rng = np.random.default_rng(0)
    size = np.arange(20.0, 0, -1)
    draws = (
        size * rng.gamma(50.0, 0.02, (1, 30, 4, 20)),
        rng.dirichlet(np.ones(4), (1, 30, 20)),
    )
    fit = fit_of(list("abcd"), draws)
    W = fit.tree["posterior/W"].to_numpy()[0]
    for kind in ("bar", "line"):
        (axes,) = plots.loadings(fit, kind=kind).axes
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert sorted(texts) == sorted([*map(str, range(11)), "9 others"])
        others = W[:, :, 11:].sum(axis=2)
        if kind == "line":
            line, band = axes.lines[-1], axes.collections[-1]
            np.testing.assert_allclose(line.get_ydata(), others.mean(axis=0))
            low, high = np.quantile(others[:, 2], [0.05, 0.95])
            np.testing.assert_allclose(band_at(band, 2), [low, high])
            looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
        else:
            bottom, top = bars(axes)[-1]
            np.testing.assert_allclose(top - bottom, others.mean(axis=0))
            looks = [(bar[0].get_facecolor(), bar[0].get_hatch()) for bar in axes.containers]
        assert len(set(looks)) == 12
    assert line.get_color() == OTHERS


# -- lines --------------------------------------------------------------------------------------

MONTHS = pd.date_range("2023-11-01", periods=5, freq="MS")


def test_rows_with_dates_are_lines_along_the_time():
    shuffled = MONTHS[[3, 0, 4, 1, 2]]
    (axes,) = plots.loadings(fit_of(shuffled), ci_prob=0.8).axes
    order = np.argsort(shuffled)
    assert len(axes.lines) == len(axes.collections) == 3
    for k, (line, band) in enumerate(zip(axes.lines, axes.collections, strict=True)):
        np.testing.assert_allclose(date2num(line.get_xdata()), date2num(MONTHS))
        np.testing.assert_allclose(line.get_ydata(), W[:, order, k].mean(axis=0))
        low, high = np.quantile(W[:, order, k], [0.1, 0.9], axis=0)
        np.testing.assert_allclose(band_at(band, date2num(MONTHS)[2]), (low[2], high[2]))
        assert line.get_color() == component_colour(k)
    assert "2024" in names_of(axes)
    assert axes.get_ylabel() == "weight in W (mean and 80 % interval)"


@pytest.mark.parametrize(
    "rows",
    [
        MONTHS,
        MONTHS.tz_localize("Europe/Berlin"),
        MONTHS.to_period("M"),
        MONTHS.to_period("Q").unique().append(pd.period_range("2025Q1", periods=3, freq="Q")),
        pd.period_range("2024-01-01", periods=5, freq="W"),
        pd.Index(MONTHS.date),
        [f"2024-02-29T0{hour}:30" for hour in range(5)],
    ],
)
def test_dates_survive_in_names_and_files(rows, tmp_path):
    fit = fit_of(rows)
    fit.save(tmp_path / "fit.nc")
    for same in (fit, bn.load(tmp_path / "fit.nc")):
        (axes,) = plots.loadings(same).axes
        assert len(axes.lines) == 3
        start = pd.PeriodIndex(rows).start_time if isinstance(rows, pd.PeriodIndex) else rows
        expected = pd.DatetimeIndex(start).tz_localize(None)
        np.testing.assert_array_equal(pd.DatetimeIndex(axes.lines[0].get_xdata()), expected)


@pytest.mark.parametrize(
    "rows",
    [
        ["2024", "2025", "2026", "2027", "2028"],
        ["2024-01", "2024-02", "2024-03", "2024-04", "sample 7"],
        ["2024-01", "2024-13", "2024-03", "2024-04", "2024-05"],
        ["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"],
        [1990, 1991, 1992, 1993, 1994],
    ],
)
def test_other_names_are_bars(rows):
    """Whole numbers may be mere labels, and repeated dates are no line."""
    (axes,) = plots.loadings(fit_of(rows)).axes
    assert len(axes.containers) == 3
    assert sorted(names_of(axes)) == sorted(map(str, rows))


def test_summer_time_that_ends():
    hours = pd.date_range("2024-10-27 00:30", periods=5, freq="h", tz="Europe/Berlin")
    dates, in_utc = dates_in(np.array([str(hour) for hour in hours]))
    assert in_utc
    np.testing.assert_array_equal(dates, hours.tz_convert(None).to_numpy())
    (axes,) = plots.loadings(fit_of(hours)).axes
    assert axes.get_xlabel() == "time in UTC"
    whole_year = pd.date_range("2024-01-01", periods=5, freq="100D", tz="Europe/Berlin")
    assert not dates_in(np.array([str(day) for day in whole_year]))[1]


def test_numbers_along_a_line():
    rows = [0.5, 4.0, 1.0, 3.5, 9.0]
    (axes,) = plots.loadings(fit_of(rows)).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), sorted(rows))
    (axes,) = plots.loadings(fit_of([1990, 1994, 1991, 1992, 1993]), kind="line").axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), range(1990, 1995))
    np.testing.assert_allclose(axes.lines[1].get_ydata(), W[:, [0, 2, 3, 4, 1], 1].mean(axis=0))
    (axes,) = plots.loadings(fit_of(), kind="line").axes
    assert names_of(axes) == ROWS


# -- panels -------------------------------------------------------------------------------------


def test_panels_have_the_interval_of_each_component():
    figure = plots.loadings(fit_of(), kind="panels", ci_prob=0.8)
    assert len(figure.axes) == 3
    for k, axes in enumerate(figure.axes):
        np.testing.assert_allclose(
            [bar.get_height() for bar in axes.patches], W[:, :, k].mean(axis=0)
        )
        expected = np.quantile(W[:, :, k], [0.1, 0.9], axis=0)
        np.testing.assert_allclose(intervals(axes.collections[0]), expected)
        assert axes.get_title(loc="left").startswith(f"component {k}: mass")
    assert figure.get_supylabel() == "weight in W (mean and 80 % interval)"
    dated = plots.loadings(fit_of(MONTHS), kind="panels", share=True)
    assert all(len(axes.lines) == 1 for axes in dated.axes)


# -- order --------------------------------------------------------------------------------------


def test_rows_in_the_order_of_values():
    depth = pd.Series([3.0, 1.0, 2.0, 5.0, 4.0], ROWS, name="depth (m)")
    shuffled = depth[list("zxvyw")]
    for order in (depth.to_numpy(), depth, shuffled, shuffled.to_xarray().rename(index="row")):
        (axes,) = plots.loadings(fit_of(), order=order).axes
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3, 4, 5])
        expected = W[:, [1, 2, 0, 4, 3], 0].mean(axis=0)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
        named = hasattr(order, "name")
        assert axes.get_xlabel() == ("depth (m)" if named else "row")
    (axes,) = plots.loadings(fit_of(), order=depth, kind="bar").axes
    assert names_of(axes) == list("wxvzy")


def test_rows_by_dates_that_are_no_names():
    for order in (MONTHS, MONTHS.astype(str), list(MONTHS), pd.Series(MONTHS, ROWS, name="$day$")):
        (axes,) = plots.loadings(fit_of(), order=order).axes
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), MONTHS.to_numpy())
    assert axes.get_xlabel() == "$day$"
    assert not axes.xaxis.label.get_parse_math()


def test_some_rows_by_name():
    (axes,) = plots.loadings(fit_of(), order=["z", "v"]).axes
    assert names_of(axes) == ["z", "v"]
    np.testing.assert_allclose(bars(axes)[0][1], W[:, [4, 0], 0].mean(axis=0))
    (axes,) = plots.loadings(fit_of(MONTHS), order=MONTHS[[2, 1]]).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), MONTHS[[1, 2]].to_numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bars"}, "unknown kind 'bars'; valid: auto, bar, line, panels"),
        ({"ci_prob": 90}, "ci_prob must lie between 0 and 1, not 90"),
        ({"order": "mass"}, "unknown order 'mass'; valid: None, 'largest'"),
        ({"order": ["v", "q"]}, "order has 'q', which is neither the name of a row"),
        ({"order": [1, 2]}, "order has 2 values for 5 rows"),
        ({"order": [1, 2, np.nan, 4, 5]}, "order has no number for row 'x'"),
        ({"order": [[1, 2], [3, 4]]}, "order must have one dimension, not 2"),
        ({"order": pd.Series([1.0] * 5, list("vwxyq"))}, "the rows of order have other names"),
        ({"order": ["v", "v"]}, "order has row 'v' more than once"),
        ({"order": []}, "order has 0 values for 5 rows"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError) as error:
        plots.loadings(fit_of(), **options)
    assert message in str(error.value)


# -- models -------------------------------------------------------------------------------------


def test_programs_and_sparse_data():
    program = bn.load_model("cemgil2009", n_components=3)
    V = np.random.default_rng(0).poisson(3.0, (5, 4)) + 1.0
    for model, data in ((program, V), (bn.NMF(3), scipy.sparse.csr_array(V))):
        fit = synthetic.assembled(*DRAWS, V=data, model=model)
        for draw in (plots.loadings, plots.top_columns, plots.components):
            draw(fit).draw_without_rendering()


def test_known_and_renamed_components():
    V = pd.DataFrame(np.random.default_rng(0).poisson(3.0, (5, 4)) + 1.0, ROWS, COLUMNS)
    known = pd.DataFrame(np.eye(4)[:2] + 0.1, ["ageing", "smoking"], COLUMNS)
    fit = bn.fit(V, bn.NMF(3, H=known), bn.MAP(n_init=1), progress=False)
    fit = fit.rename({"smoking": "$APOBEC$"})
    for figure in (plots.top_columns(fit), plots.loadings(fit, kind="panels")):
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles[0].startswith("component ageing")
        assert titles[1].startswith("component $APOBEC$")
        assert titles[2].startswith("component 2")
    names = [text.get_text() for text in plots.loadings(fit).axes[0].get_legend().get_texts()]
    assert names == ["2", r"\$APOBEC\$", "ageing"]


def test_chains_in_several_modes_are_refused():
    W, H = synthetic.draws(2, 60, noise=0.01)
    H[1] = H[1][..., ::-1]
    fit = fit_of(draws=(W, H))
    assert fit.chain_modes.max() == 1
    for draw in (plots.loadings, plots.top_columns, plots.components):
        with pytest.raises(ValueError, match="modes"):
            draw(fit)
