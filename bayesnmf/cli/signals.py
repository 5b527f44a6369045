"""What the shell sees when a run ends early: signals, statuses, one line on standard error."""

from __future__ import annotations

import _thread
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


#: Seconds until an interrupt is raised again that was lost.
AGAIN = 0.1


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
def stopping_on_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a run with what it has: both raise ``KeyboardInterrupt``.

    Python raises it in the main thread as soon as compiled code returns. Every method returns
    from compiled code after a few dozen steps for this reason.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in handlers.items():
        # A signal that is ignored, or that has a handler of its own, is left alone.
        if handler in (signal.default_int_handler, signal.SIG_DFL, startup.leave):
            signal.signal(number, signal.default_int_handler)
    try:
        with _lost_interrupts_raised_again():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _lost_interrupts_raised_again() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` again where Python has dropped one.

    Python cannot raise what happens in a finaliser or in a callback of the garbage collector, and
    JAX has such a callback. Without this, a run would continue after Ctrl-C.
    """
    before, over, one_at_a_time = sys.unraisablehook, threading.Event(), threading.Lock()

    def again() -> None:
        with one_at_a_time:  # a signal after the run would kill the process that is about to end
            if not over.is_set():
                _interrupt_main()

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        timer = threading.Timer(AGAIN, again)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = before
        with one_at_a_time:
            over.set()


def _interrupt_main() -> None:
    """Send the main thread a signal that raises ``KeyboardInterrupt`` there."""
    raising = (n for n in STOPPING if signal.getsignal(n) is signal.default_int_handler)
    number, main = next(raising, signal.SIGINT), threading.main_thread().ident
    if sys.platform != "win32" and main is not None:
        signal.pthread_kill(main, number)  # ends waiting, too
    else:
        _thread.interrupt_main(number)
