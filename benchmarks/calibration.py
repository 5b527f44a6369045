"""Is the posterior right? Simulation-based calibration and coverage of intervals, at length.

Data sets are drawn from the model. One program runs a chain on each of many small ones, started at
another draw of the prior; larger ones go through :func:`bayesnmf.fit`, by MCMC and by SVI, with entries that move together and that do not. The
truth must fall anywhere among the draws with the same probability (Talts et al. 2018,
arXiv:1804.06788), and an interval must hold it as often as it says.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

import bayesnmf as bn
from bayesnmf.methods.sampler import plan_for
from bayesnmf.observed.cells import Cells
from tests import replicates

#: Sizes of the many small data sets and of the fewer larger ones.
SMALL, LARGE = ((10, 8), 2), ((30, 20), 3)
DRAWS, WARMUP, THIN, BATCH = 99, 300, 3, 250
METHODS = {
    "mcmc": bn.MCMC(num_samples=250, num_chains=2),
    "svi": bn.SVI(),
    "independent": bn.SVI(linear_response=False),
    "min_ess=100": bn.MCMC(min_ess=100, num_samples=4000),
    "min_ess=400": bn.MCMC(min_ess=400, num_samples=4000),
}
LIKELIHOODS = list(replicates.LIKELIHOODS)
PARTS = ["sampler", *METHODS]
#: Added to a seed for random numbers that must not be those of the data sets.
ELSEWHERE = 100_000


def run(names: list[str], parts: list[str], size: int, fits: int, folder: str) -> None:
    """Run what is asked for, keep its ranks in `folder`, and report all that lies there."""
    kept = Path(folder)
    kept.mkdir(parents=True, exist_ok=True)
    for name in names:
        for part in parts:
            found = sampler(name, size) if part == "sampler" else fitted(name, part, fits)
            np.savez(kept / f"{name}-{part}.npz", **found)
            jax.clear_caches()
    report(kept)
    plot(kept, kept / "calibration.png")


def sampler(name: str, size: int) -> replicates.Sites:
    """Return where the truth falls among the draws of the default sampler, in batches."""
    (shape, rank), found = SMALL, []
    with jax.enable_x64(True):
        model = replicates.model_of(name, rank)
        for seed in range(0, size, BATCH):
            truth = replicates.simulate(model, shape, BATCH, seed)
            start = replicates.simulate(model, shape, BATCH, ELSEWHERE + seed).sites
            plan = plan_for(model, Cells(truth.V[0], None))
            true, draws = replicates.sample(
                model,
                truth,
                start,
                plan,
                num_warmup=WARMUP,
                num_samples=DRAWS,
                thin=THIN,
                seed=2 * ELSEWHERE + seed,
            )
            found.append(replicates.positions(true, draws, seed))
    return {key: np.concatenate([part[key] for part in found]) for key in found[0]}


def fitted(name: str, method: str, size: int) -> replicates.Sites:
    """Return where the truth falls among the draws of fits, as a user would make them."""
    shape, rank = LARGE
    with jax.enable_x64(True):
        model = replicates.model_of(name, rank)
        truth = replicates.simulate(model, shape, size, seed=0)
        found = []
        for i, V in enumerate(truth.V):
            fit = bn.fit(V, model, METHODS[method], seed=i, progress=False)
            draws = {
                key: np.concatenate(fit.tree[f"posterior/{key}"].to_numpy()) for key in truth.sites
            }
            of_all = jax.vmap(lambda sites, V=V: replicates.quantities(model, V, sites))
            true = of_all({key: value[i : i + 1] for key, value in truth.sites.items()})
            below = {key: np.asarray(x)[:, None] for key, x in of_all(draws).items()}
            found.append(replicates.positions(jax.tree.map(np.asarray, true), below, i))
    return {key: np.concatenate([part[key] for part in found]) for key in found[0]}


def report(folder: Path) -> None:
    """Print the table: p-values of uniformity, and coverage in per cent with standard errors."""
    heads = ("WH 50 %", "WH 90 %", "masses 50 %", "masses 90 %", "parameter 90 %")
    print("| likelihood | draws by | data sets | smallest p of | " + " | ".join(heads) + " |")
    print("|" + "---|" * (4 + len(heads)))
    for part in PARTS:
        for name in LIKELIHOODS:
            if not (folder / f"{name}-{part}.npz").exists():
                continue
            found = dict(np.load(folder / f"{name}-{part}.npz"))
            p = [replicates.p_value(x) for x in replicates.scalars(found).values()]
            # A histogram of a few fits has too few in a bin for a test.
            uniform = f"{min(p):.2g} of {len(p)}" if part == "sampler" else "–"
            parameter = [key for key in found if key not in ("WH", "masses", "log likelihood")]
            asked = [("WH", 0.5), ("WH", 0.9), ("masses", 0.5), ("masses", 0.9)]
            asked += [(key, 0.9) for key in parameter]
            cells = [
                "{:.1f} ± {:.1f}".format(*(100 * x for x in replicates.coverage(found[key], prob)))
                for key, prob in asked
            ] + ["–"] * (len(heads) - len(asked))
            print(
                f"| {name.replace('_', ' ')} | {part} | {len(found['WH'])} | "
                f"{uniform} | " + " | ".join(cells) + " |",
                flush=True,
            )


def plot(folder: Path, path: Path) -> None:
    """Draw how far the distribution of the ranks is from uniform, with 95 % envelopes.

    An envelope holds the whole curve of uniform ranks with that probability (Säilynoja, Bürkner
    and Vehtari 2022, doi:10.1007/s11222-022-10090-6).
    """
    import matplotlib

    matplotlib.use("Agg")
    from arviz_stats.ecdf_utils import ecdf_pit
    from matplotlib import pyplot as plt

    names = [name for name in LIKELIHOODS if (folder / f"{name}-sampler.npz").exists()]
    if not names:
        return
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(2.5 * len(names) + 0.5, 3.1),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    labels = {}
    for ax, name in zip(axes[0], names, strict=True):
        found = replicates.scalars(dict(np.load(folder / f"{name}-sampler.npz")))
        for k, (label, values) in enumerate(sorted(found.items(), key=_order)):
            x, ecdf, lower, upper = ecdf_pit(values, 0.95, 1000)
            if k == 0:
                ax.fill_between(x, lower - x, upper - x, color="0.88", lw=0)
                ax.axhline(0.0, color="0.6", lw=0.8)
            text = _LABELS.get(label, "parameter")
            (labels[text],) = ax.plot(x, ecdf - x, color=f"C{k}", lw=1.1)
        ax.set_title(name.replace("_", " "), fontsize=10)
        ax.set_xlabel("normalised rank")
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("ECDF − uniform")
    figure.legend(
        labels.values(),
        labels.keys(),
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=130)
    print(f"wrote {path}")


#: What the legend calls a quantity, in its order.
_LABELS = {
    "a cell of WH": "a cell of WH",
    "masses 1": "smaller mass",
    "masses 2": "larger mass",
    "log likelihood": "log likelihood",
}


def _order(item: tuple[str, object]) -> int:
    """Return the place of a quantity in the legend; the likelihood's parameter comes last."""
    names = list(_LABELS)
    return names.index(item[0]) if item[0] in names else len(names)
