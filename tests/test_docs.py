"""Every Python block of docs/extending.md runs as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import Block, blocks

from aumer import registry

EXTENDING = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
BLOCKS = blocks(EXTENDING)


def sections() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for one in BLOCKS:
        found.setdefault(one.heading, []).append(one)
    return found


@pytest.mark.parametrize("heading", sections())
def test_a_section_does_what_it_says(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    for one in sections()[heading]:
        if one.language == "toml":
            name = re.match(r"# (\S+\.toml)\n", one.text)
            assert name, "a TOML block begins with its file's name"
            Path(name[1]).write_text(one.text, encoding="utf-8")
        else:
            assert one.language == "python" and "assert " in one.text
            one.run()


@pytest.mark.parametrize("heading", sections())
def test_a_part_takes_two_files_at_most(heading: str) -> None:
    """One of Python, and one of TOML."""
    languages = [one.language for one in sections()[heading]]
    assert languages in (["python"], ["toml", "python"])


def test_every_kind_of_part_is_shown() -> None:
    code = "".join(one.text for one in BLOCKS)
    shown = set(re.findall(r'register\("([^"]+)", "', code))
    assert shown == set(registry._parts)
