"""The demonstration: intervals, convergence and a plot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.command import run

import bayesnmf as bn
from bayesnmf.cli import demo
from bayesnmf.data import Matrix
from bayesnmf.methods import Draws
from bayesnmf.posterior.assembly import assemble
from bayesnmf.posterior.result import Fit
from bayesnmf.posterior.verdict import finished
from bayesnmf.predictive import blocks as row_blocks

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def signatures(monkeypatch) -> Fit:
    """Replace the demonstration's fit by draws that cost nothing."""
    rng = np.random.default_rng(0)
    matrix = Matrix.of(bn.datasets.breast21())
    W = rng.gamma(1.0, 10.0, (2, 20, 21, 1)) * [8.0, 4.0, 2.0, 1.0]
    sites = {"W": W, "H": rng.dirichlet(np.ones(96), (2, 20, 4))}
    draws = Draws(sites, {"lp": rng.normal(size=(2, 20))}, None, "made up")
    model = bn.NMF(4).resolve(matrix)
    result = finished(assemble(draws, model, matrix, {"method": "mcmc"}), model)
    monkeypatch.setattr(demo, "fit_signatures", lambda progress: result)
    table = pd.DataFrame(
        {
            "elpd": [-10.0, -12.5],
            "elpd_diff": [0.0, -2.5],
            "dse": [0.0, 0.7],
            "bad_k": [0.01, 0.02],
        },
        ["negative binomial", "poisson"],
    )
    monkeypatch.setattr(row_blocks, "MAX_CALIBRATED", 50)  # of the report's checks
    monkeypatch.setattr(demo, "compare_noise", lambda fit, progress: table)
    monkeypatch.setattr(demo, "choose_rank", lambda progress: "Rank 3: made up")
    return result


def test_demo_reports_intervals_convergence_and_plot(signatures, tmp_path):
    image = tmp_path / "signatures.png"
    shown = run("demo", "--out", image)
    assert (shown.status, shown.err) == (0, "")
    assert "21 tumours x 96 channels, 183,916 mutations" in shown.out
    blocks = shown.out.split("\ncomponent ")[1:]
    assert len(blocks) == 4
    for block in blocks:
        assert block.count("share of ") == demo.N_LEADING
        assert block.count(" to ") >= demo.N_LEADING + 2
    assert bn.check(signatures).message in shown.out
    assert "(elpd) is\nhigher by 2, with a standard error of 1." in shown.out
    assert shown.out.index("Step 1 of 3") < shown.out.index("Step 2 of 3")
    assert "Rank 3: made up\n" in shown.out
    page = image.with_suffix(".html")
    assert f"Plot of the components: {image}\nReport, for a browser: {page}\n" in shown.out
    assert "Comparison of models" in page.read_text(encoding="utf-8")
    assert image.read_bytes().startswith(PNG)


def test_demo_gives_means_and_intervals_of_the_largest_weights(signatures):
    H = signatures.tree["posterior/H"].to_numpy()[:, :, 0].reshape(-1, 96)
    top = H.mean(axis=0).argmax()
    low, high = np.quantile(H[:, top], (0.05, 0.95))
    name = signatures.H["column"].values[top]
    line = next(x for x in demo.components_text(signatures).splitlines() if "share of" in x)
    assert line.split() == [
        "share",
        "of",
        name,
        f"{H[:, top].mean():.3f}",
        f"{low:.3f}",
        "to",
        f"{high:.3f}",
    ]
