# %% [markdown]
# # Leukaemia: groups of patients
#
# Expression of 5,000 genes in 38 leukaemia patients (Golub et al. 1999, doi:10.1126/science.286.5439.531). With
# two components, patients fall apart into acute lymphoblastic (ALL) and myeloid (AML) leukaemia; with three, ALL
# splits into its B-cell and T-cell forms. Brunet et al. (2004, doi:10.1073/pnas.0308531101) found the same by
# Kullback-Leibler updates: one patient misplaced at rank 2, two at rank 3.

# %%
from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from real_data import FIGURES, find
from scipy.optimize import linear_sum_assignment

import bayesnmf as bn

# %% [markdown]
# ## Data
# Patients are rows. Expression is an integer without a natural noise model of counts, so the Poisson likelihood
# stands for the Kullback-Leibler objective here, with flat priors, and only its MAP estimate is used.

# %%
V = np.loadtxt(find("all_aml/ALL_AML_data.txt")).T
patients = find("all_aml/ALL_AML_samples.txt").read_text().strip("\0").split()
finest = np.array(["AML" if name.startswith("AML") else name.split("_")[-1] for name in patients])
truth = {2: np.where(finest == "AML", "AML", "ALL"), 3: finest}

# %% [markdown]
# ## Fit
# A component's share of a patient is its part of all of the patient's expression. A patient belongs to the component
# whose share is unusually high, measured in the largest share that this component has anywhere.


# %%
def misplaced(labels: np.ndarray, groups: np.ndarray) -> int:
    """Return how many patients lie outside their group under the best naming of the components."""
    table = np.array(
        [
            [np.sum((labels == component) & (groups == group)) for group in np.unique(groups)]
            for component in np.unique(labels)
        ]
    )
    return len(labels) - int(table[linear_sum_assignment(table, maximize=True)].sum())


shares, outside = {}, {}
for rank, groups in truth.items():
    fit = bn.fit(V, bn.NMF(rank, "poisson", "flat", "flat"), "map", progress=False)
    W = fit.W.to_numpy()
    shares[rank] = W / W.sum(axis=1, keepdims=True)
    labels = (shares[rank] / shares[rank].max(axis=0)).argmax(axis=1)
    outside[rank] = misplaced(labels, groups)
    print(f"rank {rank}: {outside[rank]} of {len(V)} patients misplaced ({fit.message})")

# %% [markdown]
# ## Picture


# %%
def figure() -> Figure:
    """Draw the shares of components in every patient, patients by group."""
    grid, panels = plt.subplots(2, 1, figsize=(9, 5), layout="constrained", sharex=True)
    order = np.argsort(finest, kind="stable")
    for axes, (rank, share) in zip(panels, shares.items(), strict=True):
        bottom = np.zeros(len(V))
        for k, colour in zip(range(rank), ("#0072B2", "#E69F00", "#009E73"), strict=False):
            axes.bar(range(len(V)), share[order, k], bottom=bottom, color=colour, width=0.9)
            bottom += share[order, k]
        groups = truth[rank][order]
        for start in np.flatnonzero(groups[1:] != groups[:-1]) + 1:
            axes.axvline(start - 0.5, color="k", linewidth=1.5)
        for group in np.unique(groups):
            axes.text(np.flatnonzero(groups == group).mean(), 1.03, group, ha="center")
        axes.set(ylabel="share of expression", ylim=(0, 1), title=f"rank {rank}\n")
        axes.title.set_horizontalalignment("left")
        axes.title.set_x(0.0)
    panels[-1].set_xlabel("patient")
    return grid


if __name__ == "__main__":
    figure().savefig(FIGURES / "gallery_leukaemia.png", dpi=110)
