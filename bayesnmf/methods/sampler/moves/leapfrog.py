"""Leapfrog steps of a Hamiltonian trajectory."""

from __future__ import annotations

from collections.abc import Callable

from jax import lax

from bayesnmf.arrays import Array

type Field = Callable[[Array], Array]


def leapfrog(
    x: Array, momentum: Array, force: Field, velocity: Field, step: Array, n_steps: int
) -> tuple[Array, Array]:
    """Return position and momentum after some steps; half steps of the momentum at both ends.

    Whatever functions stand for force and velocity, volume is preserved; the way can be retraced where
    ``velocity(-p) = -velocity(p)``, as rounded products are.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x, p = jnp.ones(2), jnp.zeros(2)
    >>> end = leapfrog(x, p, lambda x: -x, lambda p: p, jnp.asarray(0.1), 10)
    >>> back = leapfrog(end[0], -end[1], lambda x: -x, lambda p: p, jnp.asarray(0.1), 10)
    >>> bool(jnp.allclose(back[0], x))
    True
    """

    def leap(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, momentum = state
        x = x + step * velocity(momentum)
        return x, momentum + step * force(x)

    start = (x, momentum + 0.5 * step * force(x))
    x, momentum = lax.fori_loop(0, n_steps - 1, leap, start)
    x = x + step * velocity(momentum)
    return x, momentum + 0.5 * step * force(x)
