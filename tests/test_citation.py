"""CITATION.cff is of the Citation File Format 1.2.0, and of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aumer.strict import read_toml

ROOT = Path(__file__).resolve().parents[1]
#: Of the format's schema: what a file must and what else ours may have; and so of its references.
REQUIRED = {"cff-version", "title", "message", "authors"}
ALLOWED = REQUIRED | {"type", "abstract", "version", "license", "keywords", "references"}
REFERENCE = {"type", "title", "authors"}
DETAILS = {"year", "journal", "volume", "issue", "collection-title"}


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def test_it_has_the_members_of_the_format(citation: dict[str, Any]) -> None:
    assert citation.keys() >= REQUIRED and citation.keys() <= ALLOWED
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(author.keys() == {"name"} for author in citation["authors"])
    for one in citation["references"]:
        assert one.keys() >= REFERENCE and one.keys() <= REFERENCE | DETAILS
        assert isinstance(one["year"], int)
        for author in one["authors"]:
            assert author.keys() == {"family-names", "given-names"}
            assert all(isinstance(name, str) for name in author.values())


def test_it_is_of_this_version_and_license(citation: dict[str, Any]) -> None:
    project = read_toml(ROOT / "pyproject.toml")["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["keywords"][:4] == project["keywords"]


def test_the_page_cites_the_same_works(citation: dict[str, Any]) -> None:
    page = " ".join((ROOT / "docs" / "citation.md").read_text("utf-8").split()).casefold()
    assert "citation.cff" in page
    for one in citation["references"]:
        assert one["title"].casefold() in page
        assert all(author["family-names"].casefold() in page for author in one["authors"])
