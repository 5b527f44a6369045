"""Compiled programs on disk: a second process compiles nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import small

import bayesnmf as bn

PROGRAM = """
import sys
import jax, numpy as np, scipy.sparse
import bayesnmf as bn

V = np.array([[3.0, 1.0, 0.0], [1.0, 4.0, 2.0]])
V = scipy.sparse.csr_array(V) if sys.argv[2] == "sparse" else V
first = bn.fit(V, bn.NMF(1), bn.MAP(n_init=1), progress=False)  # JAX has looked for a cache before
bn.enable_compilation_cache(sys.argv[1])
found = {"hits": 0, "misses": 0}

def listen(event, **_):
    for name in found:
        found[name] += event == f"/jax/compilation_cache/cache_{name}"

jax.monitoring.register_event_listener(listen)
bn.fit(V, bn.NMF(2), bn.MAP(n_init=1), progress=False)
print(found["hits"], found["misses"])
"""


@pytest.mark.parametrize("storage", small.short_of(["dense", "sparse"], "sparse"))
def test_a_second_process_compiles_nothing(tmp_path, storage):
    counts = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, tmp_path / "cache", storage],
            capture_output=True,
            text=True,
            check=True,
        )
        counts.append([int(x) for x in run.stdout.split()])
    (_, compiled), (read, missed) = counts
    assert compiled > 0
    assert missed == 0
    assert read >= compiled


def test_the_command_line_keeps_one(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "V.csv").write_text("a,b,c\n3,1,0\n1,4,2\n")
    command = [sys.executable, "-m", "bayesnmf", "fit", "V.csv", "--rank", "1", "--method", "map"]
    subprocess.run([*command, "--out", "fit.nc"], cwd=tmp_path, capture_output=True, check=True)
    assert any((tmp_path / "cache").iterdir())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        bn.enable_compilation_cache(tmp_path / "file" / "cache")
