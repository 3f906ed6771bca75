"""A page stands by itself: nothing is loaded, nothing of the user's becomes markup."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from results.pages import Page

from aumer.report.page import Drawing, LeftOut, ListBlock, Picture, Section, TableBlock, Text, page

NASTY = "<b>\"Anna\" & 'Ben'</b><script>alert(1)</script>"


def drawing(name: str = "line", alt: str = "a line") -> Drawing:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [0, 1])
    return Drawing(name, figure, "A caption.", alt)


def made(*blocks: object) -> Page:
    return Page(page("Title", ["fact"], ["warning"], [Section("One", list(blocks))]))  # type: ignore[arg-type]


def test_everything_is_in_the_page_and_nothing_outside() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    table = TableBlock(("picture",), [[Picture(image, "two by two")]], "Pictures.")
    found = made(drawing(), table, Text("words"), ListBlock(["item"]), LeftOut("no reason."))
    assert found.headings == ["One"] and "Left out: no reason." in found.text
    assert [link for link in found.links if not link.startswith(("data:image/", "#"))] == []
    assert {"script", "link", "iframe", "object"}.isdisjoint(found.tags)
    assert found.captions == ["Figure 1. A caption.", "Table 1. Pictures."]
    (alt, source), (small, pixels) = found.images
    assert (alt, small) == ("a line", "two by two")
    svg = base64.b64decode(source.partition("base64,")[2]).decode()
    assert "<svg" in svg and "<script" not in svg
    # A figure's own file asks for nothing either: names of name spaces are no addresses.
    assert not re.search(r'(?:href|src)="(?!#)', svg.replace("xlink:href", "href"))
    back = imread(io.BytesIO(base64.b64decode(pixels.partition("base64,")[2])))
    assert (np.rint(255 * back[..., :3]).astype(int) == image).all()


def test_the_browser_is_told_to_load_nothing() -> None:
    text = page("t", [], [], [])
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert (
        "url(" not in text and "@import" not in text and "http" not in text.partition("<body>")[2]
    )


def test_words_of_the_user_s_stay_words() -> None:
    block = [
        Text(NASTY),
        Text(NASTY, literal=True),
        ListBlock([NASTY]),
        LeftOut(NASTY),
        TableBlock((NASTY,), [[NASTY]], NASTY, folded=NASTY),
        Drawing("x", drawing().figure, NASTY, NASTY),
    ]
    found = Page(page(NASTY, [NASTY], [NASTY], [Section(NASTY, block)]))
    # Title, its heading, contents, section, fact, warning, and ten within the section.
    assert found.text.count(NASTY) == 15 and found.images[0][0] == NASTY
    assert {"b", "script"} & set(found.tags) == {"b"}  # the numbers of tables and figures
    assert found.tags.count("b") == 2


def test_what_utf_8_cannot_hold_is_written_as_codes() -> None:
    assert "\\udcff" in page("video\udcff.mp4", [], [], []).encode().decode()


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        ([1, None, 3], True),
        ([0.5, 1], True),
        (["78 %", "+0.1", "−3e−05"], True),
        (["1 of 2", 3], False),
        ([None, None], False),
    ],
)
def test_numbers_stand_to_the_right(cells: list[object], right: bool) -> None:
    table = TableBlock(("c",), [[cell] for cell in cells], "")  # type: ignore[list-item]
    text = page("t", [], [], [Section("s", [table])])
    assert ('<td class="n">' in text) is right


def test_a_cell_s_number_is_written_with_four_decimals() -> None:
    assert made(TableBlock(("c", "d"), [[0.5, None]], "")).tables == [[["c", "d"], ["0.5000", "–"]]]


def test_the_same_figure_gives_the_same_page() -> None:
    texts = {page("t", [], [], [Section("s", [drawing()])]) for _ in range(2)}
    assert len(texts) == 1
