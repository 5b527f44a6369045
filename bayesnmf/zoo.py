"""The zoo: published models, each one readable file, and the contract that a file meets.

A model file, whether of the zoo or your own, is Python that defines one function::

    def model(V=None, shape=None, n_components=2, <hyperparameters with defaults>): ...

The function is a plain NumPyro program:

- Its sites are ``W`` (row x component), ``H`` (component x column) and ``V`` (row x column),
  and whatever else the model needs. W and H are not negative.
- Given `V`, it conditions the site V on it; else it draws V, of the given `shape`.
- NaN in V means missing: such a cell adds exactly 0 to the log density.
  :func:`bayesnmf.model.observations` splits V into a mask and values that are safe to evaluate,
  and :func:`bayesnmf.model.product` multiplies W and H.
- A plate keeps its dimension throughout, so a row of H is one event of the component plate.
- Every option is a number or a string, so that a fit can be saved with its model.

The file's docstring starts with a line that says what the model is, and then has these
underlined parts: "Paper" (with its DOI, or the word "unpublished"), "Generative process" (with
the paper's symbols), "Symbols" (a table symbol, site, shape, prior) and "Limitations".

:func:`load_model` checks all of this before it returns.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import re
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpyro import handlers
from numpyro.infer import init_to_feasible

from bayesnmf.model import Program

#: Parts of a model file's docstring, in order.
PARTS = ("Paper", "Generative process", "Symbols", "Limitations")


def load_model(name_or_path: str | os.PathLike[str], **options: Any) -> Program:
    """Load a published model of the zoo, or a model file of your own.

    Loading a file runs it: load only files that you trust.

    Parameters
    ----------
    name_or_path : str or path
        A name that :func:`list_models` shows, or the path of a ``.py`` file that meets the
        contract in :mod:`bayesnmf.zoo`.
    **options
        Keyword arguments of the file's function, such as ``n_components``.

    Returns
    -------
    Program
        The model; give it to :func:`bayesnmf.fit`, or call it under any NumPyro handler.

    Raises
    ------
    FileNotFoundError
        When there is no such file; the message lists the zoo's names.
    ValueError
        For a name that the zoo does not have (it lists those it has), an option that the model
        does not have (it lists those it has, with their defaults), and a file that breaks the
        contract (it names the line or the part).

    Examples
    --------
    >>> load_model("cemgil2009", n_components=3, shape_H=0.5)
    Program(cemgil2009, options={'n_components': 3, 'shape_H': 0.5})
    """
    path, reference = _locate(name_or_path)
    source, tree = _parse(path)
    _check_docstring(path, tree)
    function = ModelFunction(str(path), source)
    _check_options(path, function, options)
    program = Program(function, options, reference)
    check_contract(program)
    return program


def list_models() -> pd.DataFrame:
    """List the models of the zoo.

    Returns
    -------
    DataFrame
        Indexed by name; the column ``summary`` has the first line of each file's docstring.

    Examples
    --------
    >>> list_models().index.tolist()
    ['cemgil2009', 'schmidt2009']
    """
    paths = _zoo()
    summaries = [
        (ast.get_docstring(_parse(path)[1]) or "").partition("\n")[0] for path in paths.values()
    ]
    return pd.DataFrame({"summary": summaries}, pd.Index(paths, name="name"))


def zoo_names() -> tuple[str, ...]:
    """Return the names of the models that are installed with the package, reading none of them.

    Examples
    --------
    >>> zoo_names()
    ('cemgil2009', 'schmidt2009')
    """
    return tuple(_zoo())


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
            f"{options or 'its default options'} ({_reason(error)})"
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
            "bayesnmf.model.observations helps to"
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


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


# -- files ------------------------------------------------------------------------------------


def _zoo() -> dict[str, Path]:
    """Return the zoo's files by name, from the wheel or beside an editable checkout."""
    package = Path(__file__).parent
    for folder in (package / "models", package.parent / "models"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.py"))}
    return {}


def _locate(name_or_path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the file, and the name or absolute path that finds it again."""
    zoo = _zoo()
    names = ", ".join(zoo) or "none (its folder is not installed)"
    text = os.fspath(name_or_path)
    if text in zoo:
        return zoo[text], text
    if not isinstance(name_or_path, Path) and not re.search(r"[./\\]", text):
        raise ValueError(
            f"the zoo has no model {text!r}; its models: {names}. A file of your own is given by "
            "its path, which ends in .py"
        )
    path = Path(text)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}; models of the zoo: {names}")
    return path, str(path.absolute())


def _parse(path: Path) -> tuple[str, ast.Module]:
    """Return the file's source and its syntax tree."""
    try:
        source = path.read_text(encoding="utf-8")
        return source, ast.parse(source, str(path))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({_reason(error)})") from error


def _check_docstring(path: Path, tree: ast.Module) -> None:
    """Raise when the file's docstring lacks a part."""
    docstring = ast.get_docstring(tree)
    if not docstring:
        raise ValueError(f"{path} has no docstring; it must have the parts {', '.join(PARTS)}")
    parts = _parts(docstring)
    for part in PARTS:
        if not parts.get(part, "").strip():
            raise ValueError(
                f"the docstring of {path} has no part {part!r} (an underlined heading and text); "
                f"it must have {', '.join(PARTS)}"
            )
    if not re.search(r"doi:\s*10\.\d{4,9}/\S+|\bunpublished\b", parts["Paper"], re.I):
        raise ValueError(
            f"the part 'Paper' in the docstring of {path} gives no DOI; write it as doi:10..., or "
            "the word unpublished"
        )


def _parts(docstring: str) -> dict[str, str]:
    """Split a docstring at its headings, which are underlined with dashes."""
    parts, heading = {}, ""
    lines = docstring.splitlines()
    for line, below in itertools.pairwise([*lines, ""]):
        if below.startswith("---"):
            heading, parts[line.strip()] = line.strip(), ""
        elif heading and not line.startswith("---"):
            parts[heading] += line + "\n"
    return parts


class ModelFunction:
    """The function of a model file.

    It pickles as the text of the file, so that a process on another machine needs no copy of it.
    Two are equal when their files are.

    Parameters
    ----------
    path, source : str
        The file, and its text.
    """

    def __init__(self, path: str, source: str) -> None:
        self._origin = path, source
        self._function = _run(Path(path), source)
        self.__name__, self.__doc__ = self._function.__name__, self._function.__doc__
        self.__signature__ = inspect.signature(self._function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the function."""
        return self._function(*arguments, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return ModelFunction, self._origin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelFunction) and self._origin == other._origin

    def __hash__(self) -> int:
        return hash(self._origin)


def _run(path: Path, source: str) -> Callable[..., Any]:
    """Run the file and return its function `model`.

    The source is compiled here, so that no bytecode cache is written beside it or trusted.
    """
    module = types.ModuleType(f"bayesnmf_model_{path.stem}")
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        steps = traceback.extract_tb(error.__traceback__)
        lines = [step.lineno for step in steps if step.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise ValueError(f"{path}{where} fails: {_reason(error)}") from error
    function = getattr(module, "model", None)
    if not callable(function):
        raise ValueError(f"{path} defines no function 'model'")
    return function


def _check_options(path: Path, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise when the function's signature breaks the contract, or an option is unknown."""
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    if list(defaults)[:1] != ["V"] or not {"shape", "n_components"} <= set(defaults):
        raise ValueError(
            f"the function 'model' of {path} takes ({', '.join(defaults)}); it must take V first, "
            "shape, n_components and its options"
        )
    bare = [name for name, default in defaults.items() if default is inspect.Parameter.empty]
    if bare:
        raise ValueError(f"the argument {bare[0]!r} of 'model' in {path} has no default")
    valid = {name: value for name, value in defaults.items() if name not in ("V", "shape")}
    unknown = [name for name in options if name not in valid]
    if unknown:
        listed = ", ".join(f"{name}={value!r}" for name, value in valid.items())
        raise ValueError(
            f"the model {path.stem} has no option {unknown[0]!r}; its options and their defaults: "
            f"{listed}"
        )
    for name, value in options.items():
        if not isinstance(value, (int, float, str, np.integer, np.floating)):
            raise ValueError(
                f"the option {name} of the model {path.stem} must be a number or a string, "
                f"not {value!r}"
            )
