"""Summaries of fits as text for a terminal."""

from __future__ import annotations

from bayesnmf import plots
from bayesnmf.comparison import modes as multimodality
from bayesnmf.posterior.result import Fit


def summary_of(result: Fit) -> str:
    """Write the summary of each mode of the chains, usually one."""
    modes = multimodality.modes(result)
    if len(modes) == 1:
        return _written(result)
    return "\n\n".join(f"Mode {m}\n{_written(fit)}" for m, fit in enumerate(modes))


def _written(result: Fit) -> str:
    """Write the summary as text, without the intervals of a single draw."""
    summary = result.summary()
    if result.method == "map":
        summary = summary.drop(columns=summary.columns[1:4])
    numbers = summary.columns.difference(["share", "leading columns"])
    text = {name: summary[name].map(plots.format_number) for name in numbers}
    text["share"] = summary["share"].map("{:.1%}".format)
    last = summary["leading columns"]
    width = max(15, last.str.len().max())
    columns = summary.assign(**text, **{"leading columns": last.str.ljust(width)})
    columns.columns = [*columns.columns[:-1], "leading columns".ljust(width)]
    lines = columns.rename_axis(None).to_string().splitlines()
    return "\n".join(line.rstrip() for line in lines)
