"""One call of native code, shared out over XLA's threads.

Work is a block of words: a header, and the address and the shape of every argument and result.
Rows are cut into pieces with equally many stored cells. Every thread takes pieces until none are
left: the one that XLA called, and as many of XLA's pool as are free meanwhile. The call returns
without waiting for those, so that calls that other threads make at the same time never wait for
each other; the thread that ends the last piece tells XLA that the results are there.
"""

from __future__ import annotations

import numba

from bayesnmf.observed.call_frame import (
    API,
    ARGUMENTS,
    BUFFER_DATA,
    BUFFER_RANK,
    BUFFER_SHAPE,
    CONTEXT,
    COUNT_THREADS,
    CREATE_FUTURE,
    DESTROY_ERROR,
    END_FUTURE,
    EXECUTE,
    FUTURE,
    LIST_ITEMS,
    LIST_SIZE,
    RESULTS,
    SCHEDULE,
    STAGE,
    add,
    allocate,
    answer_question,
    call,
    free,
    is_question,
    load,
    load_short,
    store,
)

#: Stored cells below which handing work to other threads takes longer than the work.
FEW = 2_000


#: Pieces of work a thread, so that an unlucky one does not hold up the rest.
PIECES = 4


#: Words of the header; the last are arguments of XLA's functions, at the beginning and at the end.
KIND, NEXT, LEFT, THREADS, N_PIECES, TABLE, FUTURE_OF, ASKING, ENDING = (
    0,
    8,
    16,
    24,
    32,
    40,
    48,
    56,
    96,
)
BUFFERS = 120


#: What a call frame never begins with: its size.
IS_WORK = -1


@numba.njit
def begin(pointer, task, n_parts, stamp):  # type: ignore[no-untyped-def]
    """Return the work that there is to do, or 0: at a call frame of XLA, or work that is under way.

    Parameters
    ----------
    pointer : int
        What the function was called with.
    task : int
        Address of the function, for other threads.
    n_parts : int
        Pieces to cut the rows in where there are not few cells. 0: as suits the threads.
    stamp : str
        Changes when any code does: constants are all that Numba's cache compares.
    """
    if load(pointer) == IS_WORK:
        return pointer
    if is_question(pointer):
        answer_question(pointer)
        return 0
    if load_short(pointer + STAGE) != EXECUTE:
        return 0
    work = _copied(pointer)
    n_threads = 1 if _n_stored(work) < FEW else _count_threads(pointer, work)
    n_pieces = PIECES * n_threads if n_parts == 0 and n_threads > 1 else max(n_parts, 1)
    n_pieces = 1 if _n_stored(work) < FEW else n_pieces
    store(work + N_PIECES, n_pieces)
    store(work + LEFT, n_pieces)
    store(work + THREADS, 1)
    if n_threads > 1 and _ask(work, CREATE_FUTURE):
        future = load(work + ASKING + 16)
        store(work + FUTURE_OF, future)
        store(pointer + FUTURE, future)
        _schedule(pointer, work, task, min(n_threads, n_pieces) - 1)
    return work


@numba.njit
def pieces(work, starts):  # type: ignore[no-untyped-def]
    """Take pieces that nobody has taken yet: yield the number of each, its first row, and the end.

    The thread that ends the last one tells XLA, and the last to leave gives the memory back.
    """
    n_pieces = load(work + N_PIECES)
    piece = add(work + NEXT, 1)
    while piece < n_pieces:
        yield piece, _cut(starts, piece, n_pieces), _cut(starts, piece + 1, n_pieces)
        if add(work + LEFT, -1) == 1 and load(work + FUTURE_OF) != 0:
            store(work + ENDING, 24)
            store(work + ENDING + 8, 0)
            store(work + ENDING + 16, load(work + FUTURE_OF))
            call(load(load(work + TABLE) + END_FUTURE), work + ENDING)
        piece = add(work + NEXT, 1)
    if add(work + THREADS, -1) == 1:
        free(work)


@numba.njit
def buffer(work, i):  # type: ignore[no-untyped-def]
    """Return the address of an argument or result, and its shape, the last axis first."""
    place = work + BUFFERS + 24 * i
    return load(place), load(place + 8), load(place + 16)


@numba.njit
def _copied(frame):  # type: ignore[no-untyped-def]
    """Return new work with what the frame says, which is gone when the call returns."""
    n_arguments = load(frame + ARGUMENTS + LIST_SIZE)
    n_results = load(frame + RESULTS + LIST_SIZE)
    work = allocate(BUFFERS + 24 * (n_arguments + n_results))
    store(work + KIND, IS_WORK)
    store(work + NEXT, 0)
    store(work + TABLE, load(frame + API))
    store(work + FUTURE_OF, 0)
    for i in range(n_arguments + n_results):
        if i < n_arguments:
            given = load(load(frame + ARGUMENTS + LIST_ITEMS) + 8 * i)
        else:
            given = load(load(frame + RESULTS + LIST_ITEMS) + 8 * (i - n_arguments))
        rank, shape = load(given + BUFFER_RANK), load(given + BUFFER_SHAPE)
        place = work + BUFFERS + 24 * i
        store(place, load(given + BUFFER_DATA))
        store(place + 8, load(shape + 8 * (rank - 1)) if rank > 0 else 1)
        store(place + 16, load(shape) if rank > 1 else 1)
    return work


@numba.njit
def _n_stored(work):  # type: ignore[no-untyped-def]
    return buffer(work, 1)[1]


@numba.njit
def _count_threads(frame, work):  # type: ignore[no-untyped-def]
    """Return how many threads there are in XLA's pool, 1 where there is none."""
    count = work + ENDING  # free until the end
    store(work + ASKING + 16, load(frame + CONTEXT))
    store(work + ASKING + 24, count)
    return load(count) if _ask(work, COUNT_THREADS) else 1


@numba.njit
def _schedule(frame, work, task, number):  # type: ignore[no-untyped-def]
    """Let other threads take pieces too."""
    add(work + THREADS, number)
    for _ in range(number):
        store(work + ASKING + 16, load(frame + CONTEXT))
        store(work + ASKING + 24, task)
        store(work + ASKING + 32, work)
        if not _ask(work, SCHEDULE):
            add(work + THREADS, -1)


@numba.njit
def _ask(work, function):  # type: ignore[no-untyped-def]
    """Call a function of XLA's table with what was written after the first words; return whether it went well."""
    table = load(work + TABLE)
    if load(table) <= function:  # XLA is older than the function
        return False
    size = 24 if function == CREATE_FUTURE else 32 if function == COUNT_THREADS else 40
    store(work + ASKING, size)
    store(work + ASKING + 8, 0)
    return _forget(work, call(load(table + function), work + ASKING))


@numba.njit
def _forget(work, error):  # type: ignore[no-untyped-def]
    """Return whether there is no error, and destroy it if there is one."""
    if error == 0:
        return True
    store(work + ASKING, 24)
    store(work + ASKING + 8, 0)
    store(work + ASKING + 16, error)
    call(load(load(work + TABLE) + DESTROY_ERROR), work + ASKING)
    return False


@numba.njit
def _cut(starts, piece, n_pieces):  # type: ignore[no-untyped-def]
    """Return the first row of a piece."""
    n_rows = len(starts) - 1
    if piece == n_pieces:
        return n_rows
    wanted, low, high = starts[n_rows] * piece // n_pieces, 0, n_rows
    while low < high:
        middle = (low + high) // 2
        if starts[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
