"""Plots."""

from __future__ import annotations

from bayesnmf.plots.checks import ppc, residual_spectrum
from bayesnmf.plots.fit import compare, components, format_number, reconstruction

__all__ = ["compare", "components", "format_number", "ppc", "reconstruction", "residual_spectrum"]
