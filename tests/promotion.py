"""How JAX promotes dtypes and ranks, in every thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def promotion(*, dtype: str | None = None, rank: str | None = None) -> Iterator[None]:
    """Set JAX's ``numpy_dtype_promotion`` and ``numpy_rank_promotion`` for a while; None leaves one.

    JAX's own context managers hold for one thread. Chains run in several, and what is compiled for one
    setting is compiled anew for another.
    """
    wanted = {"jax_numpy_dtype_promotion": dtype, "jax_numpy_rank_promotion": rank}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    before = {name: getattr(jax.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
