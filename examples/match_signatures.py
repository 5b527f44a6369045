# %% [markdown]
# # Mutational signatures: components beside the COSMIC catalogue
#
# Four components of 21 breast-cancer genomes, found without any catalogue, and what they are in
# COSMIC v3.4: the nearest signature of each, the best mixture of signatures, and tables for other programs.

# %%
from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from real_data import find

import bayesnmf as bn

# %%
catalogue = pd.read_csv(find("cosmic/COSMIC_v3.4_SBS_GRCh37.txt"), sep="\t", index_col=0).T
fit = bn.fit(bn.datasets.breast21(), bn.NMF(4), bn.MAP(n_init=5), progress=False)
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
