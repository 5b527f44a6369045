"""What every test shares: strict JAX promotion, a compilation cache, precision, real data."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

# Every core has its own worker, so no program needs to be compiled in several threads.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_parallel_codegen_split_count=1"
)

import jax
import pytest
from hypothesis import settings
from promotion import promotion

ROOT = Path(__file__).resolve().parent.parent
#: One line a memory map of this process, and the number of them that is taken for many.
MAPS, MAX_MAPS = Path("/proc/self/maps"), 20_000
TESTS = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "numpyro_promotion(kind): goes through a part of NumPyro that promotes implicitly: "
        "'dtype', the default, or 'rank'; lifts that strictness and keeps the other",
    )
    # The same examples in every run, and no verdict on how long a compilation takes.
    settings.register_profile("bayesnmf", derandomize=True, deadline=None)
    settings.load_profile("bayesnmf")
    # Shapes are small: compiling takes far longer than running, even for most long chains.
    jax.config.update("jax_disable_most_optimizations", True)
    # Compiled programs outlive the session, beside pytest's own cache.
    if getattr(config, "cache", None) is not None:
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
        # A run that is killed while writing leaves an entry that cannot be read: compile instead.
        for action in ("reading", "writing"):
            config.addinivalue_line(
                "filterwarnings", f"ignore:Error {action} persistent compilation cache entry"
            )


def pytest_collection_finish() -> None:
    """Keep the collector off the modules, which are many and stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def strict_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make JAX refuse implicit promotion of dtypes and of ranks.

    NumPyro's handlers, `Predictive` and `SVI` with `AutoNormal` pass under both. Its NUTS divides
    float by int arrays, and drawing from its guides adds dimensions: mark a test, class or module
    that runs them with ``pytest.mark.numpyro_promotion`` or ``.numpyro_promotion("rank")``.
    """
    marks = request.node.iter_markers("numpyro_promotion")
    lifted = {mark.args[0] if mark.args else "dtype" for mark in marks}
    with promotion(
        dtype="standard" if "dtype" in lifted else "strict",
        rank="allow" if "rank" in lifted else "raise",
    ):
        yield


@pytest.fixture(autouse=True)
def forget_compiled_programs() -> Iterator[None]:
    """Free compiled programs after a test when they are many, for the sake of Linux.

    Every one holds memory maps, of which a process may have 65,530; past that XLA crashes. What
    the next test needs again comes from the compilation cache on disk, though not its traces. Maps are
    counted after every tenth test, since that takes some milliseconds.
    """
    yield
    if next(TESTS) % 10 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MAX_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module")
def optimised() -> Iterator[None]:
    """Compile as users do: for modules that run longer than they compile."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute in double precision, as a fit of float64 data does."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real matrices, which lies beside the repository."""
    for folder in (ROOT.parent / "shared" / "data", ROOT / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip(
        f"the real matrices are not in {ROOT.parent.name}/shared/data, beside the repository"
    )
