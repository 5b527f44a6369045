"""Importing the package makes its names available, and does nothing else.

Each test starts a fresh interpreter, where nothing else has been imported or configured.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def imported() -> dict:
    """Return what a fresh interpreter saw before and after the import."""
    program = """
import json, os, sys, warnings
import jax
names = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
         "jax_debug_nans", "jax_platforms", "jax_compilation_cache_dir", "jax_default_matmul_precision",
         "jax_default_prng_impl", "jax_threefry_partitionable")
def state():
    return {"config": {name: str(getattr(jax.config, name)) for name in names},
            "filters": [str(f) for f in warnings.filters], "environment": dict(os.environ)}
before = state()
import numpyro, arviz_base  # what they do is theirs
between = state()
import bayesnmf
after = state()
print(json.dumps({"before": before, "between": between, "after": after,
                  "modules": sorted(sys.modules)}))
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_import_is_silent():
    done = run("import bayesnmf")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_import_configures_nothing(imported):
    assert imported["after"]["config"] == imported["before"]["config"]
    assert imported["after"] == imported["between"]


def test_the_import_starts_no_device():
    done = run(
        "import bayesnmf; from jax._src import xla_bridge; print(xla_bridge.backends_are_initialized())"
    )
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "matplotlib",
        "sklearn",
        "typer",
        "rich",
        "arviz_stats",
        "arviz_plots",
        "h5netcdf",
        "zarr",
        "pyarrow.parquet",
        "numba",
        "scipy.optimize",
        "scipy.stats",
        "hypothesis",
        "pytest",
    ],
)
def test_what_costs_time_is_imported_where_it_is_used(imported, module):
    assert module not in imported["modules"]


@pytest.mark.parametrize("first", ["arviz_base", "arviz"])
def test_arviz_may_be_imported_first(first):
    """ArviZ leaves a lazy `numpyro` behind; importing a submodule before it loses attributes."""
    done = run(f"""
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import {first}
import bayesnmf
import numpyro
# NUTS and guides reach for this one by its full path.
assert numpyro.distributions.distribution.Unit is numpyro.distributions.Unit
""")
    assert done.returncode == 0, done.stderr


def test_fitting_changes_no_configuration():
    done = run("""
import jax
import bayesnmf as bn
bn.fit([[1.0, 2.0], [3.0, 5.0]], bn.NMF(1), "map", progress=False)
print(jax.config.jax_enable_x64, jax.numpy.ones(1).dtype)
""")
    assert done.stdout.split() == ["False", "float32"], done.stderr
    assert done.stderr == ""  # no progress bar either


def test_every_public_name_is_there():
    import bayesnmf

    assert sorted(bayesnmf.__all__) == sorted(set(bayesnmf.__all__))
    for name in bayesnmf.__all__:
        assert getattr(bayesnmf, name).__doc__
