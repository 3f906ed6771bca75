"""A self-contained page of text, tables and figures in one file, which can be mailed.

A content security policy forbids the browser to load anything. The only script sorts tables. Every
figure is an SVG in a data URI with an alternative text.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from aumer.results.schema import printable
from aumer.types import ImageArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: In the head of every page, so that aumer recognizes its own pages.
GENERATOR = "aumer report"

_DPI = 200


@dataclass(frozen=True)
class Text:
    """A paragraph, or text to copy verbatim."""

    text: str
    literal: bool = False


@dataclass(frozen=True)
class ListBlock:
    """A list of short sentences."""

    items: Sequence[str]


@dataclass(frozen=True, eq=False)
class Picture:
    """A small image within a table: (H, W, 3) uint8 RGB.

    Attributes:
        alt: alternative text. pixels: whether it is enlarged with sharp pixels; else it is smoothed
            like a photograph.
    """

    image: ImageArray
    alt: str
    pixels: bool = True


@dataclass(frozen=True)
class Link:
    """A link to another file beside the page."""

    text: str
    href: str


#: Numbers are right-aligned; floats have four decimals, `None` is a dash.
Cell = str | int | float | Picture | Link | None


@dataclass(frozen=True)
class TableBlock:
    """A table with a header row.

    Attributes:
        caption: what it shows and how to read it.
        folded: if not "", the text to click for unfolding the table.
        sortable: whether a click on a column's header sorts the rows by it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    folded: str = ""
    sortable: bool = False


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure.

    Attributes:
        name: name of its files.
        caption: what it shows and how to read it.
        alt: alternative text.
    """

    name: str
    figure: Figure
    caption: str
    alt: str


@dataclass(frozen=True)
class LeftOut:
    """Why a section is empty."""

    why: str


Block = Text | ListBlock | TableBlock | Drawing | LeftOut


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and its blocks."""

    title: str
    blocks: Sequence[Block]


def page(
    title: str,
    facts: Sequence[str],
    warnings: Sequence[str],
    body: Sequence[Section],
    *,
    keywords: str = "",
) -> str:
    """The page as HTML 5.

    Args:
        facts: short lines below the title.
        warnings: important warnings, in a frame at the top.
        keywords: keywords for programs, in its head.
    """
    contents = "".join(
        f'<li><a href="#s{k}">{_text(s.title)}</a></li>' for k, s in enumerate(body, start=1)
    )
    numbers = _Numbers()
    script = any(isinstance(b, TableBlock) and b.sortable for s in body for b in s.blocks)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        # A browser loads nothing, even if a later version of this file has a mistake.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"img-src data:; style-src 'unsafe-inline'{_SCRIPT_ALLOWED * script}\">",
        f'<meta name="generator" content="{GENERATOR}">',
        *([f'<meta name="keywords" content="{_text(keywords)}">'] if keywords else []),
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_text(title)}</h1>",
        *(f'<p class="warning" role="note">{_text(w)}</p>' for w in warnings),
        *(f'<p class="fact">{_text(f)}</p>' for f in facts),
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>',
    ]
    for k, section in enumerate(body, start=1):
        parts.append(f'<section id="s{k}"><h2>{_text(section.title)}</h2>')
        parts += [_block(block, numbers) for block in section.blocks]
        parts.append("</section>")
    parts.append("</main>" + f"<script>{_SORT}</script>" * script + "</body></html>")
    return "\n".join(parts) + "\n"


class _Numbers:
    """Counters of tables and figures."""

    def __init__(self) -> None:
        self._last = {"Table": 0, "Figure": 0}

    def next(self, kind: str) -> str:
        self._last[kind] += 1
        return f"{kind} {self._last[kind]}"


def _block(block: Block, numbers: _Numbers) -> str:
    if isinstance(block, Text):
        return f"<pre>{_text(block.text)}</pre>" if block.literal else f"<p>{_text(block.text)}</p>"
    if isinstance(block, ListBlock):
        return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, LeftOut):
        return f'<p class="out">Left out: {_text(block.why)}</p>'
    if isinstance(block, Drawing):
        source = _uri("image/svg+xml", figure_bytes(block.figure, "svg"))
        return (
            f'<figure><img src="{source}" alt="{_text(block.alt)}"><figcaption>'
            f"<b>{numbers.next('Figure')}.</b> {_text(block.caption)}</figcaption></figure>"
        )
    return _table(block, numbers)


def _table(table: TableBlock, numbers: _Numbers) -> str:
    right = [
        any(row[k] is not None for row in table.rows)
        and all(row[k] is None or _is_number(row[k]) for row in table.rows)
        for k in range(len(table.head))
    ]
    head = "".join(
        f'<th scope="col"{_RIGHT * r}>{_text(h)}</th>'
        for h, r in zip(table.head, right, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_RIGHT * r}>{_cell(c)}</td>" for c, r in zip(row, right, strict=True))
        + "</tr>"
        for row in table.rows
    )
    # Not <caption>, which would be as narrow as the table.
    text = (
        f'<figure class="wide"><figcaption><b>{numbers.next("Table")}.</b> {_text(table.caption)}'
        f"</figcaption><table{_SORTABLE * table.sortable}><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></figure>"
    )
    if not table.folded:
        return text
    return f"<details><summary>{_text(table.folded)}</summary>{text}</details>"


_RIGHT = ' class="n"'
_SORTABLE = ' class="sortable"'
_NUMBER = re.compile(r"[+−-]?[\d.]+( ?%|e[+−-]?\d+)?")


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell) is not None
    return isinstance(cell, (int, float))


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, Link):
        # File names with invalid UTF-8 are encoded, too, as browsers request them.
        href = quote(os.fsencode(cell.href))
        return f'<a href="{escape(href)}">{_text(cell.text)}</a>'
    if isinstance(cell, Picture) and not cell.pixels:
        image = _uri("image/jpeg", _jpeg(cell.image))
        width = round(76 * cell.image.shape[1] / cell.image.shape[0])  # all have the same height
        return f'<img class="photo" src="{image}" width="{width}" alt="{_text(cell.alt)}">'
    if isinstance(cell, Picture):
        image = _uri("image/png", _png(cell.image))
        return f'<img class="pixels" src="{image}" alt="{_text(cell.alt)}">'
    return f"{cell:.4f}" if isinstance(cell, float) else _text(str(cell))


def _text(text: str) -> str:
    return escape(printable(text))


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _png(image: ImageArray) -> bytes:
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, image, format="png")
    return content.getvalue()


def _jpeg(image: ImageArray) -> bytes:
    """JPEG: a third of the size of PNG; a page of 100 expressions has 300 faces."""
    import cv2

    good, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88]
    )
    assert good
    return bytes(content)


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as "svg" or "png"; reproducible byte by byte."""
    from matplotlib import rc_context

    content = io.BytesIO()
    # By default SVG contains a date and random IDs.
    more: Mapping[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": _DPI}
    with rc_context({"svg.hashsalt": "aumer"}):
        figure.savefig(content, format=kind, **more)
    return content.getvalue()


#: Sorts numbers by value and words alphabetically; unknown values (a dash) are always last.
_SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const told = row => row.cells[k].textContent.trim();
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [told(a), told(b)];
        if ((x === "–") !== (y === "–")) return x === "–" ? 1 : -1;
        const [m, n] = [Number(x.replace("%", "")), Number(y.replace("%", ""))];
        const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
"""
_HASH = base64.b64encode(hashlib.sha256(_SORT.encode()).digest()).decode("ascii")
_SCRIPT_ALLOWED = f"; script-src 'sha256-{_HASH}'"

_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#fff;color:#1a1a1a;font:16px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:.2em 0 .5em}
h2{font-size:1.25rem;margin:2.2em 0 .5em;border-bottom:1px solid #bbb;padding-bottom:.2em}
.fact{margin:.15em 0}
.warning{border:3px solid #b34700;background:#fff4ec;padding:.6em .8em;font-weight:600}
.out{color:#555;font-style:italic}
nav ol{columns:2;font-size:.95rem;padding-left:1.4em}
a{color:#00558c}
figure{margin:1.2em 0}
figure img{max-width:100%;height:auto}
figcaption{font-size:.9rem;color:#333;max-width:52rem}
.wide{overflow-x:auto}
.wide figcaption{padding-bottom:.5em}
table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.25em .7em;text-align:left;border-bottom:1px solid #ddd;vertical-align:middle}
thead th{border-bottom:2px solid #888}
.n{text-align:right;font-variant-numeric:tabular-nums}
td .photo{display:block;max-width:none}
table:has(.photo) :is(td,th){padding:.25em .35em}
th button{font:inherit;font-weight:600;background:none;border:0;padding:0;cursor:pointer}
th button{color:#00558c}
th[aria-sort=ascending] button::after{content:" ▲"}
th[aria-sort=descending] button::after{content:" ▼"}
td .pixels{width:84px;height:84px;image-rendering:pixelated;display:block}
pre{background:#f3f3f3;padding:.7em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
details{margin:.8em 0}
summary{cursor:pointer;color:#00558c}
@media print{main{padding:0}.wide{overflow:visible}td{overflow-wrap:anywhere}}
@media print{table{font-size:.65rem}td .photo{width:12mm;height:auto}}
@media print{table:has(.photo) :is(td,th){padding:.2em .3em}}
@media print{h2,tr,figure:not(.wide){break-inside:avoid}}
"""
