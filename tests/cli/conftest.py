"""Data and a result for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from cli.command import run

COUNTS = "gene,alpha,beta,gamma,delta\ns1,3,0,5,1\ns2,10,2,8,4\ns3,0,1,,7\ns4,6,3,2,9\ns5,1,1,4,2\n"


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return path


@pytest.fixture
def map_file(counts: Path) -> Path:
    """Return the file of a MAP estimate."""
    path = counts.with_name("map.nc")
    assert run("fit", counts, "--rank", 2, "--method", "map", "--out", path, "--quiet").status == 0
    return path
