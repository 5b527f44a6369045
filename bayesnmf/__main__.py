"""The command line: ``python -m bayesnmf``, and the function behind the shell's ``bayesnmf``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit status; see :func:`bayesnmf.cli.app.main`."""
    from bayesnmf.cli import app as cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
