"""The command line: ``python -m bayesnmf``, and the function behind the shell's ``bayesnmf``."""

from __future__ import annotations

import contextlib
import sys


def main() -> int:
    """Run the command line and return its exit status; see :func:`bayesnmf.cli.app.main`.

    Compiled programs are kept in the user's cache folder, where that can be written, so that a second run of
    the same kind starts at once.
    """
    from bayesnmf.cli import app as cli
    from bayesnmf.compilation_cache import enable_compilation_cache

    with contextlib.suppress(OSError):
        enable_compilation_cache()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
