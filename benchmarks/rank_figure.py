"""The figure of the recovery study: how often each rule is exactly right, by true rank."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.records import Record

#: Rules shown, with a colour that colour-blind readers can tell apart (Okabe and Ito) and a dash.
STYLES = {
    "bayesnmf": ("#000000", "-"),
    "BIC": ("#0072B2", "--"),
    "AIC": ("#56B4E9", "--"),
    "hold-out minimum": ("#009E73", "-."),
    "hold-out elbow": ("#E69F00", "-."),
    "cophenetic": ("#D55E00", ":"),
    "silhouette": ("#CC79A7", ":"),
}
PANELS = {
    ("poisson", "poisson"): "Poisson counts",
    (
        "negative_binomial",
        "negative_binomial",
    ): "overdispersed counts,\nfitted as negative binomial",
    ("negative_binomial", "poisson"): "overdispersed counts,\nfitted as Poisson",
}


def draw(records: list[Record], path: Path) -> None:
    """Write one panel for each kind of data and fit that there are records of."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    right, number = exact(records)
    rates = right / number
    panels = {key: title for key, title in PANELS.items() if key in rates.index.droplevel(2)}
    figure, all_axes = plt.subplots(
        1,
        len(panels),
        figsize=(3.3 * len(panels) + 1.5, 3.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (key, title) in zip(all_axes[0], panels.items(), strict=True):
        part = rates.loc[key]
        for rule, (colour, dash) in STYLES.items():
            width, order = (2.4, 3) if rule == "bayesnmf" else (1.2, 2)
            axes.plot(
                range(len(part)),
                part[rule],
                dash,
                marker="o",
                markersize=3,
                color=colour,
                linewidth=width,
                zorder=order,
                label=rule,
            )
        axes.set_xticks(range(len(part)), [str(truth) for truth in part.index])
        axes.set(title=title, xlabel="true rank", ylim=(-0.04, 1.04))
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0, 0].set_ylabel("share of data sets\nwith exactly that rank")
    figure.legend(*all_axes[0, 0].get_legend_handles_labels(), loc="outside right", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def exact(records: list[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return in how many data sets each rule (column) is right, and has been asked.

    By data, fit and true rank.
    """
    rows = [
        {"data": r["drawn"], "fit": r["fitted"], "truth": r["truth"]}
        | {rule: rank == r["truth"] for rule, rank in r["chosen"].items()}
        for r in records
    ]
    groups = pd.DataFrame(rows).groupby(["data", "fit", "truth"])
    return groups.sum().astype(int), groups.count()
