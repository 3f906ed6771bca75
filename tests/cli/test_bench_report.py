"""`aumer bench report`, and `--report` of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.conftest import write_tables
from results.pages import Page

from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.report import page as html
from aumer.report import report

PROTOCOL = """
title = "Four small timelines"
kind = "spotting"
datasets = ["sim-casme-sq"]
split = "loso"
level = "easy"
"""


@pytest.fixture
def line(tmp_path: Path) -> str:
    write_tables(tmp_path / "tables")
    (tmp_path / "small.toml").write_text(PROTOCOL)
    return "bench small.toml --data tables --model rules -o run -q"


def test_a_run_is_drawn_at_once_or_later(
    run: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (html, report):  # drawing itself is tested beside the figures
        monkeypatch.setattr(module, "figure_bytes", lambda figure, kind: b"<svg/>")
    plain = run(line)
    page = tmp_path / "run" / "report.html"
    assert plain.code == EXIT_OK and not page.exists()
    drawn = run("bench report run")
    assert drawn.code == EXIT_OK and drawn.out == "run/report.html\n"
    text = page.read_text(encoding="utf-8")
    assert "Four small timelines, leave one subject out – rules" in Page(text).text
    page.unlink()
    again = run(f"{line} --report --score-only")
    assert again.code == EXIT_OK and again.out.startswith("## Four small")
    # Drawn again from the same folds; the command alone is another.
    assert page.exists() and Page(page.read_text(encoding="utf-8")).tables == Page(text).tables

    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    refused = run("bench report run -o mine.html")
    assert refused.code == EXIT_USAGE and "exists already" in refused.err
    assert mine.read_text() == "mine"
    figures = run("bench report run -o mine.html --figures figures --overwrite")
    assert figures.out.split() == [
        "mine.html",
        *(
            f"figures/{name}.{kind}"
            for name in ("precision-recall", "overlap", "errors", "lengths", "videos")
            for kind in ("svg", "png")
        ),
    ]
    assert len(list((tmp_path / "figures").iterdir())) == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bench report none", "no finished run"),
        ("bench report", "DIR"),
        ("bench report none --figure x", "Did you mean '--figures'"),
    ],
)
def test_what_cannot_be_drawn(run: Any, words: str, said: str) -> None:
    done = run(words)
    assert done.code == EXIT_USAGE and said in done.err
