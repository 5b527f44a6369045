"""Progress: one bar, which says the stage, whatever calls what; and nothing where it is not wanted."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest
import small

import bayesnmf as bn
from bayesnmf import progress
from bayesnmf.methods.sampler import nuts
from bayesnmf.progress import Bar, Part, Silent, showing

V = small.data(small.LIKELIHOODS["poisson"])
SHORT = bn.MCMC(num_warmup=50, num_samples=50, num_chains=2)
SVI = bn.SVI(num_steps=50, num_samples=150)


@pytest.fixture
def opened(monkeypatch):
    """Return the bars that have been opened."""
    bars, kind = [], progress.tqdm

    class Counted(kind):
        def __init__(self, *arguments, **options):
            bars.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(progress, "tqdm", Counted)
    return bars


def stages(text: str) -> list[str]:
    """Return the stages that a bar in a file has shown, in order, each once."""
    looks = [look.split(":")[0] for look in text.split("\r") if ":" in look]
    return list(dict.fromkeys(looks))


def of_fit(capsys, opened, method, model=None):
    fit = bn.fit(V, small.model("poisson") if model is None else model, method)
    err = capsys.readouterr().err
    assert len(opened) == 1
    assert opened[0].disable  # closed
    assert "\n" not in err
    assert err.endswith("\r")  # nothing is left of it
    return fit, stages(err)


# -- fits ---------------------------------------------------------------------------------------


def test_a_search_says_at_which_start_it_is(capsys, opened):
    _, shown = of_fit(capsys, opened, bn.MAP(n_init=3))
    assert shown == ["start 1 of 3", "start 2 of 3", "start 3 of 3", "diagnostics"]


def test_plain_updates_do_too(capsys, opened):
    _, shown = of_fit(capsys, opened, bn.MAP(solver="mu", n_init=2, max_iter=20))
    assert shown == ["start 1 of 2", "start 2 of 2", "diagnostics"]


@pytest.mark.numpyro_promotion
def test_a_program_has_one_search(capsys, opened):
    _, shown = of_fit(capsys, opened, "map", bn.load_model("cemgil2009", n_components=2))
    assert shown == ["MAP estimate", "diagnostics"]


def test_a_sampler_says_its_stages(capsys, opened):
    fit, shown = of_fit(capsys, opened, SHORT)
    assert shown == ["start values", "warm-up", "sampling", "diagnostics"]
    opened.clear()
    bn.resume(fit, 30)
    err = capsys.readouterr().err
    assert stages(err) == ["sampling", "diagnostics"]
    assert "0/30" in err
    assert len(opened) == 1


@pytest.mark.numpyro_promotion
def test_nuts_does_too(capsys, opened):
    method = bn.MCMC("nuts", num_warmup=5, num_samples=5, num_chains=2)
    _, shown = of_fit(capsys, opened, method)
    assert shown == ["start values", "warm-up", "sampling", "diagnostics"]


@pytest.mark.numpyro_promotion("rank")
@pytest.mark.parametrize(
    ("algorithm", "first"),
    [
        ("cavi", [f"start {i} of 4" for i in (1, 2, 3, 4)]),
        ("guide", ["start values", "gradient steps"]),
    ],
)
def test_variational_inference_does_too(capsys, opened, algorithm, first):
    _, shown = of_fit(capsys, opened, replace(SVI, algorithm=algorithm))
    assert shown == [*first, "draws", "diagnostics"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_the_bar_is_closed_after_an_error(capsys, opened, monkeypatch, error):
    def failing(*arguments):
        raise error
        yield

    monkeypatch.setattr("bayesnmf.methods.sampler.chains.draw_chunks", failing)
    with pytest.raises(error):
        bn.fit(V, small.model("poisson"), SHORT)
    assert stages(capsys.readouterr().err) == ["start values", "warm-up"]
    assert [bar.disable for bar in opened] == [True]
    assert progress._current.get() is None


@pytest.mark.numpyro_promotion
def test_nuts_keeps_the_draws_that_it_has(monkeypatch):
    steps, method = nuts._steps, bn.MCMC("nuts", num_warmup=5, num_samples=10, num_chains=2)
    whole = bn.fit(V, small.model("poisson"), method, progress=False)

    def interrupted(advance, states, number, stage, shown):
        for part in steps(advance, states, number, stage, shown):
            yield part
            if stage == "sampling":
                raise KeyboardInterrupt

    monkeypatch.setattr(nuts, "CHUNK", 5)
    monkeypatch.setattr(nuts, "_steps", interrupted)
    fit = bn.fit(V, small.model("poisson"), method, progress=False)
    assert fit.interrupted
    assert "2 chain(s) of 5 draws, interrupted before all 10" in fit.message
    lp, lp_whole = (x.tree["sample_stats/lp"].to_numpy() for x in (fit, whole))
    np.testing.assert_allclose(lp, lp_whole[:, :5], rtol=1e-9)


def test_bad_input_opens_no_bar(capsys):
    with pytest.raises(ValueError, match="not an integer"):
        bn.fit(V + 0.5, small.model("poisson"), SHORT)
    assert capsys.readouterr().err == ""


# -- work that fits more than once ----------------------------------------------------------------


def test_a_sweep_has_one_bar(capsys, opened):
    bn.select_rank(V, [1, 2], method=bn.MAP(n_init=2), n_replicates=19, n_folds=2)
    err = capsys.readouterr().err
    assert len(opened) == 1
    assert stages(err) == ["rank 1", "rank 2", "components that ARD keeps"]
    assert "\n" not in err


@pytest.mark.numpyro_promotion("rank")
@pytest.mark.filterwarnings("ignore")
def test_refits_have_one_bar(capsys, opened, monkeypatch):
    fits = dict.fromkeys(("a", "b"), small.fitted("poisson", "svi"))
    bn.kfold(V, small.model("poisson"), SVI, n_folds=2)
    assert stages(capsys.readouterr().err) == ["refits"]
    assert len(opened) == 1
    opened.clear()
    bn.compare(fits, "waic")
    assert capsys.readouterr().err == ""  # quick work is not worth a bar
    monkeypatch.setattr("bayesnmf.comparison.compare.DELAY", 0)
    bn.compare(fits, "kfold", n_folds=2)
    assert stages(capsys.readouterr().err) == ["a", "b"]
    assert len(opened) == 1


def test_nothing_is_shown_where_it_is_not_wanted(capsys, opened):
    bn.fit(V, small.model("poisson"), SHORT, progress=False)
    bn.select_rank(V, [1], method=bn.MAP(n_init=2), n_replicates=19, n_folds=2, progress=False)
    assert capsys.readouterr().err == ""
    assert opened == []


# -- the bar itself -------------------------------------------------------------------------------


def test_nested_work_is_a_note_on_the_bar(capsys, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_IN_FILES", 0)
    with showing(True) as outer:
        outer.stage("rank 3", 2, done=1)
        with showing(True) as inner:
            assert isinstance(inner, Part)
            inner.stage("warm-up", 300)
            inner.advance(100)
            inner.note("acceptance 0.80")
        with showing(False) as silent, showing(True) as still_silent:
            assert isinstance(silent, Silent)
            assert isinstance(still_silent, Silent)
    err = capsys.readouterr().err
    assert "rank 3:  50%" in err
    assert "1/2" in err
    assert "warm-up 100/300, acceptance 0.80" in err


def test_a_file_gets_few_lines(capsys):
    with showing(True) as shown:
        for step in shown.over(range(3000), "steps"):
            shown.note(f"step {step}")
    err = capsys.readouterr().err
    assert err.count("\r") <= 4
    assert "\n" not in err


def test_a_stage_starts_its_own_count(capsys, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_IN_FILES", 0)
    bar = Bar()
    bar.stage("warm-up", 300)
    bar.stage("warm-up", 300, 275)
    bar.stage("sampling", 300, 0)
    bar.stage("sampling", 300, 25)
    bar.close()
    looks = capsys.readouterr().err.split("\r")
    counts = [x.groups() for x in (re.match(r"(\S+):.* (\d+)/300", look) for look in looks) if x]
    assert counts[0] == ("warm-up", "0")
    assert ("warm-up", "275") in counts
    assert counts[-1] == ("sampling", "25")


def test_a_delay_shows_late_work_at_its_count(capsys):
    bar = Bar(delay=0.05)
    bar.stage("densities", 3)
    bar.advance()
    assert capsys.readouterr().err == ""
    time.sleep(0.06)
    bar.advance()
    assert "2/3" in capsys.readouterr().err
    bar.close()
