"""A model as JSON in an attribute of a fit, and what such a record gives back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import xarray as xr

from bayesnmf import likelihoods, priors
from bayesnmf.model import NMF, Model, Program
from bayesnmf.posterior.structure import parsed
from bayesnmf.posterior.tree import cells_of_known, prior_array
from bayesnmf.zoo import load_model
from bayesnmf.zoo.load import zoo_names


def model_to_json(model: Model) -> str:
    """Describe a model in JSON; its known per-cell arrays are named, not included."""
    return json.dumps(model.to_record())


class Recorded(Protocol):
    """What a file says of a model."""

    def load(self, trust: bool, n_components: int) -> tuple[Model | None, str]:
        """Return the model, or None and why it is not loaded.

        Parameters
        ----------
        trust : bool
            Whether a Python file may be run; programs of the zoo always are.
        n_components : int
            Components of the draws, which the model must agree with.
        """


@dataclass(frozen=True)
class Known:
    """An NMF, which its record describes completely."""

    model: NMF

    def load(self, trust: bool, n_components: int) -> tuple[Model | None, str]:
        """Return the model."""
        return self.model, ""


@dataclass(frozen=True)
class Stranger:
    """An NMF whose likelihood is a class of the user."""

    likelihood: str

    def load(self, trust: bool, n_components: int) -> tuple[Model | None, str]:
        """Return None, and say how the model comes back."""
        return None, (
            f"its likelihood {self.likelihood!r} is not one of the package's: "
            "bn.load(path, likelihoods=[...]) takes the class"
        )


@dataclass(frozen=True)
class Reference:
    """A program that a file names: the zoo's, a Python file, or a function that is gone.

    Parameters
    ----------
    name : str
        Name or path; empty for a function of a session that has ended.
    options : dict
        Arguments of the program.
    """

    name: str
    options: dict[str, Any]

    def load(self, trust: bool, n_components: int) -> tuple[Program | None, str]:
        """Return the program, or None and why it is not loaded.

        Parameters
        ----------
        trust : bool
            Whether a Python file may be run; programs of the zoo always are.
        n_components : int
            Components of the draws, which options must agree with.
        """
        if not self.name:
            return None, "a function of a session that has ended"
        if self.name not in zoo_names():
            if trust:
                return load_model(self.name, **self.options), ""
            return None, (
                f"the program {self.name!r}, which runs only if you trust it: bn.load(path, trust=True)"
            )
        if self.options.get("n_components", n_components) != n_components:
            return None, f"{self.name} with another number of components than the draws"
        try:
            return load_model(self.name, **self.options), ""
        except (ValueError, TypeError, OSError) as error:
            return None, f"{self.name}, which does not load: {str(error).rstrip('.')}"


def model_from_json(
    text: Any,
    arrays: xr.Dataset | None,
    n_components: int,
    own: Sequence[type[likelihoods.Likelihood]] = (),
) -> Recorded:
    """Return what a file says of the model.

    Parameters
    ----------
    text : str
        Of :func:`model_to_json`.
    arrays : xarray.Dataset or None
        Known per-cell arrays.
    n_components : int
        Components of the draws.
    own : sequence of Likelihood classes
        Likelihoods beside the package's.
    """
    record = parsed(text)
    if "program" in record:
        options = dict(record["options"])
        if not all(isinstance(value, (str, int, float)) for value in options.values()):
            raise ValueError("the options of its program are no numbers or text")
        return Reference(str(record["program"] or ""), options)
    if record["n_components"] != n_components:
        raise ValueError("its model has another number of components than its draws")
    classes = likelihoods.REGISTRY | {cls.name: cls for cls in own}
    if record["likelihood"]["name"] not in classes:
        return Stranger(str(record["likelihood"]["name"]))
    model = NMF(
        n_components,
        _instance(record["likelihood"], classes, arrays),
        _prior(record["prior_W"], "W", arrays),
        _prior(record["prior_H"], "H", arrays),
        **_known(record.get("known", {}), arrays),
    )
    return Known(model)


def _known(record: dict[str, int], arrays: xr.Dataset | None) -> dict[str, Any]:
    """Return the known components that a model has, by the factor that they belong to."""
    factors = [factor for factor in ("W", "H") if record.get(factor)]
    if factors and arrays is None:
        raise ValueError("its known components are missing")
    return {factor: arrays[f"known_{factor}"].to_numpy() for factor in factors}  # type: ignore[index]


def _prior(record: dict[str, Any], factor: Literal["W", "H"], arrays: xr.Dataset | None) -> Any:
    """Return a prior, whose tables are matched with V already."""
    fields = [name for name, value in record.items() if value == "array"]
    if not fields:
        return _instance(record, priors.REGISTRY, arrays)
    if arrays is None:
        raise ValueError("the tables of its priors are missing")
    numbers = dict.fromkeys(fields, 1.0)
    prior = _instance(record | numbers, priors.REGISTRY, arrays)
    tables = {name: prior_array(arrays[f"prior_{factor}_{name}"]) for name in fields}
    return priors.EntrywiseGamma(**{**vars(prior), **tables})


def _instance(record: dict[str, Any], registry: dict[str, Any], arrays: xr.Dataset | None) -> Any:
    values = dict(record)
    cls = registry[values.pop("name")]
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = _instance(value, priors.REGISTRY, arrays)
        elif value == "array" and arrays is not None:
            values[name] = cells_of_known(arrays[name])
    return cls(**values)
