# %% [markdown]
# # scikit-learn: a pipeline, a search, and what is behind them
#
# `BayesianNMF` is a transformer like any other. Its score is the log predictive density of rows that were not in the fit, so a
# search can choose the number of components by it.

# %%
from __future__ import annotations

import numpy as np
import scipy.sparse
from real_data import find
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import bayesnmf as bn

# %% [markdown]
# ## A search for the number of components
#
# Mutations of 21 breast-cancer genomes, in 96 classes.

# %%
X = bn.datasets.breast21()
quick = bn.BayesianNMF(init="nndsvd", random_state=0)  # one start, to save time
search = GridSearchCV(quick, {"n_components": [2, 3, 4]}, cv=3).fit(X)
print(search.best_params_, search.cv_results_["mean_test_score"].round(1))

# %% [markdown]
# ## The posterior is there too

# %%
best = search.best_estimator_
print(best.fit_.summary(top=3).round(2).to_string())
print(bn.uniqueness(best.fit_))

# %% [markdown]
# ## A pipeline: topics of weighted words
#
# Words of Reuters news that occur in 30 documents or more, weighted by TF-IDF. Such values are no counts, so their scale says nothing
# of their noise; the priors are then flat, and the fit is that of scikit-learn's `NMF` with the Kullback-Leibler loss.

# %%
counts = scipy.sparse.load_npz(find("reuters/reuters_counts.npz")).tocsr()
words = np.array(find("reuters/reuters.tokens").read_text().split("\n"))[: counts.shape[1]]
frequent = np.asarray((counts > 0).sum(axis=0)).ravel() >= 30
pipeline = make_pipeline(TfidfTransformer(), bn.BayesianNMF(4, init="nndsvd", random_state=0))
W = pipeline.fit_transform(counts[:, frequent])
topics = [words[frequent][np.argsort(-h)[:8]] for h in pipeline[-1].components_]
for topic in topics:
    print(" ".join(topic))
