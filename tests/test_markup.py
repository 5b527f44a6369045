"""What notebooks show: well-formed, escaped, without anything to load, with the facts of `repr`."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import ambiguous
import numpy as np
import pandas as pd
import pytest
import small
import synthetic

import bayesnmf as bn
from bayesnmf.markup import MAX_ROWS, fragment
from bayesnmf.rank.result import RankSelection

EVIL = "<script>alert('x')</script> & co"
ROWS, COLUMNS = [EVIL, *"wxyz"], [EVIL, "b & c", 'say "d"', "</table>"]
TAGS = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}


def read(result):
    """Return the text that a notebook shows, and fail where the page is not sound."""
    html = result._repr_html_()
    root = ElementTree.fromstring(html)  # fails unless it is well-formed
    assert root.tag == "div"
    assert {element.tag for element in root.iter()} <= TAGS
    assert not {"src", "href", "onload"} & {name for x in root.iter() for name in x.attrib}
    return " ".join(text for text in root.itertext() if text.strip())


def numbers(text):
    return sorted(re.findall(r"\d+\.\d+", text))


def sweep(note):
    names = ["elpd", "se", "elpd_diff", "dse", "waic", "bad_k", "residual_p", "dispersion"]
    names += ["dispersion_p", "elbo", "stability", "converged", "seconds"]
    values = np.full((2, len(names)), np.nan)
    values[:, :4] = [[-20.0, 2.0, -5.0, 1.0], [-15.0, 2.0, 0.0, 0.0]]
    table = pd.DataFrame(values, pd.Index([2, 3], name="rank"), names)
    settings = {"model": {"likelihood": {"name": "poisson"}}, "shape": [5, 4]}
    return RankSelection(table, {}, np.zeros((2, 4)), settings, [note])


@pytest.fixture(scope="module")
def results():
    """Return one result of each class, with names that could break a page where it has names."""
    W, H = synthetic.draws(noise=0.3)
    V = np.random.default_rng(7).poisson(synthetic.W @ synthetic.H) + 0.0
    fit = synthetic.assembled(W, H, V=pd.DataFrame(V, ROWS, COLUMNS)).rename({0: EVIL})
    fit.tree.attrs["message"] = f"ended: {EVIL}"
    return {
        "Fit": fit,
        "NMF": fit.model,
        "Check": bn.check(fit),
        "Modes": bn.modes(fit),
        "Uniqueness": bn.uniqueness(fit),
        "Match": bn.match(fit, pd.DataFrame(np.eye(4), ROWS[:4], COLUMNS)),
        "PredictiveChecks": bn.ppc(fit, num_samples=10),
        "RankSelection": sweep(EVIL),
    }


CLASSES = ["Fit", "NMF", "Check", "Modes", "Uniqueness", "Match", "PredictiveChecks"]
CLASSES.append("RankSelection")


@pytest.mark.parametrize("name", CLASSES)
def test_every_result_is_sound_and_says_its_class(results, name):
    assert read(results[name]).startswith(name)


@pytest.mark.parametrize("name", ["Fit", "Check", "Uniqueness", "Match", "RankSelection"])
def test_names_are_escaped_and_shown(results, name):
    html = results[name]._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert EVIL[:20] in read(results[name])


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "NMF"])
def test_numbers_are_those_of_the_text(results, name):
    result = results[name]
    ours, theirs = read(result), repr(result)
    assert numbers(ours) == numbers(theirs)
    assert (len(numbers(theirs)) > 1) == (name != "Fit")


@pytest.mark.parametrize("method", small.METHODS)
@pytest.mark.parametrize("likelihood", small.PLAIN)
def test_fits_and_models_of_every_kind(likelihood, method):
    fit = synthetic.shaped(likelihood, method)
    facts = repr(fit).removeprefix("<Fit: ").partition(">\n")
    for fact in (facts[0], facts[2]):
        assert fact in read(fit)
    model = read(fit.model)
    for word in (type(fit.model.likelihood).__name__, "Gamma(shape = 1.5, rate = 0.8)", "2"):
        assert word in model
    assert bn.check(fit).message in read(bn.check(fit))


def test_an_array_of_a_model_is_not_written_out():
    sigma = pd.DataFrame(np.ones((50, 40)))
    assert len(bn.NMF(2, bn.likelihoods.Gaussian(sigma=sigma))._repr_html_()) < 2_000


def test_a_fit_without_a_model_and_one_of_several_modes():
    fit = ambiguous.fitted()
    assert "model unknown" in read(bn.Fit(fit.tree, None))
    modes = bn.modes(fit)
    assert "2 modes (mode 0: chains 0, 2; mode 1: chain 1)" in read(modes)
    assert "modes.table adds predictive weights" in read(modes)


def test_long_tables_are_cut_and_forbidden_characters_replaced():
    table = pd.DataFrame({"x": np.arange(1000.0)})
    assert fragment("Long", table).count("<tr") <= MAX_ROWS + 2
    assert "\x07" not in fragment("\x07", "\x07", pd.DataFrame({"\x07": ["\x07"]}))
    assert fragment("Empty", "", table.iloc[:0]) == "<div><p><b>Empty</b></p></div>"
