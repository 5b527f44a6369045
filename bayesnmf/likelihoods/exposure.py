"""Exposure: a known multiplier of every cell's mean, written once for all likelihoods with a scale."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesnmf.data import AnyMatrix

if TYPE_CHECKING:
    from bayesnmf.likelihoods.base import Likelihood

#: Functions of a cell, with the power of the exposure by which the chain rule multiplies them.
POWERS = {
    "distribution": 0,
    "log_density": 0,
    "log_density_change": 0,
    "mean_terms": 0,
    "varying_terms": 0,
    "log_mass": 0,
    "score": 1,
    "score_parts": 1,
    "fisher_information": 2,
    "curvature": 2,
}


#: What such a function calls the mean, and a change of it.
MEANS = ("mean", "step")


def with_exposure[L: type[Likelihood]](cls: L) -> L:
    """Give a likelihood an exposure: the expected value of a cell becomes ``exposure * WH``.

    A class decorator. The class has a field and a parameter `exposure`, and is written as if there
    were none: its functions of a cell are those of the expected value. Here they learn a further
    argument `exposure`, E. A function ``f(v, mean)`` becomes ``f(v, E mean)``, a first derivative
    ``E f(v, E mean)`` and a second one ``E**2 f(v, E mean)``. Where no exposure is given, the
    function of the class is called as it is.

    What the class inherits stays as it is: the defaults of :class:`Likelihood` call the functions
    above, and hand parameters on.

    Examples
    --------
    >>> from bayesnmf.likelihoods import Gamma
    >>> float(Gamma().score(4.0, 1.0, shape=3.0, exposure=2.0))  # 2 * score(4, 2)
    3.0
    """
    own = {name: vars(cls)[name] for name in POWERS if name in vars(cls)}
    changes: dict[str, Callable[..., Any]] = {
        name: _of_expected(function, POWERS[name]) for name, function in own.items()
    }
    changes |= {
        "saturated": _without_exposure(cls.saturated),
        "crude_mean": _crude_mean(cls.crude_mean),
        "typical_mean": _typical_mean(cls.typical_mean),
    }
    if "simulate" in vars(cls):
        changes["simulate"] = _simulate(cls.simulate)
    for name, function in changes.items():
        setattr(cls, name, function)
    return cls


def is_along_one_side(exposure: Any) -> bool:
    """Return whether an exposure is one number, or one a row, or one a column.

    Examples
    --------
    >>> [is_along_one_side(x) for x in (None, 2.0, [1.0, 2.0], [[1.0], [2.0]], np.ones((2, 2)))]
    [True, True, True, True, False]
    """
    return np.ndim(exposure) < 2 or min(np.shape(exposure)) == 1


def _of_expected(function: Callable[..., Any], power: int) -> Callable[..., Any]:
    """Return a function of the mean, made of one of the expected value."""
    signature = inspect.signature(function)

    @wraps(function)
    def exposed(*arguments: Any, exposure: Any = None, **parameters: Any) -> Any:
        if exposure is None:
            return function(*arguments, **parameters)
        given = signature.bind(*arguments, **parameters)
        for name in MEANS:
            if name in given.arguments:
                given.arguments[name] = exposure * given.arguments[name]
        result = function(*given.args, **given.kwargs)
        for _ in range(power):
            result = (
                tuple(exposure * part for part in result)
                if isinstance(result, tuple)
                else exposure * result
            )
        return result

    return exposed


def _without_exposure(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the density of a perfect fit, which expects the value itself whatever the exposure."""

    @wraps(function)
    def saturated(self: Any, v: Any, *, exposure: Any = None, **parameters: Any) -> Any:
        return function(self, v, **parameters)

    return saturated


def _crude_mean(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def crude_mean(self: Any, values: np.ndarray) -> np.ndarray:
        means: np.ndarray = function(self, values)
        return means if self.exposure is None else means / self.exposure

    return crude_mean


def _typical_mean(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that divides the mean of V by the mean exposure of its observed cells."""

    @wraps(function)
    def typical_mean(self: Any, matrix: AnyMatrix) -> float:
        mean: float = function(self, matrix)
        if self.exposure is None:
            return mean
        if not np.ndim(self.exposure):
            return mean / float(self.exposure)
        return mean * matrix.n_observed / matrix.observed_sum(np.asarray(self.exposure, float))

    return typical_mean


def _simulate(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def simulate(self: Any, rng: np.random.Generator, mean: np.ndarray, level: float) -> np.ndarray:
        expected = mean if self.exposure is None else self.exposure * mean
        values: np.ndarray = function(self, rng, expected, level)
        return values

    return simulate
