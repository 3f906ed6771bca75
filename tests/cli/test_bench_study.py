"""`aumer bench study`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench.conftest import write_tables

from aumer.errors import EXIT_OK, EXIT_PARTIAL, EXIT_USAGE

#: Rules that are held to themselves, and a file of weights that is not there when it is run.
STUDY = """
title = "Two rules"
protocol = "sim-casme-sq"
base = "rules"
model = "rules"
changes = { level = "easy" }

[rows.rules]

[rows.again]
note = "the same"
"""
LINE = "bench study mine.toml --data tables --scoring expect_macro=8 --scoring expect_micro=4"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_tables(tmp_path / "tables")
    (tmp_path / "mine.toml").write_text(STUDY)
    return tmp_path / "out"


def test_from_the_plan_to_the_page(run: Any, study: Path) -> None:
    plan = run(f"{LINE} -o out --dry-run")
    assert plan.code == EXIT_OK, plan.err
    assert "8 folds with all seeds, 0 of them there" in plan.out and not study.exists()
    done = run(f"{LINE} -o out --report")
    assert done.code == EXIT_OK, done.err
    assert "| again | - |" in done.out and "less rules [95 %]" in done.out
    assert "row again: 2 of 2" in done.err and "study.html" in done.err
    page = (study / "study.html").read_text()
    assert 'href="again/report.html"' in page and (study / "again" / "report.html").is_file()
    rows = json.loads(run(f"{LINE} -o out --dry-run --json").out)
    assert [(row["name"], row["folds"], row["done"]) for row in rows] == [
        ("rules", 4, 4),
        ("again", 4, 4),
    ]
    again = run("bench report out -o other.html")
    assert again.code == EXIT_OK and (study.parent / "other.html").is_file(), again.err
    found = run(f"{LINE} -o out --score-only --json")
    lines = json.loads(found.out)
    assert {line["less_base"] for line in lines if line["row"] == "again"} == {0.0}


def test_a_row_that_fails_gives_its_own_exit_code(
    run: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aumer.bench import study as studies

    usual = studies.run

    def one_fails(protocol: Any, roots: Any, model: str, **how: Any) -> Any:
        if how["folder"].name == "again":
            raise ValueError("worn out")
        return usual(protocol, roots, model, **how)

    monkeypatch.setattr(studies, "run", one_fails)
    done = run(f"{LINE} -o out")
    assert done.code == EXIT_PARTIAL and "ValueError: worn out" in done.out
    assert "row again failed" in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bench study cnn-lstm-tim --data x", "Did you mean 'cnn-lstm-time'"),
        ("bench study mine.toml", "--data"),
        ("bench study mine.toml --data nowhere", "nowhere"),
        ("bench study mine.toml --data tables --rows again,agin", "no row 'agin'"),
        ("bench study mine.toml --data tables --set epochs=3", "row rules of the study mine"),
        ("bench study mine.toml --data tables --selection oracle", "chosen on test subjects"),
        ("bench study mine.toml --data tables --protocol nope", "no protocol or file 'nope'"),
        ("bench report tables", "no finished run"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_written(
    run: Any, study: Path, line: str, said: str
) -> None:
    before = set(study.parent.rglob("*"))
    done = run(line)
    assert done.code == EXIT_USAGE and said in done.err, done.err
    assert set(study.parent.rglob("*")) == before


def test_studies_are_listed(run: Any) -> None:
    assert "mfem-mffm            mfem-mffm: the two modules" in run("bench list").out
