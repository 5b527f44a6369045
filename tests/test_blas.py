"""BLAS held to one thread."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from bayesnmf.blas import one_blas_thread


def test_blas_keeps_its_threads_after_several_blocks():
    def threads():
        return [x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"]

    np.linalg.eigvalsh(np.eye(2))
    before = threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads()) == {1}
    second.__exit__(None, None, None)
    assert threads() == before
