"""Separated text: how it is decoded, what separates its cells, and its lines as records."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

#: How each separator is called, those first that stand less often within a cell.
_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}


#: A number with a comma before its fraction, and one with a point.
_COMMA = re.compile(r"\s*[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?\s*")


_POINTED = re.compile(r"\s*[-+]?(\d*\.\d[\d.,]*|\d+\.)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Separated:
    """Text whose cells are separated by one character; a space stands for any white space.

    Build it with :meth:`Separated.of`, which finds the separator of a file.
    """

    path: Path
    text: str
    separator: str
    #: What stands before the fraction of a number: a point or a comma.
    decimal: str = "."

    @classmethod
    def of(cls, path: Path, raw: bytes, separator: str | None, decimal: str = ".") -> Separated:
        """Decode the content of a file; without a separator, it is found in the first line."""
        text = _decode(path, raw)
        if separator is None:
            separator = _sniffed(text, decimal)
        else:
            _refuse_other_separator(path, text, separator, decimal)
        if separator == " ":
            text = re.sub(r"[ \t]+(?=[\r\n]|$)", "", text)  # would be an empty last cell
        return cls(path, text, separator, decimal)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every record that is not blank, with the line of the file on which it starts."""
        reader = csv.reader(
            io.StringIO(self.text, newline=""),
            delimiter=self.separator,
            skipinitialspace=True,
            strict=True,
        )
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ValueError(
                    f"{self.path}, line {line} cannot be split into cells ({error}); check its "
                    "quotes"
                ) from error
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line, cells if self.decimal == "." else self._with_points(line, cells)

    def _with_points(self, line: int, cells: list[str]) -> list[str]:
        """Return cells with a point in the place of the comma of a number."""
        pointed = next((cell for cell in cells if _POINTED.fullmatch(cell)), None)
        if pointed is not None:
            raise ValueError(
                f"{self.path}, line {line}: {pointed.strip()!r} has a point, but the decimal sign is "
                "said to be a comma. Write numbers without a sign for thousands"
            )
        return [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in cells]

    def below(self, line: int) -> str:
        """Return the text from a line on, the first being 1."""
        ends = re.finditer("\r\n|\r|\n", self.text)
        return self.text[next(islice(ends, line - 2, None)).end() :] if line > 1 else self.text


def _decode(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line} holds the byte {raw[error.start]:#04x}, which is not UTF-8 "
            "text; save the file as UTF-8"
        ) from error


def _first_line(text: str) -> str:
    return text.lstrip("\r\n \t").partition("\n")[0].partition("\r")[0]


def _sniffed(text: str, decimal: str) -> str:
    """Return the separator of the first line: tab, semicolon, comma, or else white space."""
    first = re.sub(r'"[^"]*"', "", _first_line(text))
    usual = (separator for separator in _SEPARATORS if separator != decimal)
    return next((separator for separator in usual if separator in first), " ")


def _refuse_other_separator(path: Path, text: str, separator: str, decimal: str) -> None:
    """Raise when the first line is evidently separated by something else."""
    first = text.lstrip("\r\n").partition("\n")[0]
    others = [
        name
        for other, name in _SEPARATORS.items()
        if other not in (separator, decimal) and other in first
    ]
    if separator not in first and others:
        expected = _SEPARATORS.get(separator, repr(separator))
        raise ValueError(
            f"{path}, line 1 has {others[0]} but no {expected}, which are to separate its cells. Say "
            f"separator={_sniffed(text, decimal)!r} (--separator in the shell)"
        )
