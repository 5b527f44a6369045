"""What the shell sees when a run ends early: signals, statuses, one line on standard error."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bayesnmf.cli import startup

#: What the shell sees: `fit` or `check` found no convergence; an error; Ctrl-C.
NOT_CONVERGED, ERROR, INTERRUPTED = 1, 2, startup.INTERRUPTED


#: Seconds that compiled code has to come to an end after Ctrl-C.
GRACE = 5.0


#: Signals that end a run with what it has: from the keyboard, and from a batch system.
STOPPING = (signal.SIGINT, signal.SIGTERM)


def complain(sentence: str) -> int:
    """Print one line on standard error and return the status of an error."""
    print(f"bayesnmf: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    return ERROR


def usage(error: Any) -> str:
    """Return a usage error as one sentence."""
    text = error.format_message().rstrip(".")
    where = error.ctx.command_path if error.ctx else "bayesnmf"
    return f"{text[:1].lower()}{text[1:]} (see {where} --help)"


def sentence(error: BaseException) -> str:
    """Return what an error says in one sentence."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or ("out of memory" if isinstance(error, MemoryError) else repr(error))


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show each warning that is meant for users as one line on standard error."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=UserWarning)
        warnings.showwarning = show
        yield


@contextmanager
def prompt_interrupt() -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end a run within moments, with what it has made where it can.

    Python hands them to the main thread, which compiled code keeps until a chunk is done. Its
    wakeup descriptor is written to at once, so a thread that reads it can end the process when
    the main thread has not heard of it in time; once it has, it may take its time to save.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    (reader, writer), heard = os.pipe(), threading.Event()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handlers = {number: signal.getsignal(number) for number in STOPPING}

    def hear(number: int, frame: Any) -> None:
        heard.set()
        signal.default_int_handler(number, frame)

    for number, handler in handlers.items():
        # Whoever has been told to ignore a signal, or has a handler of its own, keeps to that.
        if handler in (signal.default_int_handler, signal.SIG_DFL, startup.leave):
            signal.signal(number, hear)
    watch = threading.Thread(target=_end_when_unheard, args=(reader, heard), daemon=True)
    watch.start()
    try:
        yield
    finally:
        heard.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_when_unheard(reader: int, heard: threading.Event) -> None:
    while received := os.read(reader, 1):
        if received[0] not in STOPPING:
            continue
        if not heard.wait(GRACE):
            if sys.stderr.isatty():
                print(file=sys.stderr)  # below the progress bar
            complain("interrupted")
            os._exit(INTERRUPTED)
        heard.clear()
    os.close(reader)
