"""What would not fit into memory is refused before it starts, with its size and what to do."""

from __future__ import annotations

import contextlib

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import small

import bayesnmf as bn
from bayesnmf.comparison import log_likelihood
from bayesnmf.data import Matrix, SparseMatrix, memory
from bayesnmf.data import matrix as matrices
from bayesnmf.data.blocks import CellBlocks
from bayesnmf.methods.draws import COPIES, require_room
from bayesnmf.methods.optimise import lbfgs as programs
from bayesnmf.methods.optimise import log_map
from bayesnmf.posterior.fitting import matrix_for
from bayesnmf.progress import Silent
from bayesnmf.rank.settings import settings_of

V = small.data(small.LIKELIHOODS["poisson"])
#: Bytes of one draw of a model of rank 2: W and H.
ONE_DRAW = 8 * 2 * sum(small.SHAPE)


# -- draws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["structured", "nuts"])
def test_mcmc_says_before_it_starts_that_its_draws_will_not_fit(monkeypatch, kernel):
    method = bn.MCMC(kernel=kernel, num_samples=1000, num_chains=4)
    monkeypatch.setattr(memory, "available_memory", lambda: COPIES * 4000 * ONE_DRAW - 1)
    monkeypatch.setattr(programs, "program_optimum", None)  # what would come first
    with pytest.raises(MemoryError) as error:
        bn.fit(V, bn.NMF(2), method, progress=False)
    text = str(error.value)
    assert "4000 draws of the 22 numbers in W, H and the parameters would take" in text
    assert "of memory are free" in text
    assert "fewer samples (num_samples) or chains" in text
    assert "float32" in text


def test_svi_and_resume_say_so_too(monkeypatch):
    fit = small.fitted("poisson", "mcmc")
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"1000 draws .* Ask for fewer draws \(num_samples\)"):
        bn.fit(V, bn.NMF(2), "svi", progress=False)
    with pytest.raises(MemoryError, match=r"100 draws .* Ask for fewer samples"):
        bn.resume(fit, 50, progress=False)
    with pytest.raises(MemoryError) as error:
        bn.fit(V.astype(np.float32), bn.NMF(2), "svi", progress=False)
    assert "float32" not in str(error.value)


def test_programs_count_all_their_sites(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"10 draws of the 23 numbers"):
        bn.fit(V, bn.load_model("schmidt2009"), bn.SVI(num_samples=10), progress=False)


def test_the_example_of_the_documentation_would_not_fit(monkeypatch):
    """2000 x 1000 cells of rank 20 and 4 chains of 20,000 draws take 38 GB as they are stored."""
    monkeypatch.setattr(memory, "available_memory", lambda: 64 * 2**30)
    matrix = Matrix.of(np.ones((2000, 1000)))
    with pytest.raises(MemoryError, match=r"107\.3 GiB, and 64\.0 GiB of memory are free"):
        require_room(bn.NMF(20), matrix, 4 * 20_000, "Ask for fewer samples")


# -- what the machine has -----------------------------------------------------------------------


def test_available_memory_is_the_least_that_anyone_grants(monkeypatch, tmp_path):
    meminfo, limit, used = (tmp_path / name for name in ("meminfo", "max", "current"))
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable:    3000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUPS", ((limit, used),))
    assert memory.available_memory() == 3000 * 1024
    for whole, taken, left in (
        ("max", "5", 3000 * 1024),
        ("100000", "20000", 80000),
        ("100000", "99000", 50000),
    ):
        limit.write_text(whole)
        used.write_text(taken)
        assert memory.available_memory() == left


def test_nothing_is_refused_where_nobody_says_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.require_memory(1e30, "draws", "")


def test_this_machine_has_memory():
    available = memory.available_memory()
    assert available is None or 2**20 < available < 2**60


# -- rows times columns -------------------------------------------------------------------------


@pytest.fixture
def no_budget(monkeypatch):
    monkeypatch.setattr(matrices, "DENSE_BUDGET", 8 * 29)


@pytest.mark.usefixtures("no_budget")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda fit: fit.mean, r"the mean of WH of shape \(6, 5\) .*fit.mean_at\(rows, columns\)"),
        (bn.plots.reconstruction, r"an image of shape \(6, 5\)"),
        (log_likelihood.log_likelihood, r"the log likelihood of shape \(40, 6, 5\)"),
    ],
)
def test_what_has_a_number_for_every_cell_obeys_the_budget(make, words):
    with pytest.raises(MemoryError, match=f"{words}.*raise bayesnmf.data.matrix.DENSE_BUDGET"):
        make(small.fitted("poisson", "mcmc"))


@pytest.mark.usefixtures("no_budget")
def test_scores_of_sparse_data_obey_the_budget():
    with pytest.raises(MemoryError, match="a number for every cell of V"):
        CellBlocks(SparseMatrix.of(scipy.sparse.csr_array(V))).observed  # noqa: B018


@pytest.mark.parametrize("method", small.METHODS)
def test_mean_at_is_the_mean_of_some_cells(method, monkeypatch):
    monkeypatch.setattr("bayesnmf.posterior.means.CELL_NUMBERS", 1)  # a cell at a time
    fit = small.fitted("poisson", method)
    rows, columns = [0, 5, 2, 2], [4, 0, 1, 1]
    np.testing.assert_allclose(
        fit.mean_at(rows, columns), fit.mean.to_numpy()[rows, columns], rtol=1e-12
    )
    np.testing.assert_allclose(fit.mean_at(3, range(5)), fit.mean[3], rtol=1e-12)
    assert fit.mean_at([], []).shape == (0,)


def test_mean_at_takes_the_names_of_the_data():
    days = pd.date_range("2026-01-01", periods=6)
    fit = small.run(pd.DataFrame(V, days, list("vwxyz")), bn.NMF(2), bn.MAP(n_init=1, max_iter=20))
    got = fit.mean_at([days[3], days[0]], ["z", "v"])
    np.testing.assert_allclose(got, fit.mean.to_numpy()[[3, 0], [4, 0]], rtol=1e-12)
    with pytest.raises(ValueError, match="there are no columns with the name 'q'"):
        fit.mean_at(days[:1], ["q"])
    with pytest.raises(ValueError, match="there are 2 rows and 3 columns"):
        fit.mean_at(days[:2], ["v", "w", "x"])


# -- sparse data --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expand",
    [
        lambda V: matrix_for(V, bn.NMF(2, "gamma"), bn.MAP()),
        lambda V: matrix_for(V, bn.NMF(2), bn.SVI("guide")),
        lambda V: settings_of(
            V, None, "poisson", "map", "gamma", "gamma", "auto", n_folds=2, n_replicates=19, seed=0
        ),
        lambda V: bn.kfold(V, bn.NMF(2, "gamma"), "map"),
    ],
)
def test_large_sparse_data_are_not_expanded_without_a_word(expand, monkeypatch):
    sparse = scipy.sparse.csr_array(V)
    monkeypatch.setattr(memory, "NOTED", 8 * V.size - 1)
    words = r"V of shape \(6, 5\) is sparse, .* need it dense: .*GiB"
    with pytest.warns(UserWarning, match=words), contextlib.suppress(ValueError):
        expand(sparse)  # kfold refuses a MAP estimate, but later


def test_sparse_data_that_stay_sparse_or_are_small_are_not_mentioned(monkeypatch):
    matrix_for(scipy.sparse.csr_array(V), bn.NMF(2, "gamma"), bn.MAP())
    monkeypatch.setattr(memory, "NOTED", 0)
    matrix_for(scipy.sparse.csr_array(V), bn.NMF(2), bn.MAP())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("likelihood", "kept"), [("poisson", True), ("gaussian", True), ("negative_binomial", False)]
)
def test_a_large_start_is_one_short_search_on_the_cheapest_storage(monkeypatch, likelihood, kept):
    asked = []
    monkeypatch.setattr(log_map, "LARGE", 30)
    monkeypatch.setattr(log_map, "FILLED", 0.5)
    monkeypatch.setattr(
        log_map,
        "find_optima",
        lambda search, model, matrix, starts, progress: (
            asked.append((search, matrix, starts)) or asked
        ),
    )
    monkeypatch.setattr(log_map, "Search", lambda solver, **options: options)
    mostly_zero = Matrix.of(np.eye(6, 5) + np.eye(6, 5, -1))
    key = jax.random.key(0)
    with pytest.raises(AttributeError):  # the pretended search has no sites
        log_map.log_map(bn.NMF(2, likelihood), mostly_zero, key, progress=Silent())
    ((search, matrix, starts),) = asked
    assert (search["max_iter"], len(starts)) == (log_map.SHORT, 1)
    assert isinstance(matrix, SparseMatrix) == kept
