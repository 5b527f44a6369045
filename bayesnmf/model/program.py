"""Program: any NumPyro program with sites W, H and V as a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.infer import init_to_feasible

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix, Matrix
from bayesnmf.model.cells import ProgramCells
from bayesnmf.model.interface import Description, Measure
from bayesnmf.model.sites import dims_of_sites, size_of_sites


@dataclass(frozen=True)
class Program:
    """A NumPyro program with sites W, H and V that is not an :class:`NMF`.

    Parameters
    ----------
    function : callable
        Called as ``function(V, shape=None, **options)``; see :mod:`bayesnmf.zoo` for the
        contract.
    options : dict
        Keyword arguments of the function, such as ``n_components``.
    reference : str
        Name or path from which :func:`bayesnmf.load_model` loads it again; empty for a
        function defined in the session.

    Examples
    --------
    >>> def model(V=None, shape=None, n_components=2): ...
    >>> Program(model, {"n_components": 3})
    Program(model, options={'n_components': 3})
    """

    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""

    def __call__(self, V: Array | None = None, *, shape: tuple[int, int] | None = None) -> Any:
        """Run the program, conditioned on `V` where it is given."""
        return self.function(V, shape=shape, **self.options)

    def __repr__(self) -> str:
        return f"Program({self.name}, options={dict(self.options)})"

    @property
    def name(self) -> str:
        """Name of the zoo file, or of the function."""
        return Path(self.reference).stem or self.function.__name__

    def matched(self, matrix: AnyMatrix) -> Program:
        """Return this program: the package knows no tables of it."""
        return self

    @property
    def title(self) -> str:
        """What the program is called in a sentence."""
        return f"the program {self.name}"

    @property
    def nmf(self) -> None:
        """None: a program has no structure that algorithms know."""
        return

    @property
    def known(self) -> dict[str, Array]:
        """Nothing: what a program knows is its own."""
        return {}

    @property
    def component_names(self) -> None:
        """None: components of a program have no names."""
        return

    @property
    def empties_components(self) -> bool:
        """False: nothing is known of a program's priors."""
        return False

    @property
    def gives_mass(self) -> bool:
        """False: a program says nothing of its mass but where its site V is discrete."""
        return False

    @property
    def overdispersed_alternative(self) -> str:
        """A model with more noise, in words."""
        return "a model with more noise"

    def __hash__(self) -> int:
        return hash((self.function, tuple(self.options.items())))

    def resolve(self, V: Any) -> Program:
        """Return this program: it has no data-scaled defaults."""
        return self

    def check(self, matrix: AnyMatrix, *, draws: bool) -> None:
        """Raise when the program lacks a site, gives one a wrong shape, or rules out a cell."""
        assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
        name = self.name
        trace = self._trace(matrix)
        for site in ("W", "H", "V"):
            if site not in trace:
                raise ValueError(f"the program {name} has no site {site!r}")
        rank = jnp.shape(trace["W"]["value"])[-1:]
        expected = {
            "W": (matrix.n_rows, *rank),
            "H": (*rank, matrix.n_columns),
            "V": matrix.shape,
        }
        for site, wanted in expected.items():
            got = jnp.shape(trace[site]["value"])
            if got != wanted:
                raise ValueError(f"site {site!r} of {name} has shape {got}, not {wanted}")
        if not trace["V"]["is_observed"]:
            raise ValueError(f"site 'V' of {name} is not conditioned on the data; pass it as obs=")
        support = trace["V"]["fn"].support
        matrix.refuse(
            lambda v: ~np.asarray(support(v)),
            f"lies outside the support of the program {name}",
            "Check that cell, or choose another model",
        )

    def base_measure(self, matrix: AnyMatrix) -> Measure:
        """Return the measure that the density of its site V refers to."""
        return "counting" if self._trace(matrix)["V"]["fn"].support.is_discrete else "lebesgue"

    def site_dims(self, matrix: AnyMatrix) -> dict[str, list[str]]:
        """Return the dimensions of every site, named by the plates that it is in."""
        return dims_of_sites(self, matrix)

    def draw_size(self, matrix: AnyMatrix) -> int:
        """Return the number of entries of all sites but V."""
        return size_of_sites(self, matrix)

    def to_record(self) -> dict[str, Any]:
        """Return the name or path of the program, and its options."""
        return {"program": self.reference, "options": dict(self.options)}

    def has_joint_cells(self, matrix: AnyMatrix) -> bool:
        """Return whether the site V has events of several cells."""
        return bool(self._trace(matrix)["V"]["fn"].event_dim)

    def cells(self, V: np.ndarray | None) -> ProgramCells:
        """Return the distribution of the site V, in double precision."""
        return ProgramCells(self, np.asarray(V, np.float64))

    def describe(self) -> Description:
        """Return the program's name and options."""
        options = ", ".join(f"{name} = {value}" for name, value in self.options.items())
        return Description("", f"The program {self.name}{f' with {options}' if options else ''}.")

    def _trace(self, matrix: AnyMatrix) -> dict[str, Any]:
        """Run the program on data at an arbitrary feasible point, which needs no sampling."""
        feasible = handlers.substitute(handlers.seed(self, 0), substitute_fn=init_to_feasible)
        assert isinstance(matrix, Matrix)  # no method keeps the data of a program sparse
        return handlers.trace(feasible).get_trace(jnp.asarray(matrix.values))


def _flattened(program: Program) -> tuple[tuple[()], tuple[Any, ...]]:
    """Return nothing to trace: a program is compiled in, with whatever it holds."""
    return (), (program.function, tuple(program.options.items()), program.reference)


def _rebuilt(parts: tuple[Any, ...], _: tuple[()]) -> Program:
    function, options, reference = parts
    return Program(function, dict(options), reference)


jax.tree_util.register_pytree_node(Program, _flattened, _rebuilt)
