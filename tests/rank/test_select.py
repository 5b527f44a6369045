"""select_rank on data whose rank is known, and on data that have none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small import same

import bayesnmf as bn
from bayesnmf.rank import select as rank
from bayesnmf.rank.settings import as_ranks, settings_of

QUICK = {"n_replicates": 39, "progress": False, "method": bn.MAP(n_init=2)}


def planted(truth: int, seed: int = 0, missing: float = 0.0, spread: float = 0.0) -> np.ndarray:
    """Draw counts whose components have columns of their own, and strong ones."""
    rng = np.random.default_rng(seed)
    H = np.kron(np.eye(truth), np.ones(12 // truth)) + 0.1
    mean = rng.gamma(1.0, 60.0, (18, truth)) @ H
    if spread:
        mean = mean * rng.gamma(1 / spread, spread, mean.shape)
    V = rng.poisson(mean).astype(float)
    V[rng.random(V.shape) < missing] = np.nan
    return V


@pytest.fixture(scope="module")
def selection() -> bn.RankSelection:
    return bn.select_rank(planted(2, missing=0.05), range(1, 4), **QUICK)


def test_planted_rank_is_found_by_every_criterion(selection):
    assert selection.best == 2
    assert selection.verdicts["residual check"] == 2
    assert selection.verdicts["elpd, one standard error"] == 2
    assert selection.best_fit is selection.fits[2]
    assert selection.message.startswith("Rank 2: the smallest that passes the residual check")
    assert selection.table["dispersion_p"][2] > 0.05
    assert selection.table["stability"][2] > 0.999
    assert selection.table["converged"].all()
    assert selection.table[["waic", "bad_k", "elbo"]].isna().all(axis=None)


def test_every_observed_cell_is_predicted_once(selection):
    V = planted(2, missing=0.05)
    assert selection.elpd_i.shape == (3, np.isfinite(V).sum())
    np.testing.assert_allclose(selection.table["elpd"], selection.elpd_i.sum(axis=1))


def test_fits_are_of_their_ranks_on_all_data(selection):
    for number, fit in selection.fits.items():
        assert fit.n_components == number
        assert fit.converged
        np.testing.assert_array_equal(fit.V, planted(2, missing=0.05))


def test_threads_and_order_change_nothing(selection):
    with ThreadPoolExecutor(2) as pool:
        again = bn.select_rank(
            planted(2, missing=0.05), [3, 1, 2, 2], executor=pool, resume_from=None, **QUICK
        )
    columns = selection.table.columns.drop("seconds")
    assert again.table[columns].equals(selection.table[columns])


def test_finished_ranks_are_not_fitted_again(selection, tmp_path):
    V = planted(2, missing=0.05)
    first = bn.select_rank(V, [1, 2], **QUICK)
    first.save(tmp_path / "sweep.nc")
    resumed = bn.select_rank(V, [1, 2, 3], resume_from=tmp_path / "sweep.nc", **QUICK)
    assert resumed.table.drop(columns="seconds").equals(selection.table.drop(columns="seconds"))
    assert resumed.table["seconds"][2] == first.table["seconds"][2]
    assert all(same(resumed.fits[number], selection.fits[number]) for number in (1, 2, 3))
    # What is returned was asked for, whatever the earlier sweep holds.
    assert bn.select_rank(V, [3], resume_from=resumed, **QUICK).best == 3


def test_another_sweep_is_not_continued(selection):
    with pytest.raises(ValueError, match="cannot be continued: its data is"):
        bn.select_rank(planted(2), [1], resume_from=selection, **QUICK)
    with pytest.raises(ValueError, match="its seed is 0, not 1"):
        bn.select_rank(planted(2, missing=0.05), [1], resume_from=selection, seed=1, **QUICK)


def test_interruption_keeps_what_is_finished(selection, monkeypatch):
    measure = rank._measure

    def interrupted(settings, number, done, progress):
        if number == 3:
            raise KeyboardInterrupt
        return measure(settings, number, done, progress)

    monkeypatch.setattr(rank, "_measure", interrupted)
    kept = bn.select_rank(planted(2, missing=0.05), range(1, 4), resume_from=selection, **QUICK)
    assert kept.table.index.tolist() == [1, 2, 3]  # nothing was left to do
    V = planted(2, seed=1)
    cut = bn.select_rank(V, [2, 3], **QUICK)
    assert cut.table.index.tolist() == [2]
    assert "Interrupted before rank 3: continue with resume_from" in cut.message
    with pytest.raises(KeyboardInterrupt):
        bn.select_rank(V, [3], **QUICK)


def test_a_sweep_that_fails_leaves_the_finished_ranks_in_its_file(monkeypatch, tmp_path):
    measure = rank._measure

    def failing(settings, number, done, progress):
        if number == 3:
            raise MemoryError
        return measure(settings, number, done, progress)

    monkeypatch.setattr(rank, "_measure", failing)
    V, path = planted(2, missing=0.05), tmp_path / "sweep.nc"
    with pytest.raises(MemoryError):
        bn.select_rank(V, [1, 2, 3], save_to=path, **QUICK)
    monkeypatch.undo()
    assert bn.load(path).table.index.tolist() == [1, 2]
    whole = bn.select_rank(V, [1, 2, 3], resume_from=path, save_to=path, **QUICK)
    assert bn.load(path).table.equals(whole.table)
    with pytest.raises(ValueError, match=r"save_to .*the name must end in \.nc or \.zarr"):
        bn.select_rank(V, [1], save_to=tmp_path / "sweep.csv", **QUICK)


def test_known_arrays_tell_sweeps_apart():
    V = planted(2)
    one, other = (
        settings_of(
            V,
            None,
            bn.likelihoods.Poisson(exposure=np.full(V.shape, exposure)),
            "map",
            "gamma",
            "gamma",
            "auto",
            n_folds=5,
            n_replicates=19,
            seed=0,
        ).describe()
        for exposure in (1.0, 2.0)
    )
    assert one["arrays"].keys() == {"exposure"}
    assert one != other


@pytest.mark.long
def test_overdispersed_counts_are_called_so():
    V = planted(2, spread=0.1)
    selection = bn.select_rank(V, [1, 2], **QUICK)
    assert "Overdispersed at that rank" in selection.message
    assert "try likelihood='negative_binomial'" in selection.message
    better = bn.select_rank(V, [2], "negative_binomial", **QUICK)
    assert better.best == 2
    assert "Overdispersed" not in better.message
    assert better.table["elpd"][2] > selection.table["elpd"][2]


@pytest.mark.numpyro_promotion("rank")
def test_draws_fill_the_other_columns():
    svi = bn.SVI(num_steps=300, num_samples=100)
    selection = bn.select_rank(planted(2), [1], method=svi, progress=False)
    table = selection.table
    assert table[["waic", "bad_k", "elbo", "residual_p"]].notna().all(axis=None)
    assert selection.verdicts["elbo"] == selection.verdicts["waic"] == 1
    assert table["stability"].isna().all()  # one chain has nothing to agree with
    assert table["residual_p"][1] < 0.01


@pytest.mark.parametrize(
    ("ranks", "sentence"),
    [
        ([], "ranks is empty"),
        (range(0), "ranks is empty"),
        ([0, 1], "at least 1, not 0"),
        ([-2], "at least 1, not -2"),
        ([1, 5], "rank 5 is above 4, the smaller side of V"),
        (["2"], "ranks must be integers, not '2'"),
        ([1.5], "must be integers"),
        ([True], "must be integers"),
        ("1:3", "must be a range, a list of integers or 'auto'"),
        (3, "must be a range"),
    ],
)
def test_bad_ranks_are_one_sentence(ranks, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        bn.select_rank(np.ones((5, 4)), ranks, progress=False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prior_W": "flat"}, "prior_W is flat"),
        ({"criterion": "loo"}, "needs draws"),
        ({"criterion": "waic"}, "unknown criterion 'waic'; valid"),
        ({"n_folds": 1}, "n_folds must be at least 2"),
        ({"n_replicates": 5}, "n_replicates must be at least 19"),
        ({"seed": 0.5}, "seed must be"),
        ({"method": bn.MAP(solver="mu")}, "too often for solver='mu'"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"resume_from": 3}, "resume_from must be a"),
        ({"prior_W": "ard", "prior_H": "ard"}, "'ard', have no MAP estimate in log space"),
        ({"method": "em"}, "em"),
        ({"likelihood": "cauchy"}, "cauchy"),
        ({"method": bn.MAP(init=(np.ones((5, 1)), np.ones((1, 4))))}, "one rank"),
    ],
)
def test_bad_options_are_one_sentence(options, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        bn.select_rank(np.ones((5, 4)), [1], progress=False, **options)


def test_all_zero_data_have_no_components():
    with pytest.raises(ValueError, match="every observed cell of V is 0"):
        bn.select_rank(np.zeros((5, 4)), [1], progress=False)


def test_fractions_and_missing_rows_are_named():
    with pytest.raises(ValueError, match=r"V\[0, 0\] = 0.5 is not an integer"):
        bn.select_rank(np.full((5, 4), 0.5), [1], progress=False)
    with pytest.raises(ValueError, match="row 1 has no observed cell"):
        bn.select_rank([[1.0, 2.0], [np.nan, np.nan]], [1], progress=False)


def test_one_row_has_rank_one_and_says_what_is_missing():
    selection = bn.select_rank(np.arange(1.0, 9.0)[None], **QUICK)
    assert selection.table.index.tolist() == [1]
    assert selection.best == 1
    assert "No elpd, for cells cannot be predicted from the others" in selection.message
    assert "nan" not in repr(selection).lower()
    again = bn.select_rank(np.arange(1.0, 9.0)[None], resume_from=selection, **QUICK)
    assert again.message == selection.message


@pytest.mark.long
def test_constant_data_have_rank_one():
    assert bn.select_rank(np.full((8, 6), 5.0), [1, 2], **QUICK).best == 1


def test_ranks_default_to_ten_or_the_smaller_side():
    assert as_ranks(None, (30, 40)) == list(range(1, 11))
    assert as_ranks(None, (30, 4)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "method",
    [
        "map",
        bn.MCMC(num_warmup=50, num_samples=100, num_chains=2),
    ],
)
@pytest.mark.long
def test_ranks_count_free_components_beside_known_ones(method):
    V, _, H = bn.datasets.make_nmf(30, 12, 3, "poisson", seed=5)
    found = bn.select_rank(V, [0, 1, 2], method=method, H=H[:2], n_replicates=19, progress=False)
    assert found.table.index.tolist() == [0, 1, 2]
    assert found.best == 1
    assert found.fits[1].n_components == 3
    assert found.fits[1].known == {"W": 0, "H": 2}
    with pytest.raises(ValueError, match="at least 0"):
        bn.select_rank(V, [-1], H=H[:2])
    with pytest.raises(ValueError, match="less 2 known components"):
        bn.select_rank(V, [11], H=H[:2])
