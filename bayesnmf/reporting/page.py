"""A self-contained HTML page: sections, tables and figures, with nothing to load."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesnmf.markup import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Width of a figure on a screen that is wide enough.
PIXELS_PER_INCH, MAX_PIXELS = 85, 925


STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: #fff; color: #1b1b1b;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.5rem; padding-top: 0.5rem; border-top: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.3rem; }
p { margin: 0.5rem 0; max-width: 48rem; }
a { color: #0b5394; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; list-style: none; padding: 0; }
.verdict { background: #f0f4f8; border-left: 4px solid #0b5394; padding: 0.6rem 0.8rem; }
.formula { font-family: ui-monospace, monospace; }
.scroll { overflow-x: auto; max-width: 100%; margin: 0.5rem 0; }
.scroll:focus { outline: 2px solid #0b5394; }
table { border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; }
p.caption { color: #444; font-size: 0.9rem; margin: 0.9rem 0 0; }
th, td { padding: 0.25rem 0.7rem 0.25rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
th { font-weight: 600; }
th[scope="row"], td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 11rem; overflow-wrap: anywhere; }
figure { margin: 0.8rem 0; }
figcaption { color: #444; font-size: 0.9rem; }
img { display: block; max-width: 100%; height: auto; }
.wide img { max-width: none; }
footer { margin-top: 3rem; color: #555; font-size: 0.85rem; }
@media print { .scroll { overflow-x: visible; } }
"""


@dataclass
class Page:
    """An HTML page that grows by paragraphs, tables and figures.

    Every text given is escaped, so that names of rows and columns are shown and never run.

    Parameters
    ----------
    title, footer : str
    """

    title: str
    footer: str = ""
    _parts: list[str] = field(default_factory=list)
    _contents: list[tuple[str, str]] = field(default_factory=list)

    def section(self, heading: str) -> None:
        """Begin a section, which the contents list."""
        name = f"section-{len(self._contents) + 1}"
        self._contents.append((name, heading))
        self._parts.append(f'<h2 id="{name}">{escape(heading)}</h2>')

    def subsection(self, heading: str) -> None:
        """Begin a part of a section."""
        self._parts.append(f"<h3>{escape(heading)}</h3>")

    def say(self, text: str, kind: str = "") -> None:
        """Add a paragraph; its kind is one of the classes of :data:`STYLE`."""
        chosen = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{chosen}>{escape(text)}</p>")

    def table(self, caption: str, frame: pd.DataFrame, text: Sequence[str] = ()) -> None:
        """Add a table; columns named in `text` are set left."""
        title = "" if frame.index.name is None else str(frame.index.name)
        chosen = {name: ' class="text"' if name in text else "" for name in frame.columns}
        heads = "".join(
            f'<th scope="col"{chosen[name]}>{escape(str(name))}</th>' for name in frame.columns
        )
        rows = [
            f'<tr><th scope="row">{escape(str(label))}</th>'
            + "".join(
                f"<td{chosen[name]}>{escape(written(x))}</td>"
                for name, x in zip(frame.columns, values, strict=True)
            )
            + "</tr>"
            for label, values in zip(frame.index, frame.itertuples(index=False), strict=True)
        ]
        head = f'<tr><th scope="col" class="text">{escape(title)}</th>{heads}</tr>'
        self._parts.append(f'<p class="caption">{escape(caption)}</p>')
        self._scrolling(
            caption,
            f'<table aria-label="{escape(caption)}"><thead>{head}</thead>'
            f"<tbody>{''.join(rows)}</tbody></table>",
        )

    def figure(self, figure: Figure, description: str, *, wide: bool = False) -> None:
        """Add a Matplotlib figure with its description in words.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
        description : str
            What it shows: its caption, and what is read aloud.
        wide : bool, default False
            Whether a narrow screen scrolls it rather than shrinks it.
        """
        width = round(min(PIXELS_PER_INCH * figure.get_figwidth(), MAX_PIXELS))
        source = _as_data(figure)
        image = f'<img src="{source}" alt="{escape(description)}" width="{width}">'
        self._parts.append("<figure>")
        if wide:
            self._scrolling(description, image, "scroll wide")
        else:
            self._parts.append(image)
        self._parts.append(f"<figcaption>{escape(description)}</figcaption></figure>")

    def html(self) -> str:
        """Return the whole page."""
        links = "".join(
            f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading in self._contents
        )
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"<header><h1>{escape(self.title)}</h1></header>\n"
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n'
            + "\n".join(self._parts)
            + f"\n</main>\n<footer><p>{escape(self.footer)}</p></footer>\n</body>\n</html>\n"
        )

    def _scrolling(self, name: str, content: str, kind: str = "scroll") -> None:
        # A region that scrolls must be reachable by keyboard, and have a name.
        self._parts.append(
            f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(name)}">'
            f"{content}</div>"
        )


def written(value: Any) -> str:
    """Write one cell of a table: numbers to four digits, a dash for what is not there.

    Examples
    --------
    >>> written(83848.6), written(0.123456), written(float("nan")), written(True)
    ('83,849', '0.1235', '–', 'yes')
    """
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if not isinstance(value, (int, float)) and not hasattr(value, "dtype"):
        return str(value)
    number = float(value)
    if number != number:  # noqa: PLR0124
        return "–"
    return f"{number:,.0f}" if abs(number) >= 1000 or number == int(number) else f"{number:.4g}"


def _as_data(figure: Figure) -> str:
    """Return a figure as the address of an image that holds it."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Neither a date nor random names: the same fit gives the same page.
    with rc_context({"svg.hashsalt": "bayesnmf"}), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; tables have the name itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
