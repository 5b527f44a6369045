"""What V may not be, each with a sentence that says what to give instead."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

#: Characters that no file of results can hold: controls, but for tab and line ends, and halves
#: of surrogate pairs.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


#: What the kinds of NumPy types that are not numbers hold.
_KINDS = {"M": "dates", "m": "durations", "V": "records of several fields", "c": "complex numbers"}


def refuse_foreign(V: Any) -> None:
    """Raise ``TypeError`` for an object that holds a matrix but is none: a path, a dict, AnnData.

    Examples
    --------
    >>> refuse_foreign("counts.csv")
    Traceback (most recent call last):
    TypeError: V is the name of a file, 'counts.csv', not its content: give bayesnmf.data.files.read('counts.csv')
    """
    if isinstance(V, (str, bytes, os.PathLike)):
        path = repr(os.fspath(V)[:200])
        raise TypeError(
            f"V is the name of a file, {path}, not its content: give bayesnmf.data.files.read({path})"
        )
    if isinstance(V, Mapping):
        keys = ", ".join(repr(key)[:40] for key in list(V)[:3])
        more = ", …" if len(V) > 3 else ""
        raise TypeError(
            f"V is a {type(V).__name__} with the keys {keys or 'none'}{more}, not a matrix: give "
            "one of its values, or pandas.DataFrame(V) if each holds a column"
        )
    if all(hasattr(V, name) for name in ("X", "obs_names", "var_names")):
        raise TypeError(
            f"V is a {type(V).__name__}, which holds a matrix among other things: give V.to_df() "
            "for labelled data, or V.X"
        )


def refuse_kind(values: np.ndarray) -> None:
    """Raise ``TypeError`` for an array of dates, durations, complex numbers or records."""
    if values.dtype.kind in _KINDS:
        held = _KINDS[values.dtype.kind]
        hint = ""
        if values.dtype.kind in "mM":
            hint = ". Convert them to numbers of one unit, or pass them as the index"
        raise TypeError(f"V has dtype {values.dtype}; it must hold real numbers, not {held}{hint}")


def require_writable(names: pd.Index, word: str) -> None:
    """Raise ``ValueError`` when a label holds a character that no file of results can hold."""
    if names.dtype.kind in "biufM":
        return
    texts = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in names]
    # All at once first, which is quick: names are almost always good.
    if not _UNWRITABLE.search("\n".join(texts)):
        return
    where, text = next((i, text) for i, text in enumerate(texts) if _UNWRITABLE.search(text))
    found = _UNWRITABLE.search(text)
    assert found is not None
    raise ValueError(
        f"the name of {word} {where}, {text[:40]!r}, holds the character U+{ord(found[0]):04X}, "
        "which files of results cannot hold. Rename it"
    )
