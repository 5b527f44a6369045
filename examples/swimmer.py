# %% [markdown]
# # Swimmer: parts of figures
#
# 256 stick figures: a torso, and four limbs in one of four positions each (Donoho and Stodden 2004). They are
# sums of 17 parts. But the torso can also be a part of the four positions of any one limb, because each
# figure has exactly one of them: WH is then the same, with 16 components. Exponential priors on both factors decide
# between the two, because a separate torso needs smaller sums of W and H; flat priors do not.

# %%
from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import scipy.io
from matplotlib.figure import Figure
from real_data import FIGURES, find

import bayesnmf as bn
from bayesnmf.priors import Exponential

RANK, HEIGHT = 17, 20
#: Weak against 256 figures of 26 pixels each, and enough to prefer the parts.
PRIOR = Exponential(rate=4.0)

# %% [markdown]
# ## Fit
# A search from one start often ends with two positions in one component, so there are many starts.

# %%
V = scipy.io.loadmat(find("swimmer/Swimmer.mat"))["X"].T.astype(float)
fit = bn.fit(V, bn.NMF(RANK, "poisson", PRIOR, PRIOR), bn.MAP(n_init=100), progress=False)
print(fit.message)
H = fit.H.to_numpy()

# %% [markdown]
# ## Parts
# The true parts: pixels that are lit in the same figures.

# %%
patterns, part_of = np.unique(V.T, axis=0, return_inverse=True)
truth = {
    frozenset(np.flatnonzero(part_of == number).tolist())
    for number, pattern in enumerate(patterns)
    if pattern.any()
}
peaks = np.maximum(H.max(axis=1, keepdims=True), 1e-300)
parts = [frozenset(np.flatnonzero(row > 0.5).tolist()) for row in H / peaks]
recovered = len(truth & set(parts))
print(f"{recovered} of {len(truth)} parts recovered")

# %% [markdown]
# ## Picture


# %%
def figure() -> Figure:
    """Draw two figures, and every component."""
    grid, panels = plt.subplots(2, 10, figsize=(9, 4), layout="constrained")
    images = [*V[[0, 100]], *(H / peaks)]
    for axes in panels.flat:
        axes.axis("off")
    for number, (axes, image) in enumerate(zip(panels.flat, images, strict=False)):
        axes.imshow(image.reshape(-1, HEIGHT).T, cmap="gray_r" if number < 2 else "Blues")
        axes.set_title("figure" if number < 2 else f"part {number - 1}", fontsize=8)
    return grid


if __name__ == "__main__":
    figure().savefig(FIGURES / "gallery_swimmer.png", dpi=110)
