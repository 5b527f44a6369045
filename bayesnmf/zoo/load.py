"""Published models: found, read, and loaded as programs."""

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

import numpy as np
import pandas as pd

from bayesnmf.model import Program
from bayesnmf.zoo.contract import check_contract, reason

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


# -- files ------------------------------------------------------------------------------------


def _zoo() -> dict[str, Path]:
    """Return the zoo's files by name, from the wheel or beside an editable checkout."""
    package = Path(__file__).parent
    for folder in (package / "models", package.parents[1] / "models"):
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
        raise ValueError(f"{path} cannot be read ({reason(error)})") from error


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
        raise ValueError(f"{path}{where} fails: {reason(error)}") from error
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
