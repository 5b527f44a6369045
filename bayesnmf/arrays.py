"""Array types, and frozen dataclasses as JAX pytrees, so that compiled functions take models as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import DTypeLike

__all__ = [
    "Array",
    "ArrayLike",
    "Parameter",
    "floor_of",
    "off_zero",
    "positive",
    "pytree",
    "record",
    "transposed",
]


def pytree[T](*, static: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as a pytree whose leaves are its fields.

    Numbers and arrays become traced arguments: two models that differ only in those share one
    compilation, and a field left at None is part of the structure. JAX rebuilds instances
    around tracers, so the constructor and its validation are bypassed.

    Parameters
    ----------
    static : tuple of str
        Fields that select code rather than hold data.
    """

    def register(cls: type[T]) -> type[T]:
        names = tuple(f.name for f in fields(cls) if f.name not in static)  # type: ignore[arg-type]

        def flatten(instance: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            leaves = tuple(getattr(instance, name) for name in names)
            return leaves, tuple(getattr(instance, name) for name in static)

        def unflatten(meta: tuple[Any, ...], leaves: tuple[Any, ...]) -> T:
            values = (*zip(names, leaves, strict=True), *zip(static, meta, strict=True))
            return record(cls, **dict(values))

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        return cls

    return register


def record[T](cls: type[T], **values: Any) -> T:
    """Make an instance of a frozen dataclass of values that may be tracers: nothing is validated.

    Examples
    --------
    >>> from bayesnmf.priors import Gamma
    >>> record(Gamma, shape=1.0, rate=2)
    Gamma(shape=1.0, rate=2)
    """
    instance = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    return instance


#: A parameter of a likelihood, as compiled functions see it: one number for all cells, or an array.
type Parameter = Array | float


def positive(x: Array) -> Array:
    """Return `x` lifted to the smallest positive number, so that 0 / 0 becomes 0."""
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)


def transposed(x: Array) -> Array:
    """Return the transpose by NumPy: what is done once is not worth a program."""
    return cast(Array, np.asarray(x).T)


def floor_of(dtype: DTypeLike) -> float:
    """Return the least mean that the arithmetic works with: the root of the smallest positive number.

    Data that would need a smaller mean are refused by the likelihood.
    """
    return float(np.finfo(dtype).tiny ** 0.5)


def off_zero(x: Array) -> Array:
    """Return `x` lifted just above zero, so that logarithms and squared ratios stay finite."""
    return jnp.maximum(x, floor_of(x.dtype))
