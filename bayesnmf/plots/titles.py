"""Titles of panels: each component's name, mass and share, as much of them as has room."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesnmf.plots.names import format_number, shown
from bayesnmf.plots.text_sizes import fitting
from bayesnmf.posterior.result import Fit

#: Size of a title in points.
SIZE = 9.0


def component_titles(fit: Fit, ci_prob: float, inches: float) -> list[str]:
    """Return each component's mass, its interval where there is one, and its share.

    Parameters
    ----------
    fit : Fit
    ci_prob : float
        Probability of the interval.
    inches : float
        Room. Where it is narrow, titles leave out the interval, then the mass, then the share.
    """
    return [_title(name, row, inches) for name, row in fit.summary(ci_prob).iterrows()]


def _title(component: object, row: pd.Series, inches: float) -> str:
    low, high = row.iloc[2:4]
    bounds = "" if np.isnan(low) else f" ({format_number(low)} to {format_number(high)})"
    # Components without any mass have no shares of it.
    known = not np.isnan(row["share"])
    share = f", {100 * row['share']:.0f} % of all" if known else ""
    name, mass = shown(component), format_number(row["mass"])
    choices = [
        f"component {name}: mass {mass}{bounds}{share}",
        f"component {name}: mass {mass}{share}",
        f"component {name}{share}",
        f"component {name}",
        name,
    ]
    return fitting(choices, inches, SIZE)
