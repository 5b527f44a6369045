"""Options of XLA for single programs, where the defaults do not suit them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

#: For what runs a few times only: half the time to compile.
QUICK = {"xla_backend_optimization_level": "0"}
#: For what runs in as many threads as there are cores: XLA hands sums of small arrays to a library that shares each
#: out over threads, which takes several times as long there as a plain loop.
IN_THREADS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}


class Compiled:
    """A function under ``jax.jit`` with options of XLA; those that this version does not know are left out.

    JAX refuses such options of a function that is called by another one under ``jax.jit``.

    Parameters
    ----------
    function : callable
    options : dict
        Of XLA.
    static_argnames : str or sequence of str, optional
        Of ``jax.jit``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, str],
        static_argnames: str | tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self._options, self._static = options, static_argnames
        self._compiled: Any = None

    @property
    def jitted(self) -> Any:
        """The function under ``jax.jit``; options are tried out when it is first needed, not when it is defined."""
        if self._compiled is None:
            known = {name: x for name, x in self._options.items() if _is_known(name, x)}
            self._compiled = jax.jit(
                self.function, static_argnames=self._static, compiler_options=known or None
            )
        return self._compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the compiled function."""
        return self.jitted(*args, **kwargs)


@cache
def _is_known(name: str, value: str) -> bool:
    try:
        jax.jit(lambda: 0.0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
