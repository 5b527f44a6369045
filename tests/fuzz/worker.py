"""A child process that judges cases one by one, so that a crash or a hang is only a failure."""

from __future__ import annotations

import importlib
import os
import selectors
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

TESTS = Path(__file__).resolve().parent.parent
#: Bytes that a case may take in addition to those of the imports.
MEMORY = 4 << 30
#: Seconds in which a child must have started.
START = 120.0


class Worker:
    """Sends lines to a function in a child process, and returns its answers.

    Parameters
    ----------
    module : str
        Module with a function ``judge(line) -> str``: what went wrong, or nothing.
    limit : float
        Seconds that a case may take.
    """

    def __init__(self, module: str, limit: float) -> None:
        self.module, self.limit = module, limit
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def judge(self, line: str) -> str:
        """Return what went wrong with a case, including that it hung or that the process died."""
        if self.process is None:
            self._start()
        assert self.process is not None
        self.process.stdin.write(f"{line}\n".encode())  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        answer = self._answer(self.limit)
        if answer is None:
            self._end()
            return f"no answer after {self.limit:g} s"
        if not answer.endswith("\n"):
            status = self.process.wait()
            self._end()
            return f"the process died with status {status}"
        return answer.strip()

    def _start(self) -> None:
        path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        if self._answer(START) != "ready\n":
            raise RuntimeError(f"the child of {self.module} did not start")

    def _answer(self, limit: float) -> str | None:
        """Return a line of the child, what there is of it after its death, or None in time."""
        stream = self.process.stdout  # type: ignore[union-attr]
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            return stream.readline().decode() if selector.select(limit) else None

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def bound_memory(more: int = MEMORY) -> None:
    """Limit the memory of this process to what it has and some bytes more."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Answer lines until there are no more."""
    judge = importlib.import_module(sys.argv[1]).judge
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    bound_memory()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(" ".join(judge(line.rstrip("\n")).split()), file=answers, flush=True)


if __name__ == "__main__":
    main()
