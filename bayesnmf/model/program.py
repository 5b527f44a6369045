"""Program: any NumPyro program with sites W, H and V as a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.infer import init_to_feasible

from bayesnmf.arrays import Array
from bayesnmf.data import AnyMatrix, Matrix


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

    def _trace(self, matrix: Matrix) -> dict[str, Any]:
        """Run the program on data at an arbitrary feasible point, which needs no sampling."""
        feasible = handlers.substitute(handlers.seed(self, 0), substitute_fn=init_to_feasible)
        return handlers.trace(feasible).get_trace(jnp.asarray(matrix.values))
