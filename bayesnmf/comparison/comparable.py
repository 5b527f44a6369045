"""What fits, or results, must share before they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesnmf.comparison.pointwise import Pointwise
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.model import Measure
from bayesnmf.posterior.result import Fit

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData


#: What two results must share, and how to say it where they do not.
SHARED_ATTRIBUTES = {
    "task": "leave out different things ({}): use one task for all",
    "measure": "refer to different measures ({}): give bn.loo measure='counting' for all, if the "
    "data are counts",
    "shape": "are of data of different shapes ({})",
    "mask": "are of data with different missing cells: fit all models to the same cells",
    "values": "are of different data: fit all models to the same values, or give bn.loo the "
    "log_jacobian of what was rescaled",
    "scheme": "have different schemes of folds ({}): use one for all",
}


def require_same_data(fits: Mapping[str, Fit]) -> None:
    """Raise unless all fits saw the same values in the same cells."""
    first: tuple[str, tuple[Any, ...]] | None = None
    for name, fit in fits.items():
        cells = CellBlocks(fit.matrix)
        seen = cells.shape, *cells.digests()
        if first is None:
            first = name, seen
            continue
        other, expected = first
        for key, a, b in zip(("shape", "mask", "values"), expected, seen, strict=True):
            if a != b:
                sentence = SHARED_ATTRIBUTES[key].format(f"{a}, {b}")
                raise ValueError(f"{other} and {name} cannot be compared: they {sentence}")


def common_measure(fits: Mapping[str, Fit]) -> Measure | None:
    """Return the measure for all: counts as soon as one model describes counts."""
    measures = set()
    for name, fit in fits.items():
        try:
            measures.add(Pointwise(fit).own_measure)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return "counting" if measures == {"counting", "lebesgue"} else None


def require_pointwise(name: str, result: object) -> ELPDData:
    """Raise unless a result is one of ArviZ, with its values unit by unit."""
    from arviz_stats.utils import ELPDData

    if not isinstance(result, ELPDData):
        raise TypeError(f"{name} is neither a bn.Fit nor an ELPDData, but {type(result).__name__}")
    if result.elpd_i is None:
        raise ValueError(f"{name} has no pointwise values: compute it with pointwise=True")
    return result


def require_comparable(results: Mapping[str, ELPDData]) -> None:
    """Raise unless all results are of one criterion, task, measure and data set."""
    (first, one), *others = results.items()
    for name, other in others:
        both = f"{first} and {name} cannot be compared: they"
        if one.kind != other.kind:
            raise ValueError(
                f"{both} are estimates of different kinds ({one.kind}, {other.kind}): use one "
                "criterion for all"
            )
        a, b = one.elpd_i.attrs, other.elpd_i.attrs
        for key, sentence in SHARED_ATTRIBUTES.items():
            # Rescaled data differ in value, and have said by how much.
            skip = key == "values" and (a.get("rescaled") or b.get("rescaled"))
            if key in a and key in b and a[key] != b[key] and not skip:
                raise ValueError(f"{both} {sentence.format(f'{a[key]}, {b[key]}')}")
        if one.n_data_points != other.n_data_points:
            raise ValueError(f"{both} have {one.n_data_points} and {other.n_data_points} values")
