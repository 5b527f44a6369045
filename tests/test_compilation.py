"""Options of XLA for single programs."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from bayesnmf.compilation import IN_THREADS, QUICK, Compiled


@pytest.mark.parametrize("options", [QUICK, IN_THREADS, {"xla_no_such_option": "1"}])
def test_options_change_no_result_and_unknown_ones_are_left_out(options):
    @partial(Compiled, options=options, static_argnames="power")
    def raised(x, power):
        return jnp.sum(x**power)

    assert float(raised(jnp.arange(3.0), power=2)) == 5.0
    assert float(raised.function(jnp.arange(3.0), power=2)) == 5.0


def test_known_options_reach_the_compiler(monkeypatch):
    given, jit = [], jax.jit
    monkeypatch.setattr(
        jax, "jit", lambda *args, **kwargs: given.append(kwargs) or jit(*args, **kwargs)
    )
    assert Compiled(lambda x: x + 1, {**QUICK, "xla_no_such_option": "1"})(1) == 2
    assert given[-1]["compiler_options"] == QUICK


def test_options_are_tried_when_the_function_is_first_called():
    """So that importing the package starts no device."""
    function = Compiled(lambda x: x, QUICK)
    assert function._compiled is None
    assert function.jitted is function.jitted
