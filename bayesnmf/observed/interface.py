"""What an algorithm may ask of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from bayesnmf.arrays import Array
from bayesnmf.model import NMF
from bayesnmf.priors import Prior

type Parameters = dict[str, Array]


class Improved(NamedTuple):
    """A factor after one step, with what the step learned of the point that it left.

    Parameters
    ----------
    x : array of shape (component, row)
        The factor after the step; the objective is no higher.
    slope : array of shape (free component, row)
        Gradient of the objective in what is inferred of the factor, before the step or as its
        entries were visited.
    log_density : scalar
        Log density of the data before the step, but for terms that no unknown enters.
    """

    x: Array
    slope: Array
    log_density: Array


class Allocation(NamedTuple):
    """How the counts of the cells go to the components, at a point, and how well it explains them.

    Parameters
    ----------
    of_W : array of shape (component, row)
        ``sum_j v_ij H_kj / L_ij``, with ``L = WH``: times W, the counts of a row that go to a component.
    of_H : array of shape (component, column)
        ``sum_i v_ij W_ik / L_ij``.
    log_sum : scalar
        ``sum v_ij log L_ij``.
    """

    of_W: Array
    of_H: Array
    log_sum: Array


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

    def score_parts(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> tuple[Array, Array]:
        """Return the gradient as the non-negative numerator minus denominator of an update."""

    def improve(
        self,
        model: NMF,
        x: Array,
        y: Array,
        parameters: Parameters,
        prior: Prior,
        *,
        axis: int,
        log_space: bool,
        first: int = 0,
    ) -> Improved:
        """Take the fastest step there is in x that does not increase the objective.

        Components of x before `first` are known and stay; `prior` is that of the others.
        """


class Sampled(Observed, Protocol):
    """Data that Hamiltonian moves can be made on: differences of the density, and its curvature."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n_rows, n_columns) of V."""

    @property
    def is_complete(self) -> bool:
        """Whether no cell is missing."""

    def fits_single_precision(self, model: NMF) -> bool:
        """Return whether gradients in single precision are accurate enough for a trajectory."""

    def gradients(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the derivatives of the log density in W and in H."""

    def log_density_change(
        self, model: NMF, x: Array, new: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the change of the log density of every row of x when it goes to `new`."""

    def joint_log_density_change(
        self, model: NMF, old: tuple[Array, Array], new: tuple[Array, Array], parameters: Parameters
    ) -> Array:
        """Return the change of the log density when both factors (W, H) go from old to new."""

    def information(
        self, model: NMF, W: Array, H: Array, parameters: Parameters
    ) -> tuple[Array, Array]:
        """Return the information about the logarithms of every row of W, and of every column of H.

        Fisher's, or one of the same expectation. The lower triangles are packed line by line, as by
        :func:`pairs`: (pair, row) and (pair, column).
        """

    def information_diagonal(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the same information about every logarithm of x alone, (component, row)."""

    def cross_information(
        self, model: NMF, x: Array, y: Array, step: Array, parameters: Parameters, *, axis: int
    ) -> Array:
        """Return the information between the logarithms of x and of y, times a step of those of y."""

    def information_among(
        self, model: NMF, x: Array, y: Array, parameters: Parameters, chosen: Array, *, axis: int
    ) -> Array:
        """Return the same information among some components of each row of x.

        Components `chosen` are (place, row), and the information is (place, place, row).
        """


class Additive(Sampled, Protocol):
    """Counts that are sums of independent Poisson counts of the components."""

    def allocate(self, model: NMF, W: Array, H: Array) -> Allocation:
        """Return how the counts go to the components."""

    def constant(self, model: NMF) -> float:
        """Return what :meth:`allocate` leaves out of the log density: the logarithms of exposures and factorials."""

    def exposed(self, model: NMF, y: Array, *, axis: int) -> Array:
        """Return the expected count a unit of every entry of x, of shape (component, row) or (component, 1)."""


class Gram(Sampled, Protocol):
    """Data without a gap under Gaussian noise of one size."""

    def project(self, y: Array, *, axis: int) -> Array:
        """Return VH' or W'V, component first."""

    def squares(self, W: Array, H: Array) -> Array:
        """Return the sum of squares of V - WH over observed cells."""


def pairs(n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines and columns of a lower triangle, line by line.

    Examples
    --------
    >>> pairs(2)[1].tolist()
    [0, 0, 1]
    """
    return np.tril_indices(n_components)
