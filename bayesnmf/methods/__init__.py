"""Ways to a posterior: the MAP estimate, a variational approximation, draws of it."""

from __future__ import annotations

from typing import Literal

from bayesnmf.methods.draws import Draws
from bayesnmf.methods.map import MAP
from bayesnmf.methods.mcmc import MCMC
from bayesnmf.methods.svi import SVI

__all__ = ["MAP", "MCMC", "SVI", "Draws", "Method", "MethodLike", "as_method"]


type Method = MAP | SVI | MCMC


#: A method, or the name of one with its defaults.
type MethodLike = Method | Literal["mcmc", "svi", "map"]


METHODS: dict[str, type[MAP] | type[SVI] | type[MCMC]] = {cls.name: cls for cls in (MAP, SVI, MCMC)}


def as_method(method: str | Method) -> Method:
    """Return `method`, or the default record of the method that it names."""
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; valid names: {', '.join(METHODS)}")
        return METHODS[method]()
    if not isinstance(method, (MAP, SVI, MCMC)):
        raise TypeError(
            f"method must be a name ({', '.join(METHODS)}) or a record bn.MAP, bn.SVI or bn.MCMC, "
            f"not {type(method).__name__}"
        )
    return method
