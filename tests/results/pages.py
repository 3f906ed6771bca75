"""A report read back as a browser would."""

from __future__ import annotations

from html.parser import HTMLParser

#: Elements without an end.
_EMPTY = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page holds; every element must be closed in its turn.

    Attributes:
        tables: rows of cells' texts, the head first; a picture's cell holds its alt text.
        headings: texts of all h2.
        links: every address that anything in the page points to.
        images: (alt, address) of every picture.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.headings: list[str] = []
        self.links: list[str] = []
        self.images: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        self.links += [str(known[k]) for k in ("src", "href", "action", "data") if k in known]
        if tag == "img":
            self.images.append((known["alt"] or "", known["src"] or ""))
            if self._open[-1] == "td":
                self.tables[-1][-1][-1] += known["alt"] or ""
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "h2":
            self.headings.append("")
        elif tag in ("caption", "figcaption"):
            self.captions.append("")
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data
        elif "h2" in self._open:
            self.headings[-1] += data
        elif "caption" in self._open or "figcaption" in self._open:
            self.captions[-1] += data

    def table(self, *head: str) -> list[list[str]]:
        """The rows of the table that begins with these columns."""
        found = [t for t in self.tables if t[0][: len(head)] == list(head)]
        assert len(found) == 1, (
            f"{len(found)} tables begin with {head}: {[t[0] for t in self.tables]}"
        )
        return found[0][1:]
