"""Run the command line in this process."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

from bayesnmf.cli import app as cli


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    def error(self) -> str:
        """Return the one line on standard error of a run that was refused."""
        assert self.status == 2
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("bayesnmf: ")
        return lines[0].removeprefix("bayesnmf: ")


def run(*arguments: object) -> Outcome:
    """Run the console script's function in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())
