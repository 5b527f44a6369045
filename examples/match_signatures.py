# %% [markdown]
# # Mutational signatures: components beside the COSMIC catalogue, and refits of it
#
# Four components of 21 breast-cancer genomes, found without any catalogue (de novo), and what they are in
# COSMIC v3.4: the nearest signature of each, the best mixture of signatures, and tables for other programs.
# Then the other way round: how much of each known signature a genome holds (refit).

# %%
from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from real_data import find

import bayesnmf as bn

# %%
catalogue = pd.read_csv(find("cosmic/COSMIC_v3.4_SBS_GRCh37.txt"), sep="\t", index_col=0).T
V = bn.datasets.breast21()
fit = bn.fit(V, bn.NMF(4), bn.MAP(n_init=5), progress=False)
found = bn.match(fit, catalogue)
print(found)

# %% [markdown]
# ## Every signature that a component could be

# %%
for component, pairs in found.cosine.groupby("component"):
    nearest = pairs.nlargest(3, "mean")
    words = (f"{row.reference} {row.mean:.2f}" for row in nearest.itertuples(index=False))
    print(component, ", ".join(words))

# %% [markdown]
# ## Names, and tables for other programs

# %%
named = fit.rename(found.assignment["reference"].to_dict())
print(named.summary().round(2).to_string())
folder = Path(tempfile.mkdtemp()) / "tables"
named.to_csv(folder)
print(f"Tables: {', '.join(str(path) for path in sorted(folder.iterdir()))}")

# %% [markdown]
# ## Refit: exposures to known signatures
#
# H is known, so only the exposures W are unknown, and each genome stands for itself. The signatures are those that
# breast cancers are known to hold. Intervals come from draws.

# %%
ACTIVE = ["SBS1", "SBS2", "SBS3", "SBS5", "SBS8", "SBS13", "SBS17b", "SBS18"]
method = bn.MCMC(num_samples=2000)
refit = bn.fit(V, bn.NMF(H=catalogue.loc[ACTIVE]), method, progress=False)
print(refit.W.to_pandas().round().astype(int).to_string())
exposures = refit.to_frame("W")
mutations = exposures.groupby("row")["mean"].transform("sum")
surely = exposures[exposures["5%"] > 0.05 * mutations]
print("Genomes of which a signature is surely 5 % or more:")
print(surely.groupby("component")["row"].agg(len).to_string())

# %% [markdown]
# ## A signature that the catalogue lacks
#
# Without SBS2 and SBS13 in the reference, a free component beside the known ones takes the place of both: the work of APOBEC.

# %%
some = catalogue.loc[[name for name in ACTIVE if name not in ("SBS2", "SBS13")]]
both = bn.fit(V, bn.NMF(len(some) + 1, H=some), bn.MAP(n_init=2), progress=False)
free = both.H["component"].to_numpy()[-1]
pairs = bn.match(both, catalogue).cosine
nearest = pairs[pairs["component"] == free].nlargest(2, "mean")
print(nearest[["reference", "mean"]].round(2).to_string(index=False))
