"""The functions of the examples that need neither the real matrices nor a fit."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def why_poisson(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / "why_poisson.py")))


def test_variance_by_mean_finds_the_law_of_poisson_counts(why_poisson: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    mean = rng.uniform(5.0, 500.0, (200, 100))
    V = rng.poisson(mean).astype(float)
    V[:20, :10] = np.nan
    means, variances = why_poisson.variance_by_mean(V, mean, rank=0)
    # 12 bins of 1,650 cells: a variance has a relative standard error of 3.5 %. Five of them.
    np.testing.assert_allclose(variances, means, rtol=0.18)
    assert np.all(np.diff(means) > 0)


def test_variance_by_mean_allows_for_parameters(why_poisson: SimpleNamespace) -> None:
    V, mean = np.full((6, 4), 3.0), np.full((6, 4), 1.0)
    _, variances = why_poisson.variance_by_mean(V, mean, rank=2, n_bins=3)
    np.testing.assert_allclose(variances, 4.0 / (1.0 - 2 * (6 + 4 - 2) / 24))


def test_a_missing_file_ends_the_script_with_a_sentence(why_poisson: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match=r"nothing\.csv is not in \.\./shared/data"):
        why_poisson.find("nothing.csv")


def test_zeros_of_breast21_are_missing(why_poisson: SimpleNamespace) -> None:
    V = why_poisson.breast21()
    assert np.isnan(V).sum() == 3
    assert np.nanmin(V) == 1.0
