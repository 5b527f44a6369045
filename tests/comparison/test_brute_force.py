"""Leave-one-out of a real problem, against one refit for each cell left out."""

from __future__ import annotations

import arviz_stats
import numpy as np
import pytest
from scipy import stats

import bayesnmf as bn
from bayesnmf.comparison.log_likelihood import log_likelihood
from bayesnmf.comparison.loo import loo

METHOD = bn.MCMC(num_warmup=150, num_samples=350, num_chains=2)
N_CELLS = 8


def run(V):
    return bn.fit(V, bn.NMF(3), METHOD, seed=1, progress=False)


def relative_error(values):
    """Return the standard error of the log of a mean over (chain, draw)."""
    ess = arviz_stats.base.array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean")
    return values.std() / values.mean() / np.sqrt(ess)


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.filterwarnings("ignore:Pareto k")
def test_cells_left_out_by_refits():
    """The four hardest cells and four others; false alarm 1e-3 over all of them and their sum.

    The refits differ in one cell's mask, so that all of them run the program of the first.
    """
    V, _, _ = bn.datasets.make_nmf(20, 15, 3, "poisson", seed=3)
    V[0, 0] = np.nan  # so that the fit of all cells, too, has a mask
    fit = run(V)
    plain, ours = loo(fit), loo(fit, escalate=True)
    assert (ours.pareto_k <= ours.good_k).all()
    assert not ours.warning
    hard = np.argsort(-plain.pareto_k.to_numpy())
    assert plain.pareto_k[hard[0]] > plain.good_k
    others = np.random.default_rng(0).choice(hard[N_CELLS // 2 :], N_CELLS // 2, replace=False)
    difference, error = [], []
    density_of_all = np.exp(log_likelihood(fit).to_numpy())
    for cell in [*hard[: N_CELLS // 2], *others]:
        at = int(ours.elpd_i["row"][cell]), int(ours.elpd_i["column"][cell])
        without = V.copy()
        without[at] = np.nan
        posterior = run(without).tree["posterior"]
        mean = (posterior["W"].to_numpy()[:, :, at[0]] * posterior["H"].to_numpy()[..., at[1]]).sum(
            axis=-1
        )
        density = stats.poisson.pmf(V[at], mean)
        difference.append(np.log(density.mean()) - float(ours.elpd_i[cell]))
        inverse = 1.0 / density_of_all[..., at[0], at[1]]
        error.append(np.hypot(relative_error(density), relative_error(inverse)))
    limit = stats.norm.isf(0.5e-3 / (N_CELLS + 1))
    difference, error = np.array(difference), np.array(error)
    assert (abs(difference) < limit * error).all()
    assert abs(difference.sum()) < limit * np.linalg.norm(error)
