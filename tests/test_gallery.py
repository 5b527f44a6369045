"""The gallery: what its scripts find in real matrices, against what is known of them."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

import bayesnmf as bn

ROOT = Path(__file__).resolve().parent.parent

# Real matrices are larger than those of other tests, so optimised compilation saves time.
pytestmark = [pytest.mark.statistical, pytest.mark.long, pytest.mark.usefixtures("optimised")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a script and gives its names; skips where its data are missing."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    plt.switch_backend("agg")

    def script(name: str, data: str) -> dict[str, Any]:
        if not (ROOT.parent / "shared" / "data" / data).exists():
            pytest.skip(f"../shared/data/{data} is missing")
        return runpy.run_path(str(ROOT / "examples" / name))

    yield script
    plt.close("all")


def test_leukaemia_patients_fall_into_the_published_groups(run):
    found = run("leukaemia.py", "all_aml")
    assert found["outside"][2] <= 1
    assert found["outside"][3] <= 2
    assert len(found["figure"]().axes) == 2
    groups, misplaced = np.array(list("aaabbc")), found["misplaced"]
    assert misplaced(np.array([2, 2, 2, 0, 0, 1]), groups) == 0
    assert misplaced(np.array([2, 2, 0, 0, 0, 1]), groups) == 1
    assert misplaced(np.zeros(6, int), groups) == 3


def test_a_spectrogram_holds_three_notes_and_a_hammer(run):
    found = run("piano.py", "piano")
    assert set(found["found"]) == {"C4", "D4", "E4"}
    for note, k in found["found"].items():
        # Columns are 62.5 Hz apart; the centre of mass of a peak is precise to a tenth of that.
        assert abs(found["pitch"](found["H"][k]) - found["NOTES"][note]) < 6.0
    assert found["widths"][found["hammer"]] > 2 * sorted(found["widths"])[-2]
    assert len(found["figure"]().axes) == 8


def test_news_hold_the_known_topics(run, monkeypatch):
    # The script's ten starts take a minute; one start of this seed finds the topics too.
    fit = partial(bn.fit, method=bn.MAP(n_init=1), seed=3, progress=False)
    monkeypatch.setattr(bn, "fit", lambda V, model, *_, **__: fit(V, model))
    found = run("news.py", "reuters")
    assert None not in found["named"].values()
    assert len(set(found["named"].values())) == 5
    assert len(found["figure"]().axes) == 5


def test_swimmers_consist_of_seventeen_parts(run):
    found = run("swimmer.py", "swimmer")
    assert sorted(map(len, found["truth"])) == [3] * 16 + [14]
    assert found["recovered"] == 17
    assert len(found["figure"]().axes) == 20
