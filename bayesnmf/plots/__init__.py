"""Plots: each function returns a Matplotlib figure, which notebooks show.

No display is needed and no window opens: save a figure with ``figure.savefig("name.pdf")``.
"""

from __future__ import annotations

from bayesnmf.plots.checks import ppc, residual_spectrum
from bayesnmf.plots.fit import compare, components, format_number, reconstruction

__all__ = ["compare", "components", "format_number", "ppc", "reconstruction", "residual_spectrum"]
