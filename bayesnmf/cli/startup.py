"""Ctrl-C while the program starts: the package and JAX take a second or two to import.

The shell's ``bayesnmf`` and ``python -m bayesnmf`` import the package before any function of theirs
runs, so the package itself must ask for this first. A program that only uses the library is left
alone: its signals are its own.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from pathlib import PurePath
from typing import Any, NoReturn

#: The name of the package, and of its command.
PROGRAM = "bayesnmf"


#: Exit status after Ctrl-C, as shells expect it.
INTERRUPTED = 130


def guard() -> None:
    """End this process in one line on Ctrl-C, if it is the command line of the package.

    It stays so until :func:`bayesnmf.cli.app.main` puts its own handler in place, and again after that
    has returned.
    """
    # A signal that is ignored stays ignored.
    if _is_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def leave(number: int, frame: Any) -> NoReturn:
    """Leave at once, without the traceback that an exception raised in an import would give."""
    os.write(2, b"bayesnmf: interrupted\n")
    os._exit(INTERRUPTED)


def _is_program() -> bool:
    """Whether the package is imported by its own command, and not by a program that uses it."""
    if sys.argv[:1] == ["-m"]:  # so it is until Python has found the module of python -m
        pairs = itertools.pairwise(sys.orig_argv)
        return any(re.fullmatch("-[a-zA-Z]*m", a) and b == PROGRAM for a, b in pairs)
    return PurePath(sys.argv[0] if sys.argv else "").stem == PROGRAM
