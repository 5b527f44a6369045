"""Model: what the package asks of a model, whether an NMF or any NumPyro program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpyro.distributions as dist

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix

if TYPE_CHECKING:
    from bayesnmf.model.nmf import NMF

#: The measure that a log density refers to; only equal ones can be compared.
type Measure = Literal["counting", "lebesgue"]


@dataclass(frozen=True)
class Description:
    """A model in words, for readers.

    Parameters
    ----------
    formula : str
        How V comes about, such as "V ~ Poisson(W H)"; empty where the model says no more than
        its name.
    words : str
        One sentence.
    parts : dict of str to str
        Likelihood and priors with their settings, by name.
    """

    formula: str
    words: str
    parts: Mapping[str, str] = field(default_factory=dict)


class CellDistribution(Protocol):
    """The distribution of the cells of V as a function of one draw; a JAX pytree."""

    @property
    def splits_rows(self) -> bool:
        """Whether the distribution of some rows can be had without the others."""

    def __call__(self, draw: dict[str, Array]) -> dist.Distribution:
        """Return the distribution of all cells at one draw of the model's sites."""

    def at_rows(self, rows: np.ndarray) -> CellDistribution:
        """Return the distribution of some rows; all of them where rows cannot be split."""

    def sites_at_rows(
        self, draws: dict[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return draws, of shape (draw, …), of the sites that the distribution of some rows takes."""


@runtime_checkable
class Model(Protocol):
    """What the package asks of a model.

    :class:`NMF` answers from its likelihood and priors, :class:`Program` by running a NumPyro
    program. Algorithms that need the structure of an NMF ask for `nmf`; nothing else asks
    which of the two it has.
    """

    @property
    def name(self) -> str:
        """Name of the likelihood, or of the program."""

    @property
    def title(self) -> str:
        """What the model is called in a sentence, such as "the Poisson likelihood"."""

    @property
    def nmf(self) -> NMF | None:
        """The factorisation whose structure fast algorithms use; None for a program."""

    @property
    def known(self) -> dict[str, Array]:
        """Parameters of the cells that are given, by name: numbers or per-cell arrays."""

    @property
    def component_names(self) -> np.ndarray | None:
        """Names of the components; None: they have numbers."""

    @property
    def empties_components(self) -> bool:
        """Whether the priors let components that the data do not ask for empty out."""

    @property
    def overdispersed_alternative(self) -> str:
        """A model with more noise, in words."""

    def __call__(self, V: Array | None = None, *, shape: tuple[int, int] | None = None) -> Any:
        """Run the generative program, conditioned on `V` where it is given."""

    def matched(self, matrix: AnyMatrix) -> Self:
        """Return this model with its labelled tables put into the order of the matrix."""

    def resolve(self, V: Any) -> Self:
        """Return this model with every data-scaled default replaced by its number."""

    def check(self, matrix: AnyMatrix, *, draws: bool) -> None:
        """Raise when `matrix` does not suit the model, or the model no draws."""

    def base_measure(self, matrix: AnyMatrix) -> Measure:
        """Return the measure that the density of V refers to."""

    @property
    def gives_mass(self) -> bool:
        """Whether counts can be scored by the mass that the model gives them."""

    def has_joint_cells(self, matrix: AnyMatrix) -> bool:
        """Return whether V is drawn in events of several cells, none of which can be left out."""

    def site_dims(self, matrix: AnyMatrix) -> dict[str, list[str]]:
        """Return the names of the dimensions of every site, by the site's name."""

    def draw_size(self, matrix: AnyMatrix) -> int:
        """Return about how many numbers one draw of all sites has."""

    def to_record(self) -> dict[str, Any]:
        """Return the model as plain values; per-cell arrays are named, not included."""

    def cells(self, V: np.ndarray | None) -> CellDistribution:
        """Return the distribution of the cells of V, in double precision.

        Parameters
        ----------
        V : ndarray of shape (n_rows, n_columns), or None
            The data, NaN where missing, which a program needs in order to run. None: an NMF's
            distribution depends on no data.
        """

    def describe(self) -> Description:
        """Return the model in words."""
