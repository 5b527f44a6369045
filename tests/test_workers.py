"""Executors: the same results from every kind of pool, and a sentence if a pool cannot work."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path

import jax
import numpy as np
import pytest
import small
import synthetic

import bayesnmf as bn
from bayesnmf import workers
from bayesnmf.model import Program
from bayesnmf.zoo import load as zoo_files

V = small.data(small.LIKELIHOODS["poisson"])
SVI = bn.SVI(num_steps=40, num_samples=10)


# -- every kind of pool -------------------------------------------------------------------------


@contextmanager
def processes(method):
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        yield pool


@contextmanager
def loky():
    from joblib.externals.loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=1)
    yield pool
    pool.shutdown(wait=True)


@contextmanager
def dask():
    import distributed

    with distributed.Client(
        n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as client:
        yield client.get_executor()


POOLS = {
    "spawn": lambda: processes("spawn"),
    "forkserver": lambda: processes("forkserver"),
    "loky": loky,
    "dask": dask,
}


@pytest.fixture(scope="module")
def as_here(tmp_path_factory):
    """Let workers compile as this process does, and find what it has compiled."""
    cache = jax.config.jax_compilation_cache_dir or tmp_path_factory.mktemp("jax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
        yield


def held_out(executor):
    """Return what each cell gets from folds, whose fits are made up to save time."""
    method = synthetic.MadeUp(num_samples=40)
    return bn.kfold(
        V, small.model("poisson"), method, n_folds=2, executor=executor, progress=False
    ).elpd_i


def swept(executor):
    """Return the table of a sweep, whose folds and replicates run through the executor."""
    options = {"method": bn.MAP(n_init=1), "n_replicates": 19, "n_folds": 2, "progress": False}
    return bn.select_rank(V, [1], executor=executor, **options).table.drop(columns="seconds")


@pytest.mark.parametrize("name", POOLS)
def test_every_pool_gives_the_same_results(name, as_here):
    with POOLS[name]() as pool:
        np.testing.assert_allclose(held_out(pool), held_out(None), rtol=1e-10)
        if name == "spawn":  # once, because it compiles much
            here = swept(None).to_numpy(float)
            np.testing.assert_allclose(swept(pool).to_numpy(float), here, rtol=1e-6)


# -- pools that cannot work ---------------------------------------------------------------------


FORKED = """
import sys, warnings
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
import bayesnmf as bn
from synthetic import MadeUp
warnings.simplefilter("ignore")  # of the fork itself

V = np.arange(1.0, 13.0).reshape(4, 3)

class Disguised(Executor):
    def __init__(self, pool):
        self.pool = pool

    def submit(self, function, *arguments):
        return self.pool.submit(function, *arguments)

def fit(_):
    return bn.fit(V, bn.NMF(1), MadeUp(num_samples=9), progress=False).method

def attempt(make):
    try:
        print(make(), flush=True)
    except ValueError as error:
        print(error, flush=True)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        attempt(lambda: list(pool.map(fit, [0])))  # JAX has not started
    fit(0)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        attempt(lambda: list(pool.map(fit, [0])))
        options = {"n_folds": 2, "executor": Disguised(pool), "progress": False}
        attempt(lambda: bn.kfold(V, bn.NMF(1), MadeUp(num_samples=9), **options).elpd)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_says_what_it_cannot_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FORKED)
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": here},
    )
    before, fit, folds = done.stdout.splitlines()
    assert before == "['svi']"
    for sentence in (fit, folds):
        assert sentence.startswith("this process was forked from one that had used JAX")
        assert workers.WORKING_LINE in sentence


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("verb", ["kfold", "select_rank", "loo", "compare"])
def test_a_pool_that_forks_is_refused_at_the_door(verb):
    fit = synthetic.assembled(*synthetic.draws())
    calls = {
        "kfold": lambda pool: bn.kfold(V, bn.NMF(1), SVI, executor=pool),
        "select_rank": lambda pool: bn.select_rank(V, executor=pool),
        "loo": lambda pool: bn.loo(fit, escalate=True, executor=pool),
        "compare": lambda pool: bn.compare(
            {"one": fit, "other": fit}, escalate=True, executor=pool
        ),
    }
    # A pool starts no process before it has work.
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        with pytest.raises(ValueError, match="forks its processes") as refused:
            calls[verb](pool)
        assert workers.WORKING_LINE in str(refused.value)


def test_the_line_that_the_sentence_gives_works():
    names = {"ProcessPoolExecutor": ProcessPoolExecutor, "multiprocessing": multiprocessing}
    with eval(workers.WORKING_LINE, names) as pool:
        workers.require_executor(pool)


def test_what_is_no_executor_is_refused():
    with ThreadPool(1) as pool, pytest.raises(TypeError, match="not ThreadPool; of joblib, give"):
        bn.kfold(V, bn.NMF(1), SVI, executor=pool)


class Failing(Executor):
    """An executor whose work ends in an error; it keeps what it was given."""

    def __init__(self, error):
        self.error, self.futures = error, []

    def submit(self, function, *arguments):
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_exception(self.error)
        return self.futures[-1]


@pytest.mark.parametrize(
    ("raised", "error", "sentence"),
    [
        (BrokenExecutor("terminated abruptly"), BrokenExecutor, 'if __name__ == "__main__":'),
        (pickle.PicklingError("Can't pickle <lambda>"), ValueError, "bn.load_model"),
        (AttributeError("Can't get local object 'f.<locals>.g'"), ValueError, "or use threads"),
        (AttributeError("no attribute"), AttributeError, "^no attribute$"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_failures_of_workers_are_sentences_and_cancel_the_rest(raised, error, sentence):
    executor = Failing(raised)
    with pytest.raises(error, match=sentence):
        workers.run_all(abs, [1, 2, 3], executor)
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


# -- what is sent -------------------------------------------------------------------------------


def session_model(V=None, shape=None, n_components=2):
    """Only its name travels."""


@pytest.mark.parametrize(
    "sent",
    [
        *small.LIKELIHOODS.values(),
        *small.METHODS.values(),
        *(
            prior()
            for prior in (bn.priors.Gamma, bn.priors.Exponential, bn.priors.ARD, bn.priors.Flat)
        ),
        bn.NMF(2, "negative_binomial", "ard", "gamma"),
        Program(session_model, {"n_components": 3}),
        bn.load_model("schmidt2009", n_components=3, k=2.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_models_and_their_parts_pickle(sent):
    again = pickle.loads(pickle.dumps(sent))
    assert type(again) is type(sent)
    assert repr(again) == repr(sent)


def test_a_fit_pickles():
    program = bn.load_model("cemgil2009", n_components=3)
    for fit in (
        synthetic.assembled(*synthetic.draws()),
        synthetic.assembled(*synthetic.draws(), model=program),
    ):
        again = pickle.loads(pickle.dumps(fit))
        assert again.tree.identical(fit.tree)
        assert repr(again.model) == repr(fit.model)


def test_a_program_needs_its_file_no_longer(tmp_path):
    """A worker on another machine has no copy of it."""
    source = (zoo_files._zoo()["cemgil2009"]).read_text()
    path = tmp_path / "mine.py"
    path.write_text(source)
    program = bn.load_model(path, n_components=2)
    sent = pickle.dumps(program)
    path.unlink()
    again = pickle.loads(sent)
    assert again == program
    assert again.name == "mine"
    assert hash(again.function) == hash(program.function)
    path.write_text(source + "\n")
    assert bn.load_model(path, n_components=2) != program
