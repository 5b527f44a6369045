# %% [markdown]
# # Single cells: programs of genes, from an AnnData and back
#
# Counts of 230 genes in 80 blood cells. Cells differ in how many molecules were read of them, which is an exposure, not
# biology: the model takes it as known, and nothing is normalised or logged.

# %%
from __future__ import annotations

import warnings

import anndata
import pandas as pd
from real_data import find

import bayesnmf as bn

RANK, SHOWN = 4, 6
#: Genes by which blood cells are known.
MARKERS = {
    "B cells": ("CD79A", "CD79B", "MS4A1"),
    "monocytes": ("LYZ", "S100A8", "S100A9"),
    "killer cells": ("NKG7", "GNLY", "PRF1"),
    "platelets": ("PF4", "PPBP", "GNG11"),
}

# %%
counts = pd.read_csv(find("pbmc_small/pbmc_small_230x80_counts.csv"), index_col=0).T
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pandas, about anndata
    adata = anndata.AnnData(counts.astype(float))
    adata.layers["counts"] = adata.X.copy()
depth = counts.sum(axis=1) / counts.sum(axis=1).mean()
print(adata)

# %%
model = bn.NMF(RANK, bn.likelihoods.Poisson(exposure=depth))
fit = bn.fit(adata, model, bn.MAP(n_init=4), layer="counts", progress=False)
print(fit.message)

# %% [markdown]
# ## Which cells the components are
#
# A gene marks a component that holds most of it, not one in which it is frequent: every cell is full of the same few genes.

# %%
H = fit.H.to_pandas()
share = H / H.sum()
named = {name: share[list(genes)].mean(axis=1).idxmax() for name, genes in MARKERS.items()}
print(share[[gene for genes in MARKERS.values() for gene in genes]].round(2).to_string())
fit = fit.rename({component: name for name, component in named.items()})
print(fit.summary(top=SHOWN).round(2).to_string())

# %% [markdown]
# ## Back into the AnnData
#
# Scanpy's functions read `obsm["X_nmf"]` as any other embedding, such as `sc.pp.neighbors(adata, use_rep="X_nmf")`.

# %%
adata = bn.to_anndata(fit, adata)
print(adata.obsm["X_nmf"].shape, adata.varm["nmf"].shape, adata.uns["nmf"]["params"]["likelihood"])
