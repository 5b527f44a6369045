"""Cross-validation at the MAP estimate, against cross-validation by MCMC on the same folds."""

from __future__ import annotations

import numpy as np
import pytest
from small import run

import bayesnmf as bn
from bayesnmf.methods.matching import similarity
from bayesnmf.methods.optimise.initial import grown_start
from bayesnmf.progress import Silent
from bayesnmf.rank.at_map import measure_at_map
from bayesnmf.rank.measures import folds_of, measure_draws, run_tasks, summed
from bayesnmf.rank.settings import settings_of


def counts(seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(3.0, 2.0, (12, 1)) @ rng.gamma(3.0, 1.0, (1, 8))).astype(float)


def settings(V, method, criterion="kfold", n_folds=2):
    return settings_of(
        V,
        None,
        "poisson",
        method,
        "gamma",
        "gamma",
        criterion,
        n_folds=n_folds,
        n_replicates=19,
        seed=4,
    )


@pytest.mark.long
def test_density_of_held_out_cells_is_near_that_of_mcmc():
    V = counts()
    at_map = measure_at_map(settings(V, bn.MAP(n_init=2)), 1, None, Silent())
    by_mcmc = measure_draws(
        settings(V, bn.MCMC(num_warmup=100, num_samples=300, num_chains=2)), 1, Silent()
    )
    # Folds are the same, so cells are compared one by one: the Laplace approximation ignores how entries
    # of W and H depend on each other, which costs little in what they predict.
    assert np.corrcoef(at_map.elpd_i, by_mcmc.elpd_i)[0, 1] > 0.97
    gap = at_map.elpd_i - by_mcmc.elpd_i
    assert abs(gap.mean()) < 0.05
    assert by_mcmc.values["stability"] > 0.99
    assert at_map.values["elpd"] == summed(at_map.elpd_i)["elpd"]


def test_a_cell_that_nothing_informs_is_not_impossible():
    V = np.full((8, 6), 3.0)
    # A separate component would explain it, but predict nothing when it is left out.
    V[0, 0] = 400.0
    found = measure_at_map(settings(V, bn.MAP(n_init=2)), 2, None, Silent())
    assert np.isfinite(found.elpd_i).all()
    assert found.elpd_i.min() > -1000


@pytest.mark.long
def test_components_that_can_replace_each_other_predict_as_one():
    """They may trade any amount of a row, but not what their sum predicts of large counts."""
    V = np.round(1e6 * np.outer(np.arange(1.0, 13), np.arange(1.0, 9)))
    one, two = (measure_at_map(settings(V, bn.MAP(n_init=1)), k, None, Silent()) for k in (1, 2))
    assert abs(two.values["elpd"] - one.values["elpd"]) < 40


def test_folds_that_cannot_be_made_say_why():
    folds, note = folds_of(settings(np.ones((1, 6)), "map"))
    assert folds is None
    assert "every observed cell of column 0" in note


def test_tasks_run_in_order_here_and_elsewhere():
    from concurrent.futures import ThreadPoolExecutor

    class Square:
        def __init__(self, x: int) -> None:
            self.x = x

        def run(self) -> int:
            return self.x**2

    tasks = [Square(x) for x in range(5)]
    with ThreadPoolExecutor(2) as pool:
        assert run_tasks(tasks, None) == run_tasks(tasks, pool) == [0, 1, 4, 9, 16]


def test_similarity_is_the_mean_matched_cosine():
    H = np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    swapped = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(similarity(H[None], H), 1.0)
    np.testing.assert_allclose(similarity(np.stack([H, swapped]), H), (3 + np.sqrt(0.5)) / 4)


def test_grown_start_takes_up_what_the_smaller_fit_misses():
    rng = np.random.default_rng(0)
    W, H = rng.gamma(1.0, 50.0, (20, 2)), np.kron(np.eye(2), np.ones((1, 6)))
    V = rng.poisson(W @ H + 1.0).astype(float)
    V[3, 4] = np.nan
    small = run(V, bn.NMF(1), bn.MAP(n_init=1))
    matrix = bn.data.Matrix.of(V)
    model = bn.NMF(3).resolve(matrix)
    start = grown_start(model, matrix, (small.W.to_numpy(), small.H.to_numpy()))
    assert [x.shape for x in start] == [(20, 3), (3, 12)]
    assert all((x > 0).all() and np.isfinite(x).all() for x in start)
    np.testing.assert_allclose(start[0].sum(), start[1].sum())
    before = np.nansum((V - small.mean.to_numpy()) ** 2)
    after = np.nansum((V - start[0] @ start[1]) ** 2)
    assert after < 0.75 * before
