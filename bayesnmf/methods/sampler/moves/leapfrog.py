"""Leapfrog steps of a Hamiltonian trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bayesnmf.arrays import Array

#: A function of arrays, or of tuples of them.
type Field = Callable[[Any], Any]


def leapfrog(
    x: Any, momentum: Any, force: Field, velocity: Field, step: Array, n_steps: int
) -> tuple[Any, Any]:
    """Return position and momentum after some steps; half steps of the momentum at both ends.

    Whatever functions stand for force and velocity, volume is preserved; the way can be retraced where
    ``velocity(-p) = -velocity(p)``, as rounded products are. Position and momentum are arrays or tuples of them.

    Examples
    --------
    >>> x, p = jnp.ones(2), jnp.zeros(2)
    >>> end = leapfrog(x, p, lambda x: -x, lambda p: p, jnp.asarray(0.1), 10)
    >>> back = leapfrog(end[0], -end[1], lambda x: -x, lambda p: p, jnp.asarray(0.1), 10)
    >>> bool(jnp.allclose(back[0], x))
    True
    """

    # One loop over forces, the first and the last of which count half: what is written once is compiled once.
    def leap(i: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        x, momentum = state
        at_end = (i == 0) | (i == n_steps)
        momentum = _shifted(momentum, jnp.where(at_end, 0.5, 1.0) * step, force(x))
        return _shifted(x, jnp.where(i == n_steps, 0.0, step), velocity(momentum)), momentum

    end: tuple[Any, Any] = lax.fori_loop(0, n_steps + 1, leap, (x, momentum))
    return end


def _shifted(x: Any, step: Array, by: Any) -> Any:
    return jax.tree.map(lambda x, by: x + step.astype(x.dtype) * by, x, by)
