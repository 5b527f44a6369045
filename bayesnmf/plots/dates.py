"""Dates in names of rows: files and fits hold them as text."""

from __future__ import annotations

import re

import numpy as np

#: A month, a day, a time, as ISO 8601 writes them, with an offset from UTC or without.
_ISO = re.compile(
    r"(\d{4}-\d{2}(?:-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?)?)(Z|[+-]\d{2}:?\d{2})?"
)


#: Quarters, and weeks from a first to a last day, as pandas writes them.
_QUARTER, _WEEK = (
    re.compile(r"(\d{4})Q([1-4])"),
    re.compile(r"(\d{4}-\d{2}-\d{2})/\d{4}-\d{2}-\d{2}"),
)


def dates_in(labels: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """Return the dates that labels are, or None unless all of them are dates.

    Parameters
    ----------
    labels : ndarray
        Text such as ``2024-03``, ``2024-03-31``, ``2024-03-31 12:00:00+01:00`` or ``2024Q1``. Years alone are
        no dates, because they may be any number.

    Returns
    -------
    dates : ndarray of datetime64[us]
        The time of the clock. Where labels have several offsets and the clock would change their order, as
        when summer time ends, the time in UTC.
    in_utc : bool
        Whether it is UTC.

    Examples
    --------
    >>> dates, in_utc = dates_in(np.array(["2024-03-31", "2024-04-01"]))
    >>> dates.astype("datetime64[D]").tolist()[0].isoformat(), in_utc
    ('2024-03-31', False)
    >>> dates_in(np.array(["2024-03", "patient 7"])), dates_in(np.array(["2024-17"]))
    (None, None)
    """
    if labels.dtype.kind not in "UO" or not len(labels):
        return None
    parts = [_parsed(str(label)) for label in labels]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    try:
        dates = np.array([text for text, _ in found], "datetime64[us]")
    except ValueError:  # there is no such day
        return None
    offsets = np.array([offset for _, offset in found], "timedelta64[m]")
    in_utc = _rank(dates) != _rank(dates - offsets)
    return (dates - offsets if in_utc else dates), in_utc


def _rank(dates: np.ndarray) -> list[int]:
    """Return the rank of each date; equal dates have the same."""
    return np.unique(dates, return_inverse=True)[1].tolist()


def _parsed(label: str) -> tuple[str, int] | None:
    """Return a date as NumPy reads it, and its offset from UTC in minutes."""
    if quarter := _QUARTER.fullmatch(label):
        return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}", 0
    if week := _WEEK.fullmatch(label):
        return week[1], 0
    iso = _ISO.fullmatch(label)
    if iso is None:
        return None
    offset = (iso[2] or "Z").replace(":", "")
    minutes = 0 if offset == "Z" else int(offset[1:3]) * 60 + int(offset[3:])
    return iso[1].replace(" ", "T"), -minutes if offset[0] == "-" else minutes


def without_midnight(labels: np.ndarray) -> np.ndarray:
    """Return labels of dates without a time that all of them share: midnight.

    Examples
    --------
    >>> without_midnight(np.array(["2024-03-31 00:00:00", "2024-04-01 00:00:00"])).tolist()
    ['2024-03-31', '2024-04-01']
    """
    if labels.dtype.kind == "U" and len(labels) and np.char.endswith(labels, " 00:00:00").all():
        return np.array([label[: -len(" 00:00:00")] for label in labels])
    return labels
