"""A small number of the random matrices and damaged files that `fuzz.matrices` makes."""

from __future__ import annotations

import numpy as np
from fuzz import matrices


def test_random_matrices_end_in_a_fit_or_a_sentence():
    assert matrices.matrices(80, seed=1) == []


def test_damaged_files_end_in_data_or_a_sentence():
    assert matrices.damaged_files(30, seed=1) == []


def test_what_ends_otherwise_is_reported(monkeypatch):
    """Negative controls: without them the absence of failures proves nothing."""

    def fail(*_: object) -> None:
        raise KeyError("V")

    monkeypatch.setattr(matrices.Matrix, "of", fail)
    monkeypatch.setattr(matrices.fitting, "matrix_for", fail)
    assert all(": KeyError: 'V'" in fault for fault in matrices.matrices(3, seed=1))
    assert len(matrices.matrices(3, seed=1)) == 3
    crash = "import os, sys\nif sys.argv[1].endswith('b'):\n    os._exit(7)\nprint('well')\n"
    monkeypatch.setattr(matrices, "_READER", crash)
    found = list(matrices._read_apart([matrices.Path("b"), matrices.Path("a")]))
    assert found == [(matrices.Path("b"), "the process ended with status 7: ''")]
    monkeypatch.setattr(matrices, "_READER", "while True: pass")
    monkeypatch.setattr(matrices, "LIMIT", 0.2)
    found = list(matrices._read_apart([matrices.Path("a")]))
    assert found == [(matrices.Path("a"), "was not read within 0 seconds")]


def test_a_case_can_be_made_again():
    cases = [matrices.random_matrix(np.random.default_rng((1, 7)))[1] for _ in range(2)]
    assert cases[0] == cases[1]
