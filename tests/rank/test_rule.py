"""The rule on tables written by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesnmf.rank.rule import add_differences, choose, explain, near_best, verdicts_of


def table(p: list[float], diff: list[float] | None = None, dse: list[float] | None = None, **more):
    n = len(p)
    columns = {
        "residual_p": p,
        "elpd_diff": diff or [np.nan] * n,
        "dse": dse or [np.nan] * n,
        "waic": np.nan,
        "elbo": np.nan,
        "stability": np.nan,
        "bad_k": np.nan,
        "dispersion": 1.0,
        "dispersion_p": 0.5,
        "converged": 1.0,
    }
    columns["elpd"] = columns["elpd_diff"]
    return pd.DataFrame({**columns, **more}, index=pd.Index(range(2, 2 + n), name="rank"))


@pytest.mark.parametrize(
    ("p", "diff", "dse", "best"),
    [
        ([0.01, 0.2, 0.9], [-50.0, -3.0, 0.0], [5.0, 2.0, 0.0], 4),  # 3 predicts worse
        ([0.01, 0.2, 0.9], [-50.0, -1.0, 0.0], [5.0, 2.0, 0.0], 3),  # 3 is as good but for noise
        ([0.01, 0.01, 0.9], [-50.0, -1.0, 0.0], [5.0, 2.0, 0.0], 4),  # 3 leaves structure
        ([0.01, 0.05, 0.05], [-50.0, -1.0, 0.0], [5.0, 2.0, 0.0], 3),  # none passes: elpd decides
        ([0.01, 0.01, 0.9], [-1.0, 0.0, -40.0], [2.0, 0.0, 5.0], 2),  # they disagree: elpd decides
        ([0.01, 0.3, 0.9], None, None, 3),  # no elpd: the residual check decides
        ([0.01, 0.01, 0.01], None, None, 4),  # no criterion: the largest
    ],
)
def test_smallest_that_passes_and_predicts_as_well(p, diff, dse, best):
    assert choose(table(p, diff, dse)) == best


def test_differences_are_those_of_paired_cells():
    rng = np.random.default_rng(0)
    elpd_i = rng.normal(size=(3, 50)) + rng.normal(scale=100.0, size=50)  # hard cells are shared
    wide = pd.DataFrame({"elpd": elpd_i.sum(axis=1), "se": 1.0, "waic": 0.0}, index=[1, 2, 3])
    added = add_differences(wide, elpd_i)
    assert added.columns.tolist() == ["elpd", "se", "elpd_diff", "dse", "waic"]
    best = int(np.argmax(elpd_i.sum(axis=1)))
    for i in range(3):
        pairs = [float(a - b) for a, b in zip(elpd_i[i], elpd_i[best], strict=True)]
        assert added["elpd_diff"].iloc[i] == pytest.approx(sum(pairs))
        assert added["dse"].iloc[i] == pytest.approx(np.sqrt(50) * np.std(pairs, ddof=1), abs=1e-12)
    assert near_best(added)[best]
    unknown = add_differences(wide.assign(elpd=np.nan), np.full((3, 50), np.nan))
    assert unknown[["elpd_diff", "dse"]].isna().all(axis=None)
    assert add_differences(wide, elpd_i[:, :1])["dse"].tolist() == [0.0, 0.0, 0.0]


def test_each_criterion_has_its_own_verdict():
    data = table(
        [0.01, 0.2, 0.9],
        [-50.0, -3.0, 0.0],
        [5.0, 2.0, 0.0],
        waic=[1.0, 3.0, 2.0],
        stability=[0.99, 0.95, 0.5],
    )
    assert verdicts_of(data) == {
        "residual check": 3,
        "elpd": 4,
        "elpd, one standard error": 4,
        "waic": 3,
        "stability": 3,
    }
    nothing = verdicts_of(table([0.01, 0.01]))
    assert nothing == {
        "residual check": None,
        "elpd": None,
        "elpd, one standard error": None,
    }


def test_disagreement_and_doubts_are_said():
    data = table(
        [0.01, 0.2, 0.9],
        [-50.0, -3.0, 0.0],
        [5.0, 2.0, 0.0],
        waic=[1.0, 3.0, 2.0],
        stability=[0.99, 0.95, 0.5],
        bad_k=[0.0, 0.01, 0.2],
        dispersion_p=0.01,
        dispersion=1.7,
        converged=[1.0, 1.0, 0.0],
    )
    said = explain(data, choose(data), "poisson", ["A note", "A note", ""], 9)
    for part in (
        "Rank 4: the smallest that passes the residual check",
        "It is the largest rank asked for, so the best one may be higher",
        "alone would choose otherwise: residual check 3, waic 3",
        "Starts or chains disagree about the components at that rank (matched cosine 0.50)",
        "Overdispersed at that rank (dispersion 1.7, p = 0.01)",
        "likelihood='negative_binomial'",
        "20% of the cells have a bad Pareto k",
        "did not converge: rank 4",
    ):
        assert part in said
    assert said.count("A note") == 1
    assert "a likelihood with more noise" in explain(data, 4, "gaussian", [], 9)


def test_reasons_for_the_other_choices():
    none = table([0.01, 0.01, 0.01], [-50.0, 0.0, -1.0], [5.0, 0.0, 1.0])
    assert "no rank passes the residual check" in explain(none, 3, "poisson", [], 9)
    assert "the largest asked for: none passes" in explain(table([0.01, 0.01]), 3, "poisson", [], 9)
    assert "the only one asked for; it fails" in explain(table([0.01]), 2, "poisson", [], 9)
    low = table([0.3, 0.3], [0.0, -9.0], [0.0, 2.0])
    assert "so the best one may be lower" in explain(low, 2, "poisson", [], 9)


def test_what_passes_but_predicts_worse_is_named():
    data = table([0.01, 0.01, 0.9], [0.0, -20.0, -40.0], [0.0, 5.0, 6.0])
    said = explain(data, choose(data), "poisson", [], 9)
    assert "Rank 2: the smallest within one standard error of the best elpd. It fails the" in said
    assert "which rank 4 passes, whose elpd is lower by 40.0 ± 6.0: look at both" in said
    assert "no rank passes" not in said


def test_no_more_is_asked_for_than_there_is():
    data = table([0.01, 0.01, 0.9], [-50.0, -9.0, 0.0], [5.0, 2.0, 0.0])
    assert "ask for more" in explain(data, 4, "poisson", [], 5)
    assert "ask for more" not in explain(data, 4, "poisson", [], 4)
