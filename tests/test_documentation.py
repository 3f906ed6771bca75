"""README and docs/: links lead somewhere, commands parse, the reference says what the code says."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import blocks

from aumer.cli import command_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The headings of a page, as browsers of Markdown make addresses of them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_file(), f"{relative(page)} links to {target}, which is not there"
        assert not anchor or anchor in anchors(there), f"{relative(page)}: no heading {target}"


def commands(page: Path) -> list[str]:
    """Command lines of `aumer` in a page's shell blocks."""
    lines = []
    for block in blocks(page):
        if block.language == "bash":
            joined = block.text.replace("\\\n", " ")
            lines += re.findall(r"(?:^|&& )(aumer .+?)(?= && |$)", joined, re.M)
    return lines


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page in PAGES for line in commands(page)],
    ids=lambda value: relative(value) if isinstance(value, Path) else value[:50],
)
def test_commands_are_ones_that_aumer_takes(page: Path, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    said = io.StringIO()
    unknown, code = [], 0
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            _, unknown = command_parser().parse_known_args(words)
    except SystemExit as done:
        code = int(done.code or 0)
    assert not code, f"{relative(page)}: {line}\n{said.getvalue()}"
    assert not unknown, f"{relative(page)}: {line}: no {unknown}"


def test_every_page_can_be_reached() -> None:
    """From README or the index, by links alone."""
    seen: set[Path] = set()
    left = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        found = re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", page.read_text("utf-8"))
        left += [(page.parent / name).resolve() for name in found if "://" not in name]
    assert {relative(p) for p in PAGES} <= {relative(p) for p in seen}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """Else `mkdocs build --strict` ends with an error."""
    nav = (ROOT / ".ci" / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"- (\S+\.md)$", nav, re.M)
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in PAGES[1:]}
    assert set(named) == pages and len(named) == len(pages)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse lays help out otherwise")
def test_the_reference_says_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert generator().stale() == [], "run `python docs/generate.py`"


def test_the_reference_has_all_commands_settings_and_names() -> None:
    import aumer

    pages = generator().PAGES
    text = (pages / "commands.md").read_text("utf-8")
    for name in ("spot", "classify", "features", "bench score", "train", "convert"):
        assert f"## aumer {name}\n" in text
    text = (pages / "api.md").read_text("utf-8")
    assert all(f"## {name}\n" in text for name in aumer.__all__)


def test_messages_are_listed_for_review() -> None:
    """docs/reference/messages.md, which `stale` keeps true, has those of every way to say one."""
    text = generator().messages()
    for listed in (
        "- UsageError: `{os.fspath(path)} exists already`",  # raised
        "- require: `motion.rate must be from 1 to {MAX_RATE} per second",  # of settings
        "- warning: `the features are not kept in the cache: %s`",  # logged
        "- note: `Ctrl-C ends it`",  # printed by a command
        "- ArgumentTypeError: `must be {allowed}; found {text}`",  # of an option
    ):
        assert listed.partition("{")[0] in text, listed
    assert text.count("\n- ") > 700


#: Private words for what has a usual one (docs/glossary.md), or German in English clothes.
DIALECT = (
    *("left the numbers", "without a word", "with a word", "for ever", "of before", "anew from"),
    *("takes in vain", "wants to be", "is spoken", "promises", "no text, nor", "of somebody else"),
)


def test_messages_are_in_plain_english() -> None:
    found = [
        line
        for line in generator().messages().splitlines()
        if line.startswith("- ") and re.search(rf"\b({'|'.join(DIALECT)})\b", line)
    ]
    assert found == []


def test_the_picture_of_the_architecture_shows_the_layers() -> None:
    """docs/pictures/architecture.svg stacks packages as tests/test_layers.py does."""
    from test_layers import LAYERS

    svg = (ROOT / "docs" / "pictures" / "architecture.svg").read_text("utf-8")
    height = {
        name: float(y) for y, name in re.findall(r'y="([\d.]+)"[^>]*fill="#263238">([^<]+)<', svg)
    }
    drawn = {one: y for names, y in height.items() for one in names.split(", ")}
    assert len(drawn) > 25
    level = {name: k for k, line in enumerate(LAYERS) for name in line}
    for one, y in drawn.items():
        for other, lower in drawn.items():
            if level[one] > level[other]:
                assert y <= lower, f"{one} imports {other} and stands below it"
