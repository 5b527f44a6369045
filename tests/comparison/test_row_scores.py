"""Log predictive densities of rows that a fit has not seen, against exact ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import small
from scipy import special, stats

import bayesnmf as bn
from bayesnmf.comparison.row_scores import score
from bayesnmf.priors import Gamma


def exact(V, h, shape, rate):
    """Return the log density of each row of counts, whose one weight is integrated out."""
    total = h.sum()
    shares = stats.multinomial(V.sum(axis=1).astype(int), h / total)
    return stats.nbinom.logpmf(V.sum(axis=1), shape, rate / (rate + total)) + shares.logpmf(V)


@pytest.mark.parametrize("method", small.METHODS)
def test_one_component_of_counts_is_negative_binomial(method):
    V = small.data(small.LIKELIHOODS["poisson"])
    fit = small.run(V, bn.NMF(1, "poisson", Gamma(1.4, 0.3), Gamma(1.0, 1.1)), method)
    found = score(fit, V + 1)
    scale = fit.tree["sample_stats/scale"].to_numpy()[..., None]
    H = (fit.tree["posterior/H"].to_numpy() * scale).reshape(-1, V.shape[1])
    each = np.array([exact(V + 1, h, 1.4, 0.3) for h in H])
    expected = special.logsumexp(each, axis=0) - np.log(len(H))
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("name", small.short_of(list(small.PLAIN), "poisson", "gaussian"))
def test_every_likelihood_is_scored_by_its_names(name):
    V = pd.DataFrame(small.data(small.LIKELIHOODS[name]), columns=list("vwxyz"))
    fit = small.run(V, small.model(name), "map")
    found, flipped = score(fit, V), score(fit, V[list("zyxwv")])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(flipped, found, atol=1e-6)
    V.iloc[0, 1:] = np.nan
    assert (score(fit, V)[1:] == found[1:]).all()


def test_what_has_no_score_is_refused():
    V = small.data(small.LIKELIHOODS["poisson"])
    flat = small.run(V, bn.NMF(1, prior_W="flat", prior_H="flat"), "map")
    with pytest.raises(ValueError, match="prior_W is flat"):
        score(flat, V)
    known = small.run(V, bn.NMF(2, W=np.ones((6, 1))), "map")
    with pytest.raises(ValueError, match="not for new rows"):
        score(known, V)
