"""Options of XLA for single programs, where the defaults do not suit them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import Any

import jax

#: For what runs a few times only: half the time to compile.
QUICK = {"xla_backend_optimization_level": "0"}
#: For what runs in as many threads as there are cores: XLA hands sums of small arrays to a library that shares each
#: out over threads, which takes several times as long there as a plain loop.
IN_THREADS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}


def compile_beside(*lowerings: Callable[[], Any]) -> list[Thread]:
    """Compile programs in threads of their own, while the caller does something else.

    Parameters
    ----------
    *lowerings : callable
        Each returns a lowered program, as ``jax.jit(f).lower(...)`` does.

    Returns
    -------
    list of threading.Thread
        Join them before the programs are called, which would compile them again.
    """
    wide = jax.config.jax_enable_x64

    def compile_it(lower: Callable[[], Any]) -> None:
        # What is wrong here is wrong again when the program is called, where it can be told.
        with suppress(Exception), jax.enable_x64(wide):
            lower().compile()

    threads = [Thread(target=compile_it, args=(lower,)) for lower in lowerings]
    for thread in threads:
        thread.start()
    return threads


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
