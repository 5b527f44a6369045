"""Telling names from numbers in the first column and the first line of a table.

Names that are numbers, such as 1001, 1002, …, must not become data, and numbers that look like
text, such as "1,000", must not become names. Only what a table makes plain is decided here;
what is unclear is said in a warning, and what is contradictory is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Headers of columns of names. "sample_id", "Patient ID" and "id" are found by their last word.
WORDS = {
    "id",
    "ids",
    "index",
    "idx",
    "row",
    "rows",
    "rowname",
    "rownames",
    "row names",
    "name",
    "names",
    "sample",
    "samples",
    "sampleid",
    "barcode",
    "barcodes",
    "patient",
    "patients",
    "patientid",
    "subject",
    "subjects",
    "subjectid",
    "participant",
    "donor",
    "individual",
    "specimen",
    "accession",
    "cell",
    "cellid",
    "gene",
    "geneid",
    "label",
    "labels",
    "key",
    "uid",
    "uuid",
    "observation",
    "obs",
    "record",
    "case",
    "case number",
    "sample number",
    "unnamed: 0",
    "index level 0",
}


_LAST_WORDS = {"id", "ids", "index", "idx", "name", "names", "barcode", "accession", "label"}


#: Numbers as people format them: 1,000 and 1.000,5 and 3,5 and $ 7 and 12 %, and lengths of time.
_FORMATTED = re.compile(
    r"[-+(]?[$€£¥]?\s?(\d{1,3}([,.'’\s]\d{3})+([.,]\d+)?|\d+,\d+|\d+([.,]\d+)?)\s?[%$€£¥]?\)?"
    r"|-?\d+\s?(days?|h|hours?|min|s|sec|ms)([ ,+]+\d+:\d\d(:\d\d(\.\d+)?)?)?",
    re.IGNORECASE,
)


#: The fewest rows whose plain counting 1, 2, 3, … is taken for no accident.
_FEWEST_COUNTED = 5


#: The fewest columns of a line of numbers that can be told to be a header, and of one that
#: need not be evenly spaced: fewer rise from left to right by accident.
_FEWEST_COLUMNS, _FEWEST_UNEVEN = 4, 8


#: The fewest lines below a header that is not evenly spaced.
_FEWEST_LINES = 3


def is_word(header: str | None) -> bool:
    """Return whether a column of this name holds names by its name alone.

    Examples
    --------
    >>> [is_word(name) for name in ("sample_id", "SampleID", "row", "TP53", "Unnamed: 0")]
    [True, True, True, False, True]
    """
    if header is None:
        return False
    words = re.sub(r"[\s_.\-#]+", " ", header).strip()
    last = words.rpartition(" ")[2]
    # The last word of camel case, as in tumourID.
    camel = re.search(r"(?<=[a-z])I[dD]$", last)
    return words.casefold() in WORDS or last.casefold() in _LAST_WORDS or camel is not None


def is_formatted(text: str) -> bool:
    """Return whether a text is a number, or a length of time, that somebody has formatted.

    Examples
    --------
    >>> [is_formatted(text) for text in ("1,000", "3,5", "12 %", "2 days 00:00:01", "s1", "1.2.3")]
    [True, True, True, True, False, False]
    """
    return _FORMATTED.fullmatch(text.strip()) is not None


def refuse_formatted(path: Path, column: str, texts: Sequence[str]) -> None:
    """Raise ``ValueError`` when texts that would be names are formatted numbers."""
    filled = [text for text in texts if text and text.casefold() not in ("na", "nan")]
    if filled and all(is_formatted(text) or _plain(text) for text in filled):
        shown = next((text for text in filled if not _plain(text)), filled[0])
        raise ValueError(
            f"{path}: column {column} holds formatted numbers, such as {shown!r}. If they are "
            f"data, write them plainly, as 1000 or 3.5; if they are names of rows, say names={column} "
            "(--names in the shell)"
        )


def _plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def are_names(path: Path, header: str | None, values: np.ndarray) -> bool:
    """Return whether a first column of numbers holds names; warn where that is unclear."""
    integers = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    distinct = len(np.unique(values)) == len(values)
    shown = "the first column" if header is None else f"column {header!r}"
    choose = (
        f"say names={0 if header is None else header!r} (--names in the shell) if they are names, "
        "names=False (--names none) if they are not"
    )
    if is_word(header):
        if integers and distinct:
            return True
        why = "repeat" if integers else "are not whole or not complete"
        _warn(f"{path}: the numbers of {shown} {why}, so they are taken for data; {choose}")
    elif len(values) >= _FEWEST_COUNTED and values[0] in (0, 1) and (np.diff(values) == 1).all():
        _warn(f"{path}: {shown} counts the rows, but is taken for data; {choose}")
    return False


def warn_of_later_names(path: Path, headers: Sequence[str], values: np.ndarray) -> None:
    """Warn of a later column whose header and content are those of names."""
    for j, header in enumerate(headers):
        column = values[:, j]
        if (
            is_word(header)
            and len(column) > 1
            and (column == np.floor(column)).all()
            and len(np.unique(column)) == len(column)
        ):
            _warn(
                f"{path}: column {header!r} looks like names, but is not the first, so it is "
                f"taken for data; say names={header!r} (--names in the shell) if they are"
            )


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2, skip_file_prefixes=(str(Path(__file__).parent),))


def is_header(values: np.ndarray) -> bool:
    """Return whether the first line of a table of numbers is plainly its header.

    It rises or falls from left to right, as wavelengths do, no other line does, and it is evenly
    spaced, or it stands above several lines and lies outside their range, or is long.

    Examples
    --------
    >>> is_header(np.array([[400, 402.5, 405, 407.5], [3, 1, 4, 1], [5, 9, 2, 6]]))
    True
    >>> is_header(np.array([[1, 2, 4, 8], [3, 4, 6, 7], [5, 6, 7, 8]]))
    False
    """
    top, others = values[0], values[1:]
    if len(top) < _FEWEST_COLUMNS or not len(others) or not np.isfinite(top).all():
        return False
    with np.errstate(invalid="ignore"):
        steps, other_steps = np.diff(top), np.diff(others, axis=1)
        monotone = (other_steps > 0).all(axis=1) | (other_steps < 0).all(axis=1)
    if not ((steps > 0).all() or (steps < 0).all()) or monotone.any():
        return False
    even = np.allclose(steps, steps[0], rtol=1e-3, atol=0)
    found = others[np.isfinite(others)]
    outside = not found.size or top.min() > found.max() or top.max() < found.min()
    uneven = len(others) >= _FEWEST_LINES and (outside or len(top) >= _FEWEST_UNEVEN)
    return bool(even or uneven)
