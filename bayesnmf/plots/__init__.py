"""Plots: each function returns a Matplotlib figure, which notebooks show.

No display is needed and no window opens: save a figure with ``figure.savefig("name.pdf")``. ``figure=`` or
``ax=`` draws into a figure or axes that there are already.
"""

from __future__ import annotations

from bayesnmf.plots.checks import ppc, residual_spectrum
from bayesnmf.plots.images import reconstruction
from bayesnmf.plots.leading import top_columns
from bayesnmf.plots.names import format_number
from bayesnmf.plots.profiles import components
from bayesnmf.plots.ranking import compare
from bayesnmf.plots.row_weights import loadings
from bayesnmf.plots.signature_bars import signatures

__all__ = [
    "compare",
    "components",
    "format_number",
    "loadings",
    "ppc",
    "reconstruction",
    "residual_spectrum",
    "signatures",
    "top_columns",
]
