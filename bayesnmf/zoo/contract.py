"""The contract of a model of the zoo: what its program must do."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.infer import init_to_feasible

from bayesnmf.model import Program


def check_contract(program: Program) -> None:
    """Run a program on a small matrix and raise where it breaks the contract.

    Parameters
    ----------
    program : Program
        The function and its options.

    Raises
    ------
    ValueError
        When the program fails to run, lacks a site W, H or V, gives one the wrong shape, draws
        negative or undefined factors, does not condition on V, or counts missing cells. The
        message says which.

    Examples
    --------
    >>> def flat(V=None, shape=None, n_components=2): ...
    >>> check_contract(Program(flat))
    Traceback (most recent call last):
    ValueError: the model flat breaks the contract: it has no site 'W'
    """
    n_components = _n_components(program)
    # Three different sizes, so that no transposed factor passes.
    shape = n_components + 2, n_components + 1
    try:
        _check_shapes(program, shape, n_components)
        _check_missing(program, shape)
    except _Breach as breach:
        raise ValueError(f"the model {program.name} breaks the contract: {breach}") from None
    except Exception as error:
        options = ", ".join(f"{name}={value!r}" for name, value in program.options.items())
        raise ValueError(
            f"the model {program.name} does not run with "
            f"{options or 'its default options'} ({reason(error)})"
        ) from error


def _check_shapes(program: Program, shape: tuple[int, int], n_components: int) -> None:
    """Raise unless the program draws V, and all three sites have their shapes."""
    # Shapes need no arithmetic, so no sampler of V is compiled, which would take seconds.
    drawn = jax.eval_shape(
        lambda: {name: site["value"] for name, site in _trace(program, None, shape).items()}
    )
    expected = {"W": (shape[0], n_components), "H": (n_components, shape[1]), "V": shape}
    for name, wanted in expected.items():
        if name not in drawn:
            raise _Breach(f"it has no site {name!r}")
        if drawn[name].shape != wanted:
            raise _Breach(
                f"site {name!r} has shape {drawn[name].shape} for V of shape {shape} and "
                f"{n_components} component(s); it must be {wanted}"
            )


def _check_missing(program: Program, shape: tuple[int, int]) -> None:
    """Raise unless the factors are non-negative, and a V that is all missing adds nothing."""
    trace = _trace(program, np.full(shape, np.nan), shape)
    for name in ("W", "H"):
        if _may_be_negative(trace[name]):
            raise _Breach(f"site {name!r} may be negative")
    V = trace["V"]
    if not V.get("is_observed"):
        raise _Breach("site 'V' is not conditioned on the data; pass it as obs=")
    density = float(V["fn"].log_prob(V["value"]).sum())
    if density != 0.0:
        raise _Breach(
            f"cells that are missing add {density:g} to the log density; leave them out, as "
            "bayesnmf.model.mean.observations helps to"
        )


def _trace(program: Program, V: np.ndarray | None, shape: tuple[int, int]) -> dict[str, Any]:
    """Run the program at an arbitrary point of its parameters' supports."""
    feasible = handlers.substitute(handlers.seed(program, 0), substitute_fn=init_to_feasible)
    trace = handlers.trace(feasible).get_trace(V, shape=shape)
    # W and H may be functions of other sites.
    kinds = ("sample", "deterministic")
    return {name: site for name, site in trace.items() if site["type"] in kinds}


def _may_be_negative(site: dict[str, Any]) -> bool:
    value = np.asarray(site["value"])
    if site["type"] == "deterministic":
        return not (value >= 0).all()
    return bool(np.any(site["fn"].support(-np.ones_like(value))))


class _Breach(Exception):
    """A breach of the contract, told apart from what goes wrong inside a program."""


def _n_components(program: Program) -> int:
    value = program.options.get("n_components")
    if value is None:
        value = inspect.signature(program.function).parameters["n_components"].default
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"n_components must be a whole number, at least 1, not {value!r}")
    return int(value)


def reason(error: Exception) -> str:
    """Say in one line what an exception is."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
