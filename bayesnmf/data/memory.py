"""Memory that there is, and refusals of what would not fit before any time is spent on it."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import Any

import scipy.sparse

from bayesnmf.data import matrix as data

#: Warnings point to the first line outside.
PACKAGE = str(Path(__file__).parent.parent)


#: Sparse data that take more bytes than this when dense are not expanded without a word.
NOTED = 2**28


#: Where Linux says how much memory new work may take, and what a container may use and does use.
MEMINFO = Path("/proc/meminfo")


CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def available_memory() -> int | None:
    """Return how many bytes new work may take, or None where the system does not say.

    The least of what the machine has free and what a container is still allowed.
    """
    found = [value for value in (_free(), *(_allowed(*pair) for pair in CGROUPS)) if value]
    return min(found) if found else None


def require_memory(size: float, what: str, hint: str) -> None:
    """Raise ``MemoryError`` when work will take more bytes than there are.

    Parameters
    ----------
    size : float
        Bytes.
    what : str
        What takes them, in the plural.
    hint : str
        What to do instead.
    """
    available = available_memory()
    if available is not None and size > available:
        raise MemoryError(
            f"{what} would take {gigabytes(size)}, and {gigabytes(available)} of memory are free. "
            f"{hint}"
        )


def require_dense(shape: tuple[int, ...], what: str, hint: str, itemsize: int = 8) -> None:
    """Raise ``MemoryError`` when an array is above :data:`bayesnmf.data.matrix.DENSE_BUDGET`."""
    size = itemsize * math.prod(shape)
    if size > data.DENSE_BUDGET:
        raise MemoryError(
            f"{what} of shape {shape} would take {gigabytes(size)}, above the budget of "
            f"{gigabytes(data.DENSE_BUDGET)}. {hint}, or raise bayesnmf.data.matrix.DENSE_BUDGET"
        )


def note_expansion(V: Any) -> None:
    """Warn that sparse data are about to be expanded, when they are large and fit the budget."""
    if not scipy.sparse.issparse(V):
        return
    size = 8 * math.prod(V.shape)
    if NOTED < size <= data.DENSE_BUDGET:
        warnings.warn(
            f"V of shape {V.shape} is sparse, and this model and method need it dense: it takes "
            f"{gigabytes(size)}, and so does what is computed from it. MAP and MCMC of a bayesnmf.NMF "
            "with the Poisson likelihood, or the Gaussian one without missing cells, keep it sparse",
            stacklevel=2,
            skip_file_prefixes=(PACKAGE,),
        )


def gigabytes(size: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> gigabytes(3 * 2**30), gigabytes(2**20)
    ('3.0 GiB', '0.00098 GiB')
    """
    number = size / 2**30
    return f"{number:.1f} GiB" if number >= 1 else f"{number:.2g} GiB"


def _free() -> int | None:
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return _physical()


def _physical() -> int | None:
    """Return all memory of the machine, where nobody says how much of it is free."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _allowed(limit: Path, used: Path) -> int | None:
    """Return what is left of a container's limit, or None where there is none."""
    try:
        # The page cache counts as used, though it gives way; so half of the limit is always left.
        whole = int(limit.read_text())
        return max(whole - int(used.read_text()), whole // 2)
    except (OSError, ValueError):  # "max" is no number
        return None
