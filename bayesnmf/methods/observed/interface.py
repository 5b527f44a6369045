"""What an algorithm may ask of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bayesnmf.likelihoods._base import Array
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

type Parameters = dict[str, Array]


class Improved(NamedTuple):
    """A factor after one step, with what the step learned of the point that it left.

    Parameters
    ----------
    x : array of shape (component, row)
        The factor after the step; the objective is no higher.
    slope : array of shape (component, row)
        Gradient of the objective in the factor, before the step or as its entries were visited.
    log_density : scalar
        Log density of the data before the step, but for terms that no unknown enters.
    """

    x: Array
    slope: Array
    log_density: Array


class Observed(Protocol):
    """Data of one model, in some storage.

    In every method `x` is the factor in question, `y` the other, and `axis` the axis of V along
    which `y` runs: 1 when x is W, 0 when x is H.
    """

    @property
    def dtype(self) -> Any:
        """Floating-point type."""

    @property
    def n_cells(self) -> Array:
        """Number of observed cells."""

    def rounding(self, model: NMF, parameters: Parameters) -> Array:
        """Return the size of the terms whose cancellation makes the log density."""

    def density(
        self, model: NMF, W: Array, H: Array, *, constants: bool = True
    ) -> Callable[[Parameters], Array]:
        """Return the log density of the data as a function of the likelihood's parameters.

        Without `constants`, terms that no unknown enters may be left out.
        """

    def saturated(self, model: NMF, parameters: Parameters) -> Array:
        """Return the log density at a WH equal to the data."""

    def gradient(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the derivative of the log density in x."""

    def split(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as the non-negative numerator minus denominator of an update."""

    def improve(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, prior: Prior, *, axis: int,
        log_space: bool,
    ) -> Improved:  # fmt: skip
        """Take the fastest step there is in x that does not increase the objective."""
