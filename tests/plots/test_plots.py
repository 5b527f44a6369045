"""Plots: what is drawn, read back from the figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib import pyplot as plt
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

import bayesnmf as bn
from bayesnmf import plots
from bayesnmf.plots import format_number
from bayesnmf.plots.names import IN_FIGURE, shown
from bayesnmf.reporting.factors import share_image

DRAWS = synthetic.draws()
ROWS, COLUMNS = list("vwxyz"), ["A[C>A]A", "A[C>A]C", "A[C>A]G", "A[C>A]T"]


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch):
    """Refuse figures of pyplot, which need a display or change the backend of the process."""

    def refuse(*args, **options):
        raise AssertionError("a figure of pyplot")

    monkeypatch.setattr(plt, "figure", refuse)


def fit_of(columns=COLUMNS, draws=DRAWS, rows=ROWS, **options):
    V = pd.DataFrame(np.full((5, len(columns)), 2.0), rows, columns)
    return synthetic.assembled(*draws, V=V, **options)


def one_draw(**options):
    W, H = DRAWS
    return fit_of(draws=(W[:1, :1], H[:1, :1]), method="map", converged=True, **options)


def wide(n_columns):
    W = np.ones((1, 2, 5, 1))
    H = np.random.default_rng(0).gamma(2.0, size=(1, 2, 1, n_columns))
    return W, H


def bars(axes):
    return np.array([patch.get_height() for patch in axes.patches])


# -- components ---------------------------------------------------------------------------------


def test_bars_are_posterior_means_with_their_intervals():
    figure = plots.components(fit_of(), ci_prob=0.8)
    H = DRAWS[1].reshape(-1, 3, 4)
    assert len(figure.axes) == 3
    for k, axes in enumerate(figure.axes):
        np.testing.assert_allclose(bars(axes), H[:, k].mean(axis=0))
        (lines,) = axes.collections
        expected = np.quantile(H[:, k], [0.1, 0.9], axis=0)
        for j, segment in enumerate(lines.get_segments()):
            np.testing.assert_allclose(segment, [[j, expected[0, j]], [j, expected[1, j]]])
        assert axes.get_ylim()[0] == 0
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == COLUMNS
    assert figure.get_supylabel() == "weight in H (mean and 80 % interval)"


def test_titles_give_mass_interval_and_share():
    figure, summary = plots.components(fit_of()), fit_of().summary()
    for k, axes in enumerate(figure.axes):
        row = summary.loc[k]
        mass, low, high = (format_number(row[name]) for name in ("mass", "5%", "95%"))
        assert axes.get_title(loc="left") == (
            f"component {k}: mass {mass} ({low} to {high}), {100 * row['share']:.0f} % of all"
        )


def test_lines_have_their_intervals_as_bands():
    figure = plots.components(fit_of(), kind="line")
    H = DRAWS[1].reshape(-1, 3, 4)
    for k, axes in enumerate(figure.axes):
        assert len(axes.patches) == 0
        (line,), (band,) = axes.lines, axes.collections
        np.testing.assert_allclose(line.get_ydata(), H[:, k].mean(axis=0))
        low, high = np.quantile(H[:, k], [0.05, 0.95], axis=0)
        path = band.get_paths()[0].vertices
        for j in range(4):
            drawn = path[path[:, 0] == j, 1]
            np.testing.assert_allclose([drawn.min(), drawn.max()], [low[j], high[j]])


@pytest.mark.parametrize(
    ("columns", "as_line"),
    [(COLUMNS, False), ([3, 5, 8, 9], False), ([0.5, 1.0, 1.5, 4.0], True)],
)
def test_auto_draws_lines_on_an_axis_of_numbers(columns, as_line):
    """Integers may be mere labels, so they get bars, at their places."""
    axes = plots.components(fit_of(columns)).axes[0]
    assert bool(axes.lines) == as_line
    if as_line:
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), columns)
    elif columns != COLUMNS:
        centres = [patch.get_x() + patch.get_width() / 2 for patch in axes.patches]
        np.testing.assert_allclose(centres, columns)


@pytest.mark.parametrize(("n_columns", "as_line"), [(150, False), (151, True)])
def test_auto_draws_lines_for_many_columns(n_columns, as_line):
    names = [f"c{j}" for j in range(n_columns)]
    axes = plots.components(fit_of(names, wide(n_columns))).axes[0]
    assert bool(axes.lines) == as_line
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == names[::2]  # thinned, since there are more than a hundred


def test_a_mode_has_no_intervals():
    figure = plots.components(one_draw())
    for axes in figure.axes:
        assert len(axes.collections) == 0
        assert "(" not in axes.get_title(loc="left")
    assert figure.get_supylabel() == "weight in H (MAP estimate)"
    assert all(not axes.collections for axes in plots.components(one_draw(), kind="line").axes)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="unknown kind 'bars'; valid: auto, bar, line"):
        plots.components(fit_of(), kind="bars")
    for ci_prob in (0, 1, 90):
        with pytest.raises(ValueError, match="ci_prob must lie between 0 and 1, not"):
            plots.components(fit_of(), ci_prob=ci_prob)
    assert plt.get_fignums() == []


# -- reconstruction -----------------------------------------------------------------------------


def images(figure):
    """Return the arrays of the three images, NaN where nothing is drawn."""
    return [np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes[:3]]


def data():
    V = np.random.default_rng(3).poisson((DRAWS[0] @ DRAWS[1]).mean(axis=(0, 1))) + 1.0
    V[2, 1] = V[4, 0] = np.nan
    return V


def test_the_three_images_of_a_poisson_fit():
    V, mean = data(), (DRAWS[0] @ DRAWS[1]).mean(axis=(0, 1))
    figure = plots.reconstruction(synthetic.assembled(*DRAWS, V=pd.DataFrame(V, ROWS, COLUMNS)))
    shown, expected, residual = images(figure)
    np.testing.assert_array_equal(shown, V)
    np.testing.assert_allclose(expected, mean, rtol=1e-6)
    np.testing.assert_allclose(residual, (V - mean) / np.sqrt(mean), rtol=1e-5)
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["V", "expectation of V", "residual / std"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ROWS


def test_missing_cells_are_grey():
    figure = plots.reconstruction(synthetic.assembled(*DRAWS, V=data()))
    missing = np.argwhere(np.isnan(data())).tolist()
    shown, expected, residual = images(figure)
    assert np.argwhere(np.isnan(shown)).tolist() == missing
    assert np.argwhere(np.isnan(residual)).tolist() == missing
    assert np.isfinite(expected).all()
    for axes in figure.axes[:3]:
        assert axes.get_facecolor() == (0.8, 0.8, 0.8, 1.0)


def test_images_share_their_scale_and_residuals_are_centred():
    V, expected, residual = (axes.images[0] for axes in plots.reconstruction(one_draw()).axes[:3])
    assert V.get_clim() == expected.get_clim()
    low, high = residual.get_clim()
    assert low == -high < 0


@pytest.mark.parametrize(
    ("likelihood", "sites", "mean", "sd"),
    [
        (
            bn.likelihoods.Poisson(exposure=np.full((5, 4), 4.0)),
            {},
            lambda x: 4 * x,
            lambda x: np.sqrt(4 * x),
        ),
        (
            bn.likelihoods.NegativeBinomial(),
            {"concentration": [2.0, 6.0]},
            lambda x: x,
            lambda x: np.sqrt(x + x**2 / 4),
        ),
        (bn.likelihoods.Gaussian(sigma=3.0), {}, lambda x: x, lambda x: 3.0),
        (bn.likelihoods.Gaussian(), {"sigma": [1.0, 2.0]}, lambda x: x, lambda x: 1.5),
        (bn.likelihoods.Gamma(shape=4.0), {}, lambda x: x, lambda x: x / 2),
        (
            bn.likelihoods.Beta(link="odds"),
            {"precision": [8.0, 10.0]},
            lambda x: x / (1 + x),
            lambda x: np.sqrt(x / (1 + x) ** 2 / 10),
        ),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_residuals_are_in_standard_deviations_of_the_likelihood(likelihood, sites, mean, sd):
    W, H = (x[:1, :2] for x in DRAWS)
    V = data() / 100 if likelihood.name == "beta" else data()
    sites = {name: np.array([value]) for name, value in sites.items()}
    fit = synthetic.assembled(W, H, V=V, model=bn.NMF(3, likelihood), sites=sites)
    x = (W @ H).mean(axis=(0, 1))
    _, expected, residual = images(plots.reconstruction(fit))
    np.testing.assert_allclose(expected, mean(x), rtol=1e-5)
    np.testing.assert_allclose(residual, (V - mean(x)) / sd(x), rtol=1e-4, atol=1e-5)


def test_residuals_of_a_program_are_in_units_of_their_own_std():
    program = bn.load_model("cemgil2009", n_components=3)
    _, _, residual = images(
        plots.reconstruction(synthetic.assembled(*DRAWS, V=data(), model=program))
    )
    assert np.nanstd(residual) == pytest.approx(1)


def test_an_expectation_of_exactly_zero():
    """Zero mean, zero standard deviation: the difference itself is shown."""
    fit = synthetic.assembled(0 * DRAWS[0], DRAWS[1], V=np.zeros((5, 4)))
    for image in images(plots.reconstruction(fit)):
        assert np.isfinite(image).all()


def test_many_rows_are_not_named():
    W, H = np.ones((1, 2, 41, 1)), np.ones((1, 2, 1, 4))
    V = pd.DataFrame(np.ones((41, 4)), [f"row {i}" for i in range(41)])
    figure = plots.reconstruction(synthetic.assembled(W, H, V=V))
    assert not any("row" in label.get_text() for label in figure.axes[0].get_yticklabels())


# -- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [plots.components, plots.reconstruction])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_render(draw, ending, tmp_path):
    """Also with labels that contain mathematics or mark-up."""
    fit = fit_of(["$x$", "a_b", "<b>", r"$\wrong$"], rows=["$1$", "$", "&", r"\x", "5%"])
    path = tmp_path / f"figure.{ending}"
    draw(fit).savefig(path)
    if ending == "png":
        picture = plt.imread(path)
        assert picture.ndim == 3
        assert np.ptp(picture[..., :3]) > 0.5
    else:
        assert path.read_text().rstrip().endswith("</svg>")


def is_mathematics(text):
    return text.get_parse_math() and is_math_text(text.get_text())


def test_names_are_short_and_no_mathematics():
    long = "$" + "x" * 9_000 + "$"
    fit = fit_of([long, "$x$", r"$\wrong$", "bell\x7f"], rows=[long, "$", "&", r"\x", "5%"])
    table = pd.DataFrame({"elpd_diff": [0.0, -1.0], "dse": [0.0, 1.0]}, index=["$a$", long])
    figures = [
        plots.components(fit),
        plots.reconstruction(fit),
        plots.compare(table),
        plots.top_columns(fit),
        plots.loadings(fit),
        plots.loadings(fit.rename({0: long, 1: "$1$", 2: "$2$"}), kind="line"),
        share_image(*(x.to_numpy() for x in (fit.W, fit.W["row"], fit.W["component"]))),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        # Panels that share an axis leave out the names of all but one.
        visible = [text for text in figure.findobj(Text) if text.get_visible()]
        texts = [text for text in visible if "$" in text.get_text()]
        assert texts
        assert not any(is_mathematics(text) for text in texts)
        assert max(len(text.get_text().replace(r"\$", "$")) for text in texts) <= IN_FIGURE
        assert max(figure.get_size_inches()) < 20
        assert not any("\x7f" in text.get_text() for text in figure.findobj(Text))


def test_a_name_is_shortened_in_the_middle():
    assert shown("x" * 24) == "x" * 24
    assert shown("begin" + "-" * 30 + "end").startswith("begin")
    assert shown("begin" + "-" * 30 + "end").endswith("end")
    assert len(shown("x" * 25)) == 24
    assert (shown("abcdef", 3), shown(7), shown("a\rb\nc\td")) == ("ab…", "7", "a b c d")
    assert shown("half \udc80") == "half \ufffd"


def test_data_on_a_very_small_scale_have_residuals():
    """In single precision their expectation is 0, and so is its standard deviation."""
    W, H = (x[:1, :1] for x in DRAWS)
    V = 1e-60 * data()
    model = bn.NMF(3, bn.likelihoods.Gamma(shape=4.0))
    fit = synthetic.assembled(1e-60 * W, H, V=V, model=model, method="map", converged=True)
    _, expected, residual = images(plots.reconstruction(fit))
    mean = 1e-60 * (W @ H)[0, 0]
    np.testing.assert_allclose(expected, mean, rtol=1e-6)
    np.testing.assert_allclose(residual, (V - mean) / (mean / 2), rtol=1e-6)


def test_one_cell_renders(tmp_path):
    fit = synthetic.assembled(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), V=[[0.0]])
    for draw in (plots.components, plots.reconstruction):
        draw(fit).savefig(tmp_path / "figure.png")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1234567.8, "1,234,568"),
        (999.94, "999.9"),
        (-2000.0, "-2,000"),
        (0.012345, "0.01235"),
    ],
)
def test_numbers_are_written_for_readers(value, text):
    assert format_number(value) == text


def test_worse_models_lie_to_the_left_of_the_best():
    table = pd.DataFrame({"elpd_diff": [0.0, -12.0], "dse": [0.0, 3.0]}, index=["good", "bad"])
    figure = bn.plots.compare(table)
    axes = figure.axes[0]
    x = axes.lines[0].get_xdata()
    np.testing.assert_array_equal(x, [0, -12])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "bad"]
    assert axes.yaxis_inverted()


# -- predictive checks --------------------------------------------------------------------------


def test_each_statistic_has_a_panel_with_its_p_value():
    checks = bn.ppc(fit_of(), num_samples=30)
    panels = plots.ppc(checks).axes
    titles = [axes.get_title() for axes in panels if axes.get_title()]
    assert titles == [f"{name}, p = {p:.3g}" for name, p in checks.table["p"].items()]
    for axes, name in zip(panels, checks.table.index, strict=True):
        (dot,) = axes.lines
        assert dot.get_xdata()[0] == pytest.approx(checks.observed[name].mean())
        assert bars(axes) @ [bar.get_width() for bar in axes.patches] == pytest.approx(1.0)


def test_the_spectrum_is_drawn_against_its_replicates():
    checks = bn.ppc(fit_of(), num_samples=30)
    (axes,) = plots.residual_spectrum(checks, ci_prob=0.8).axes
    replicated, observed = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(observed, checks.observed_spectrum.mean(axis=0))
    np.testing.assert_allclose(replicated, checks.replicated_spectrum.mean(axis=0))
    assert observed[0] == pytest.approx(checks.table.loc["singular value 1", "observed"])
    (band,) = axes.collections
    low, high = np.quantile(checks.replicated_spectrum, (0.1, 0.9), axis=0)
    drawn = band.get_paths()[0].vertices
    at_one = drawn[drawn[:, 0] == 1, 1]
    np.testing.assert_allclose([at_one.min(), at_one.max()], [low[0], high[0]])


def test_what_is_the_same_in_all_replicates_is_named_and_not_drawn():
    checks = bn.ppc(fit_of(), num_samples=5)
    replicated = dict(checks.replicated)
    replicated["zeros"] = np.zeros(5)
    replicated["dispersion"] = 1.0 + 1e-15 * np.arange(5)
    replicated["maximum"] = np.array([1.0, 2.0, np.inf, 3.0, 4.0])
    figure = plots.ppc(replace(checks, replicated=replicated))
    titles = " ".join(axes.get_title() for axes in figure.axes)
    assert not any(name in titles for name in ("zeros", "dispersion", "maximum"))
    assert "row totals, p =" in titles
    assert figure.get_supxlabel().replace("\n", " ") == (
        "The same in all replicates: zeros = 0, dispersion = 1. "
        "Not finite in some replicates: maximum."
    )
    same = plots.ppc(replace(checks, replicated={name: np.ones(5) for name in replicated}))
    assert "No statistic differs between replicates." in {text.get_text() for text in same.texts}
    assert "column totals = 1" in same.get_supxlabel()


def test_only_checks_and_fits_are_drawn():
    with pytest.raises(TypeError, match=r"the result of bn\.ppc, not dict"):
        plots.ppc({})
    with pytest.raises(TypeError, match="num_samples: only for a Fit"):
        plots.residual_spectrum(bn.ppc(fit_of(), num_samples=5), num_samples=9)


def test_a_notebook_shows_a_figure():
    assert plots.components(fit_of())._repr_png_().startswith(b"\x89PNG")
