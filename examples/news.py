# %% [markdown]
# # News: topics of documents
#
# Counts of 4,258 words in 395 documents of Reuters. Under the Poisson likelihood a component is a topic: a
# distribution over words, and how much of it each document holds. Data stay sparse.

# %%
from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
from matplotlib.figure import Figure
from real_data import FIGURES, find

import bayesnmf as bn

RANK, SHOWN = 20, 8
#: Topics that a reader of these news would name.
EXPECTED = {
    "Mother Teresa": ("mother", "teresa", "heart"),
    "the pope": ("pope", "vatican", "paul"),
    "the prince of Wales": ("charles", "prince", "diana"),
    "Elvis Presley": ("elvis", "king", "fans"),
    "Germany and the war": ("germany", "war", "nazi"),
}

# %%
V = scipy.sparse.csr_array(scipy.sparse.load_npz(find("reuters/reuters_counts.npz")))
words = np.array(find("reuters/reuters.tokens").read_text().split("\n"))[: V.shape[1]]
fit = bn.fit(V, bn.NMF(RANK, "poisson", "flat", "flat"), bn.MAP(n_init=10), progress=False)
print(fit.message)
H = fit.H.to_numpy()

# %% [markdown]
# ## Topics by their most frequent words

# %%
top = words[np.argsort(-H, axis=1)]
for k in range(RANK):
    print(f"{k:2d}", " ".join(top[k, :SHOWN]))


# %%
def topic_of(expected: tuple[str, ...], among: int = 15) -> int | None:
    """Return the topic with all of these words among its most frequent, if there is one."""
    for k in range(RANK):
        if set(expected) <= set(top[k, :among]):
            return k
    return None


named = {name: topic_of(expected) for name, expected in EXPECTED.items()}
print(named)

# %% [markdown]
# ## Picture


# %%
def figure() -> Figure:
    """Draw the most frequent words of the topics that were expected."""
    grid, panels = plt.subplots(1, len(named), figsize=(12, 3), layout="constrained")
    for axes, (name, k) in zip(panels, named.items(), strict=True):
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        if k is not None:
            order = np.argsort(-H[k])[:SHOWN][::-1]
            axes.barh(words[order], H[k, order], color="C0")
    panels[0].set_xlabel("share of the topic's words")
    return grid


if __name__ == "__main__":
    figure().savefig(FIGURES / "gallery_news.png", dpi=110)
