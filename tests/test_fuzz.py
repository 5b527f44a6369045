"""A small number of cases of each program of ``python -m tests.fuzz``."""

from __future__ import annotations

import sys

import pytest
from fuzz import kills, saved


def test_damaged_results_are_refused_or_whole():
    assert saved.run(16, seed=1) == []


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="Windows cannot fork")
def test_a_kill_while_saving_loses_nothing():
    assert kills.run(2, seed=1) == []
