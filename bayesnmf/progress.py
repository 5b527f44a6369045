"""Progress of long work: one bar that says which stage the work is in, however calls are nested."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from tqdm.auto import tqdm

#: Seconds between two looks of the bar in a terminal or a notebook, and in a file, where every look
#: stays.
INTERVAL, INTERVAL_IN_FILES = 0.1, 10.0


#: Seconds after which work that is often quick gets a bar.
DELAY = 1.0


class Progress(ABC):
    """What long work says about itself: its stage, and how far the stage has come."""

    @abstractmethod
    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` units, of which some may be done."""

    @abstractmethod
    def advance(self, number: int = 1) -> None:
        """Count units of the stage as done."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Show a text beside the count, until the next note or stage."""

    def over[T](self, units: Iterable[T], name: str) -> Iterator[T]:
        """Yield units one by one, as a stage of their own.

        Examples
        --------
        >>> list(Silent().over("ab", "letters"))
        ['a', 'b']
        """
        units = units if isinstance(units, Sized) else list(units)
        self.stage(name, len(units))
        for unit in units:
            yield unit
            self.advance()


class Silent(Progress):
    """Progress that nobody wants to see."""

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Show nothing."""

    def advance(self, number: int = 1) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class Bar(Progress):
    """A bar on standard error, or in a notebook; it appears with the first stage after a delay.

    Parameters
    ----------
    delay : float, default 0.0
        Seconds that work must take before it is worth a bar.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._name, self._total, self._done = "", 0, 0
        self._due = monotonic() + delay
        self._bar: Any = None

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin or continue a stage; a new name is drawn at once."""
        is_new = name != self._name
        self._name, self._total, self._done = name, total, done
        if self._bar is None:
            self._open()
            return
        if is_new:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.set_description(name, refresh=False)
        if total != self._bar.total or done < self._bar.n:
            self._bar.reset(total)
        elif is_new:
            self._bar.refresh()
        self._bar.update(done - self._bar.n)

    def advance(self, number: int = 1) -> None:
        """Move the bar."""
        self._done += number
        if self._bar is None:
            self._open()
        else:
            self._bar.update(number)

    def note(self, text: str) -> None:
        """Show a text at the end of the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(0)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _open(self) -> None:
        if monotonic() >= self._due:
            self._bar = tqdm(
                desc=self._name,
                total=self._total,
                initial=self._done,
                leave=False,
                miniters=0,
                mininterval=INTERVAL if _is_watched() else INTERVAL_IN_FILES,
            )


class Part(Progress):
    """Progress of work that is one unit of other work: it is a note on that one's bar.

    Parameters
    ----------
    whole : Progress
        Of the other work.
    """

    def __init__(self, whole: Progress) -> None:
        self._whole = whole
        self._name, self._total, self._done = "", 0, 0

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Show the stage beside the other work's."""
        self._name, self._total, self._done = name, total, done
        self.note("")

    def advance(self, number: int = 1) -> None:
        """Show the new count."""
        self._done += number
        self.note("")

    def note(self, text: str) -> None:
        """Show the stage, its count and a text."""
        count = f" {self._done}/{self._total}" if self._total > 1 else ""
        self._whole.note(", ".join(filter(None, [self._name + count, text])))


#: Who shows the progress of the work that runs now, in this thread.
_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def showing(progress: bool | Progress, delay: float = 0.0) -> Iterator[Progress]:
    """Show the progress of some work, as a part of the work that has called for it.

    There is one bar, that of the outermost call. It is taken away at the end, also after an error
    or Ctrl-C.

    Parameters
    ----------
    progress : bool or Progress
        Whether to show anything, or what is shown already.
    delay : float, default 0.0
        Seconds that the work must take before it is worth a bar.

    Yields
    ------
    Progress

    Examples
    --------
    >>> with showing(False) as progress:
    ...     progress.stage("sampling", total=10)
    ...     progress.advance(10)
    """
    outer = _current.get()
    shown: Progress
    if isinstance(progress, Progress):
        shown = progress
    elif not progress or isinstance(outer, Silent):
        shown = Silent()
    else:
        shown = Bar(delay) if outer is None else Part(outer)
    _current.set(shown)
    try:
        yield shown
    finally:
        _current.set(outer)
        if shown is not progress and isinstance(shown, Bar):
            shown.close()


def _is_watched() -> bool:
    """Return whether a bar is redrawn in place: by a terminal, or by a notebook's widget."""
    in_notebook = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
    return in_notebook or bool(getattr(sys.stderr, "isatty", lambda: False)())
