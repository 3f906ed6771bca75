"""A page of text, tables and figures in one file that needs nothing else: it can be mailed.

The page asks its reader's browser to load nothing (a content security policy), has no script, and
carries every figure as SVG in a data URI, with a text that stands in for it.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from aumer.results.schema import printable
from aumer.types import ImageArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: In the head of every page, so that aumer knows its own pages again.
GENERATOR = "aumer report"

_DPI = 200


@dataclass(frozen=True)
class Text:
    """A paragraph, or words to be copied as they are."""

    text: str
    literal: bool = False


@dataclass(frozen=True)
class ListBlock:
    """A list of short sentences."""

    items: Sequence[str]


@dataclass(frozen=True, eq=False)
class Picture:
    """A small image within a table: (H, W, 3) uint8 RGB, shown without smoothing."""

    image: ImageArray
    alt: str


#: Numbers stand to the right; float has four decimals, `None` is a dash.
Cell = str | int | float | Picture | None


@dataclass(frozen=True)
class TableBlock:
    """Rows under a head.

    Attributes:
        caption: what it shows and how to read it.
        folded: where not "", the words on which a reader clicks to see it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    folded: str = ""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure.

    Attributes:
        name: of its files.
        caption: what it shows and how to read it.
        alt: what it says, for who cannot see it.
    """

    name: str
    figure: Figure
    caption: str
    alt: str


@dataclass(frozen=True)
class LeftOut:
    """Why a section has nothing to show."""

    why: str


Block = Text | ListBlock | TableBlock | Drawing | LeftOut


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


def page(title: str, facts: Sequence[str], warnings: Sequence[str], body: Sequence[Section]) -> str:
    """The page as HTML 5.

    Args:
        facts: short lines below the title.
        warnings: what must not be overlooked, in a frame above everything.
    """
    contents = "".join(
        f'<li><a href="#s{k}">{_text(s.title)}</a></li>' for k, s in enumerate(body, start=1)
    )
    numbers = _Numbers()
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        # Whatever a later version of this file writes, a browser loads nothing.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">",
        f'<meta name="generator" content="{GENERATOR}">',
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
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


class _Numbers:
    """Numbers of tables and figures."""

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
    # Not <caption>, which is no wider than a narrow table.
    text = (
        f'<figure class="wide"><figcaption><b>{numbers.next("Table")}.</b> {_text(table.caption)}'
        f"</figcaption><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></figure>"
    )
    if not table.folded:
        return text
    return f"<details><summary>{_text(table.folded)}</summary>{text}</details>"


_RIGHT = ' class="n"'
_NUMBER = re.compile(r"[+−-]?[\d.]+( ?%|e[+−-]?\d+)?")


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell) is not None
    return isinstance(cell, (int, float))


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
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


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as "svg" or "png": the same figure gives the same bytes."""
    from matplotlib import rc_context

    content = io.BytesIO()
    # SVG has a date in it, and names that are drawn at random, unless told not to.
    more: Mapping[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": _DPI}
    with rc_context({"svg.hashsalt": "aumer"}):
        figure.savefig(content, format=kind, **more)
    return content.getvalue()


_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#fff;color:#1a1a1a;font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1.5rem}
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
td .pixels{width:84px;height:84px;image-rendering:pixelated;display:block}
pre{background:#f3f3f3;padding:.7em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
details{margin:.8em 0}
summary{cursor:pointer;color:#00558c}
@media print{h2,tr,figure:not(.wide){break-inside:avoid}}
"""
