"""Examples: their functions, and the short scripts as a whole, on real matrices."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bayesnmf as bn

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


# -- whole scripts ------------------------------------------------------------------------------


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a script and gives its names; skips where its data are missing."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run(name: str, data: str) -> dict[str, Any]:
        if not (shared_data / data).exists():
            pytest.skip(f"{data} is not in {shared_data.name}")
        return runpy.run_path(str(EXAMPLES / name))

    return run


@pytest.mark.data
def test_signatures_are_found_matched_and_refitted(script, monkeypatch):
    short = bn.MCMC(num_warmup=50, num_samples=50, num_chains=2)
    monkeypatch.setattr(bn, "MCMC", lambda **_: short)  # the script's 2000 draws take long
    found = script("match_signatures.py", "cosmic")
    assert found["found"].assignment["reference"].to_list() == ["SBS2", "SBS3", "SBS1", "SBS13"]
    assert found["named"].W["component"].to_numpy().tolist() == ["SBS2", "SBS3", "SBS1", "SBS13"]
    W, total = found["refit"].W.to_pandas(), found["V"].sum(axis=1)
    assert W.columns.tolist() == found["ACTIVE"]
    np.testing.assert_allclose(W.sum(axis=1), total, rtol=0.1)
    # PD4120a is the hypermutated genome of the paper: nearly all of it is the work of APOBEC.
    assert W.loc["PD4120a", ["SBS2", "SBS13"]].sum() > 0.9 * total["PD4120a"]
    assert set(found["nearest"]["reference"]) == {"SBS2", "SBS13"}


@pytest.mark.data
def test_single_cells_fall_into_their_kinds(script):
    found = script("single_cells.py", "pbmc_small")
    assert len(set(found["named"].values())) == len(found["MARKERS"])
    fit, adata = found["fit"], found["adata"]
    np.testing.assert_array_equal(adata.obsm["X_nmf"], fit.W)
    assert adata.varm["nmf"].shape == (230, 4)
    assert set(fit.W["component"].to_numpy()) == set(found["MARKERS"])


@pytest.mark.data
@pytest.mark.long
def test_scikit_learn_finds_a_rank_and_topics(script):
    found = script("scikit_learn.py", "reuters")
    assert found["search"].best_params_ == {"n_components": 3}
    assert found["W"].shape == (395, 4)
    topics = [set(topic) for topic in found["topics"]]
    for words in ({"pope", "vatican"}, {"charles", "prince"}):
        assert any(words <= topic for topic in topics)
