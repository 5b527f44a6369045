"""Work that is sent to an executor: what may be sent where, and how results come back."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future

#: What to write instead of a pool of forked processes.
WORKING_LINE = 'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'


#: The process that imported this module, or one forked from it before JAX had any threads.
_owner = os.getpid()


def run_all[T, R](
    function: Callable[[T], R],
    items: Iterable[T],
    executor: Executor | None,
    done: Callable[[], object] = lambda: None,
) -> list[R]:
    """Apply a function to each item, here or through an executor, and return results in order.

    Parameters
    ----------
    function : callable
    items : iterable
        Each can be pickled.
    executor : concurrent.futures.Executor or None
        None: here, one after another.
    done : callable
        Called after each item.

    Returns
    -------
    list

    Raises
    ------
    TypeError, ValueError
        As :func:`require_executor`, and for items that cannot be pickled.
    concurrent.futures.BrokenExecutor
        When a worker process ends before its work is done.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     run_all(abs, [-1, 2], pool)
    [1, 2]
    """
    require_executor(executor)
    if executor is None:
        results = []
        for item in items:
            results.append(function(item))
            done()
        return results
    waiting = [executor.submit(_run, function, item) for item in items]
    for future in waiting:
        future.add_done_callback(lambda _: done())
    try:
        return [_result(future) for future in waiting]
    finally:
        for future in waiting:  # after a failure or Ctrl-C nobody waits for the others
            future.cancel()


def require_executor(executor: object) -> None:
    """Raise unless work can be sent to `executor`, or it is None.

    Raises
    ------
    TypeError
        For what is no executor.
    ValueError
        For a pool of forked processes, in which JAX waits forever: its threads do not survive a
        fork.
    """
    if executor is None:
        return
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}; of "
            "joblib, give joblib.externals.loky.get_reusable_executor(), and of a Dask client, "
            "client.get_executor()"
        )
    # Neither the standard library nor loky shows the start method of a pool in public.
    context = getattr(executor, "_mp_context", None) or getattr(executor, "_context", None)
    method = getattr(context, "get_start_method", None)
    if callable(method) and method() == "fork":
        raise ValueError(
            "this executor forks its processes, and JAX does not survive a fork: the work would "
            f"never end. Write executor = {WORKING_LINE}"
        )


def require_own_jax() -> None:
    """Raise in a process that was forked from one in which JAX had started.

    Its threads are then gone, and the first computation would wait for them forever.

    Raises
    ------
    ValueError
        With the line that starts a pool whose workers can compute.
    """
    global _owner  # noqa: PLW0603
    if os.getpid() == _owner:
        return
    from jax._src import xla_bridge  # JAX has no public name for it

    if xla_bridge.backends_are_initialized():
        raise ValueError(
            "this process was forked from one that had used JAX, which does not survive a fork: "
            "the computation would never end. Start processes by the method 'spawn', as in "
            f"{WORKING_LINE}"
        )
    _owner = os.getpid()


def _run[T, R](function: Callable[[T], R], item: T) -> R:
    require_own_jax()
    return function(item)


def _result[R](future: Future[R]) -> R:
    """Return a result, or say in a sentence why the work could not be sent or done."""
    try:
        return future.result()
    except BrokenExecutor as error:
        raise BrokenExecutor(
            "a worker process ended before its work was done. Its memory may be too small; a "
            'script that starts processes needs the line if __name__ == "__main__": before what '
            "it does; and a model that is a function needs a module that workers can import"
        ) from error
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error) and "local object" not in str(error):
            raise
        raise ValueError(
            f"the work cannot be sent to another process ({error}). Define the model's function "
            "in a module that workers can import or in a file for bn.load_model, or use threads"
        ) from error
