"""Reports: well-formed pages that load nothing, escape names, and say what is absent."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import ambiguous
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small
import synthetic
from cli.command import run
from matplotlib import pyplot as plt

import bayesnmf as bn
from bayesnmf.data import matrix
from bayesnmf.plots.names import IN_TABLE, shown
from bayesnmf.rank.result import RankSelection

#: Elements of HTML that have no end.
VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "<script>alert(1)</script>"
ROWS, COLUMNS = list("vwxyz"), [EVIL, "b & c", 'say "d"', "$e_f$"]


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch):
    """Refuse figures of pyplot, which need a display or change the backend of the process."""

    def refuse(*args, **options):
        raise AssertionError("a figure of pyplot")

    monkeypatch.setattr(plt, "figure", refuse)


class Reader(HTMLParser):
    """Read a page, and fail where its tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.sources, self.images, self.texts = [], [], [], [], []
        self.tags = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


def fit_of(draws=None, **options):
    draws = synthetic.draws() if draws is None else draws
    V = np.random.default_rng(7).poisson(synthetic.W @ synthetic.H) + 0.0
    V[1, 2] = np.nan
    return synthetic.assembled(*draws, V=pd.DataFrame(V, ROWS, COLUMNS), **options)


def a_mode():
    W, H = synthetic.draws()
    return fit_of((W[:1, :1], H[:1, :1]), method="map", converged=True)


def read(result, folder, **options):
    path = bn.report(result, folder / "report.html", **options)
    return Reader(path.read_text(encoding="utf-8"))


def is_whole(page):
    """Whether a page loads nothing, describes its images and has headings in order."""
    assert all(source.startswith(("#", "data:image/svg+xml;base64,")) for source in page.sources)
    assert all(image["alt"] for image in page.images)
    assert page.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert "script" not in page.tags
    return True


def test_a_posterior_is_reported_with_intervals(tmp_path):
    fit = fit_of()
    page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20))
    assert is_whole(page)
    assert EVIL in page.text  # shown, not run
    assert "1 (5.0%)" in page.text  # missing cells
    assert bn.check(fit).message in page.text
    mass = fit.summary()
    assert f"{mass.loc[0, '5%']:.4g}" in page.texts
    assert "95%" in page.texts
    assert len(page.images) == 5


def test_sparse_data_are_reported_by_all_their_cells(tmp_path):
    V = np.random.default_rng(7).poisson(0.1 * synthetic.W @ synthetic.H) + 0.0
    shares, figures = [], []
    for storage in (np.asarray, scipy.sparse.csr_array):
        fit = synthetic.assembled(*synthetic.draws(), V=storage(V))
        page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20))
        assert is_whole(page)
        zeros = f"{(V == 0).sum()} ({(V == 0).mean():.1%} of the observed)"
        shares += [text for text in page.texts if text == zeros]
        figures.append(len(page.images))
    assert len(shares) == 2
    # Only the picture of all cells is left out.
    assert figures == [5, 4]


def test_a_mode_says_what_is_absent(tmp_path):
    fit = a_mode()
    page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20), title="A & B")
    assert is_whole(page)
    assert "A & B" in page.texts
    assert "A MAP estimate is one factorisation. Intervals, R-hat" in page.text
    assert "95%" not in page.texts[: page.texts.index("Predictive checks", 20)]


def test_a_program_is_reported(tmp_path):
    program = bn.load_model("cemgil2009", n_components=3)
    fit = fit_of(model=program)
    page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20))
    assert is_whole(page)
    assert "The program cemgil2009 with n_components = 3." in page.text


# -- every likelihood, method and kind of data --------------------------------------------------

#: Names that could break mark-up, mathematics, fonts, lines or files.
NAMES = [
    EVIL,
    "b & c",
    'say "d"\'s',
    "$e_f$",
    r"\frac{x",
    "x" * 10_000,
    "bell\x7f\x85",
    "line\nbreak\ttab\r",
    "日本語 é 😀",
    "a]]>--><!-- b",
    "",
]
#: The kind of data with which each method is tried; together they are all kinds and all pairs.
KINDS = {
    "poisson": {"map": "sparse", "svi": "zeros", "mcmc": "names"},
    "negative_binomial": {"map": "missing", "svi": "sparse", "mcmc": "one row"},
    "gaussian": {"map": "zeros", "svi": "names", "mcmc": "sparse"},
    "gamma": {"map": "names", "svi": "one column", "mcmc": "constant"},
    "beta": {"map": "one row", "svi": "one cell", "mcmc": "missing"},
}
PAIRS = [(name, method) for name in small.PLAIN for method in small.METHODS]


def of_kind(kind, name):
    V = small.data(small.LIKELIHOODS[name])
    wide = np.hstack([V, V, V])[:, :12]
    if kind == "names":
        return pd.DataFrame(wide, NAMES[:6], [*NAMES, "last"])
    return {
        "missing": np.where(np.eye(*V.shape, 1) > 0, np.nan, V),
        "sparse": scipy.sparse.csr_array(3.0 * np.eye(*V.shape) + np.eye(*V.shape, -1)),
        "zeros": np.zeros(V.shape),
        "constant": np.full(V.shape, 0.5),
        "one row": V[:1],
        "one column": V[:, :1],
        "one cell": V[:1, :1],
    }[kind]


def made_up(name, method, kind):
    """Return a fit as the method shapes it, of draws made up at the scale of the data."""
    V, rng = of_kind(kind, name), np.random.default_rng(3)
    lead = {"map": (1, 1), "svi": (1, 20), "mcmc": (2, 10)}[method]
    rank = 1 if 1 in V.shape else 2
    W = rng.gamma(2.0, 0.5, (*lead, V.shape[0], rank))
    H = rng.gamma(2.0, 0.5, (*lead, rank, V.shape[1]))
    sites = {
        parameter: value * rng.uniform(0.9, 1.1, lead)
        for parameter, value in small.parameters(small.LIKELIHOODS[name]).items()
    }
    model = bn.NMF(rank, small.LIKELIHOODS[name])
    return synthetic.assembled(W, H, V=V, model=model, method=method, converged=True, sites=sites)


@pytest.mark.parametrize(
    ("name", "method"),
    small.short_of(
        PAIRS, ("beta", "mcmc"), ("negative_binomial", "mcmc"), ("poisson", "svi"), ("gamma", "map")
    ),
)
def test_every_likelihood_method_and_kind_of_data_is_reported(name, method, tmp_path):
    fit = made_up(name, method, KINDS[name][method])
    page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20))
    assert is_whole(page)
    assert "nan" not in page.text.lower()
    for image in page.images:
        ElementTree.fromstring(base64.b64decode(image["src"].partition(",")[2]))
    if KINDS[name][method] == "names":
        text = page.text.replace("\n", " ")
        assert all(shown(label, IN_TABLE) in text for label in NAMES[:5])
        assert "x" * 50 not in text
        assert not set(text) & set("\x7f\x85")


def test_all_kinds_of_data_are_reported():
    assert set(KINDS) == set(small.PLAIN)
    assert {kind for kinds in KINDS.values() for kind in kinds.values()} >= {
        "missing",
        "sparse",
        "zeros",
        "constant",
        "one row",
        "one column",
        "one cell",
        "names",
    }


def test_data_too_large_for_a_picture_are_reported_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "DENSE_BUDGET", 100)
    page = read(a_mode(), tmp_path)
    assert "There is no picture of the data" in page.text
    is_whole(page)


def test_modes_are_reported_one_by_one(tmp_path):
    fit = ambiguous.fitted()
    assert len(bn.modes(fit)) == 2
    with pytest.warns(UserWarning, match="modes"):
        checks = bn.ppc(fit, num_samples=20)
    page = read(fit, tmp_path, checks=checks)
    assert is_whole(page)
    assert {"Mode 0", "Mode 1"} <= set(page.texts)
    assert bn.modes(fit).message in page.text


def test_what_cannot_be_checked_is_explained(tmp_path):
    fit = bn.Fit(fit_of().tree, None)
    page = read(fit, tmp_path)
    assert is_whole(page)
    assert "They could not be made: this fit has no model" in page.text


def test_a_comparison_is_shown(tmp_path):
    fit = fit_of()
    table = pd.DataFrame(
        {"elpd": [-10.0, -12.0], "elpd_diff": [0.0, -2.0], "dse": [0.0, 0.7], "note": ["", EVIL]},
        ["one", "two"],
    )
    page = read(fit, tmp_path, checks=bn.ppc(fit, num_samples=20), comparison=table)
    assert is_whole(page)
    assert "one gives cells left out the highest density" in page.text


@pytest.fixture(scope="module")
def sweep():
    """Return a sweep over two ranks, made up but for its fits."""
    names = [
        "elpd",
        "se",
        "elpd_diff",
        "dse",
        "waic",
        "bad_k",
        "residual_p",
        "dispersion",
        "dispersion_p",
        "elbo",
        "stability",
        "converged",
        "seconds",
    ]
    values = [
        [-20, 2, -5, 1, np.nan, np.nan, 0.01, 2, 0.01, np.nan, 1, 1, 3.0],
        [-15, 2, 0, 0, np.nan, np.nan, 0.4, 1, 0.4, np.nan, 1, 0, 3.0],
    ]
    table = pd.DataFrame(np.array(values, float), pd.Index([2, 3], name="rank"), names)
    settings = {"model": {"likelihood": {"name": "poisson"}}, "shape": [5, 4]}
    return RankSelection(table, dict.fromkeys((2, 3), a_mode()), np.zeros((2, 4)), settings, [])


def test_a_sweep_is_reported_with_its_best_fit(sweep, tmp_path):
    page = read(sweep, tmp_path, checks=bn.ppc(sweep.best_fit, num_samples=20))
    assert is_whole(page)
    assert sweep.message in page.text
    assert page.texts.count("chosen") == 1
    assert "What follows is the fit of rank 3." in page.text


def test_the_same_fit_gives_the_same_page(tmp_path):
    pages = [
        bn.report(a_mode(), tmp_path / f"{k}.html", checks=bn.ppc(a_mode(), num_samples=20))
        for k in range(2)
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.html"):
        bn.report(a_mode(), tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        bn.report(a_mode(), tmp_path / "absent" / "report.html")
    with pytest.raises(TypeError, match="not of dict"):
        bn.report({}, tmp_path / "report.html")


def test_the_command_takes_fits_and_sweeps(sweep, tmp_path):
    a_mode().save(tmp_path / "fit.nc")
    sweep.save(tmp_path / "sweep.nc")
    page = tmp_path / "fit.html"
    assert run("report", tmp_path / "fit.nc") == (0, f"{page}\n", "")
    named = tmp_path / "other.html"
    assert run("report", tmp_path / "sweep.nc", "--out", named, "--title", "Ranks").status == 0
    assert "<title>Ranks</title>" in named.read_text(encoding="utf-8")
    error = run("report", tmp_path / "fit.nc", "--out", tmp_path / "fit.pdf").error()
    assert "must end in .html" in error
    for verb in ("check", "plot"):
        assert (
            "is a sweep over ranks, not a fit: bayesnmf report takes it"
            in run(verb, tmp_path / "sweep.nc").error()
        )


PROBE = """<script>
addEventListener("load", () => {
  const root = document.documentElement, body = document.body;
  document.title = JSON.stringify({
    width: innerWidth, page: Math.max(root.scrollWidth, body.scrollWidth),
    broken: [...document.images].filter(x => !x.complete || !x.naturalWidth).length,
    loaded: performance.getEntriesByType("resource").map(x => x.name)
      .filter(x => !x.startsWith("data:")),
  });
});
</script></body>"""


def test_a_phone_shows_the_page_without_scrolling_sideways(tmp_path):
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        pytest.skip("neither chromium nor google-chrome is on the path")
    fit = fit_of()
    path = bn.report(fit, tmp_path / "report.html", checks=bn.ppc(fit, num_samples=20))
    inner = path.read_text(encoding="utf-8").replace("</body>", PROBE)
    (tmp_path / "inner.html").write_text(inner, encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=390,844",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            (tmp_path / "inner.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    seen = json.loads(done.stdout.split("<title>")[1].split("</title>")[0])
    assert seen["page"] <= seen["width"] <= 500
    assert (seen["broken"], seen["loaded"]) == (0, [])
