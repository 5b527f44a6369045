"""Which mode of a fit a command means, where its chains are in several."""

from __future__ import annotations

from typing import Annotated

import typer

from bayesnmf.comparison import modes as multimodality
from bayesnmf.posterior.result import Fit

Mode = Annotated[int | None, typer.Option(min=0, help="Which mode, if the chains are in several.")]


def of_mode(result: Fit, mode: int | None) -> Fit:
    """Return the chains of one mode, which must be named if there are several."""
    modes = multimodality.modes(result)
    if mode is None and len(modes) > 1:
        raise ValueError(f"the chains are in {modes.message}: choose one with --mode")
    if mode is not None and mode >= len(modes):
        raise ValueError(f"--mode {mode}: the chains are in {modes.message}")
    return modes[mode or 0]
