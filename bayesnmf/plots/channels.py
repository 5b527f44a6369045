"""The 96 channels of single-base substitutions: their names, their classes and their order."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesnmf.plots.colours import CLASSES
from bayesnmf.plots.names import shown

#: Bases before and after the one that changes; each class has sixteen such contexts.
BASES = "ACGT"


#: All channels: by class, then by the base before, then by the base after.
CHANNELS = tuple(f"{a}[{change}]{b}" for change in CLASSES for a in BASES for b in BASES)


#: Contexts of each class.
N_CONTEXTS = len(BASES) ** 2


_PLACES = {name: place for place, name in enumerate(CHANNELS)}


_COMPLEMENT = str.maketrans(BASES, BASES[::-1])


def channel_places(columns: np.ndarray) -> np.ndarray:
    """Return the place of each column in the order of the channels.

    Parameters
    ----------
    columns : ndarray of shape (n_columns,)
        Names such as ``A[C>T]G``, in any order. Channels may be missing.

    Returns
    -------
    ndarray of int of shape (n_columns,)
        Places from 0 to 95.

    Raises
    ------
    ValueError
        For a name that is no channel, and for one that occurs more than once.

    Examples
    --------
    >>> channel_places(np.array(["A[C>A]C", "T[T>G]T", "A[C>A]A"]))
    array([ 1, 95,  0])
    """
    unknown = [name for name in columns if name not in _PLACES]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(columns)} columns of V are not among the 96 channels of "
            f"single-base substitutions, such as {shown(unknown[0])!r}. {_hint(unknown[0])}"
        )
    places = np.array([_PLACES[name] for name in columns])
    values, counts = np.unique(places, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"several columns of V have the name {CHANNELS[values[counts > 1][0]]!r}. Add the columns of "
            "a channel up before the fit"
        )
    return places


def _hint(name: Any) -> str:
    """Say how a channel is written, and what the name would be from the other strand."""
    base, _, rest = str(name).partition("[")
    change, _, after = rest.partition("]")
    other = f"{after}[{change}]{base}".translate(_COMPLEMENT)
    if other in _PLACES:
        return f"Write it from the pyrimidine of the base pair: {other!r}"
    return "Write a channel as 'A[C>T]G': C to T, after A and before G"


def trinucleotide(channel: str) -> str:
    """Return the bases of a channel before the change.

    Examples
    --------
    >>> trinucleotide("A[C>T]G")
    'ACG'
    """
    return channel[0] + channel[2] + channel[-1]
