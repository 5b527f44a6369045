"""The decorator that makes a class a likelihood: how users define their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import cast

from bayesnmf.arrays import pytree
from bayesnmf.likelihoods.base import Likelihood


def likelihood[L: type[Likelihood]](*, static: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Make a class a likelihood that works everywhere: in fits, comparisons, checks, reports.

    A decorator. The class becomes a frozen dataclass, whose fields are what the user may fix, and
    a JAX pytree, so that compiled functions take it as an argument. It must derive from
    :class:`Likelihood` and give its `name`, its `base_measure`, :meth:`~Likelihood.distribution`
    and :meth:`~Likelihood.fisher_information`; everything else has a default.

    Parameters
    ----------
    static : tuple of str
        Fields that select code, such as the name of a link, rather than hold numbers.

    Raises
    ------
    TypeError
        When the class does not derive from Likelihood, or lacks something; the message says what.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpyro.distributions as dist
    >>> @likelihood()
    ... class Laplace(Likelihood):
    ...     scale: float = None
    ...     name, base_measure, parameters = "laplace", "lebesgue", ("scale",)
    ...     def distribution(self, mean, scale):
    ...         return dist.Laplace(mean, scale)
    ...     def fisher_information(self, v, mean, scale):
    ...         return jnp.broadcast_to(1.0 / scale**2, jnp.shape(mean))
    >>> float(Laplace(scale=2.0).score(3.0, 1.0, scale=2.0))
    0.5
    """

    def define(cls: L) -> L:
        if not (isinstance(cls, type) and issubclass(cls, Likelihood)):
            raise TypeError(f"{cls!r} must derive from bayesnmf.likelihoods.Likelihood")
        for name, valid in (("name", str), ("base_measure", str), ("parameters", tuple)):
            if not isinstance(getattr(cls, name, None), valid):
                raise TypeError(
                    f"the likelihood {cls.__name__} must set {name}, a {valid.__name__}"
                )
        if cls.base_measure not in ("counting", "lebesgue"):
            raise TypeError(
                f"base_measure of {cls.__name__} must be 'counting' for counts or 'lebesgue' for a "
                f"density, not {cls.base_measure!r}"
            )
        undefined = sorted(cls.__abstractmethods__)
        if undefined:
            raise TypeError(f"the likelihood {cls.__name__} must define {' and '.join(undefined)}")
        made = dataclass(frozen=True, eq=False)(cls)
        missing = set(cls.parameters) - {field.name for field in fields(made)}
        if missing:
            raise TypeError(
                f"the parameter {min(missing)!r} of {cls.__name__} must be a field: "
                f"{min(missing)}: float = None"
            )
        return cast(L, pytree(static=static)(made))

    return define
