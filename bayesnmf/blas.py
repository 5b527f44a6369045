"""One thread for the linear algebra of small matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import threadpool_limits


class _Held:
    """How many blocks hold BLAS to one thread now, and what the first of them will restore."""

    lock = Lock()
    count = 0
    limits: threadpool_limits | None = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS and LAPACK use one thread in this block.

    Threads of OpenBLAS wait for each other by spinning. Beside the threads of XLA, or where a machine gives
    less than its cores, one decomposition of a 64 x 64 matrix so takes 50 ms in place of 0.1. XLA has threads of its own for
    products of matrices, which this leaves alone. The number of threads is one for the whole process: blocks
    in several threads hold it together, and the last one to end restores it.

    Examples
    --------
    >>> import numpy as np
    >>> with one_blas_thread():
    ...     values = np.linalg.eigvalsh(np.eye(3))
    >>> values.tolist()
    [1.0, 1.0, 1.0]
    """
    with _Held.lock:
        _Held.count += 1
        if _Held.count == 1:
            _Held.limits = threadpool_limits(1, user_api="blas")
    try:
        yield
    finally:
        with _Held.lock:
            _Held.count -= 1
            if _Held.count == 0 and _Held.limits is not None:
                _Held.limits.restore_original_limits()
