"""`aumer data`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from data import trees

from aumer.cli import main
from aumer.data import read_table_report
from aumer.errors import EXIT_OK, EXIT_PARTIAL, EXIT_USAGE
from aumer.registry import names

Find = Callable[[str], Path]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    root = tmp_path / "clean"
    trees.images(root / "a", "{}.png", range(30))
    (root / "mine.csv").write_text("file,fps,kind,onset,apex,offset\na,30,micro,3,5,9\n")
    return root


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    root = tmp_path / "faulty"
    trees.images(root / "a", "{}.png", range(30))
    (root / "mine.csv").write_text(
        "file,fps,kind,onset,apex,offset\n"
        "a,30,micro,3,5,9\na,30,macro,9,12,15\na,30,macro,20,22,\n"
        + "".join(f"a,30,macro,{k},{k},{k}\n" for k in range(25, 30))
        + "a,30,macro,29,29,35\n"
    )
    return root


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == EXIT_OK
    printed = capsys.readouterr().out
    for name in names("dataset"):
        assert f"\n{name}" in f"\n{printed}"
    assert "casme-sq: 22 subjects, 300 macro, 57 micro" in printed


def test_a_clean_set(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own", str(clean)]) == EXIT_OK
    printed = capsys.readouterr().out
    assert printed.endswith("\nno fault\n")
    assert "mine.csv: 1 rows, 1 expressions" in printed


def test_a_faulty_set(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "check", "own", str(faulty)]
    assert main(words) == EXIT_PARTIAL
    printed = capsys.readouterr().out
    assert "missing-offset: a a row 4: column offset holds ''" in printed
    assert "2 faults to be dealt with: missing-offset, outside-video. Correct" in printed
    assert "; 2 to look at: overlap" in printed
    policies = ["--policy", "missing-offset=mirror"]
    assert main([*words, *policies]) == EXIT_PARTIAL
    assert "1 fault to be dealt with: outside-video" in capsys.readouterr().out
    assert main([*words, *policies, "--policy", "outside-video=accept"]) == EXIT_OK
    assert "every fault has a policy; 2 to look at" in capsys.readouterr().out


def test_examples_or_all(
    tmp_path: Path, shared_data: Find, capsys: pytest.CaptureFixture[str]
) -> None:
    table = shared_data("annotations/casme_sq_coding.xlsx")
    trees.casme_sq(tmp_path, read_table_report("casme-sq", table))
    words = ["data", "check", "casme-sq", str(tmp_path), "--table", str(table)]
    assert main(words) == EXIT_PARTIAL
    printed = capsys.readouterr().out
    assert "missing-offset: ... and 41 more (--all)" in printed
    assert main([*words, "--all"]) == EXIT_PARTIAL
    printed = capsys.readouterr().out
    assert printed.count("\nmissing-offset: ") == 44 and "(--all)" not in printed


def test_json(faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "check", "own", str(faulty), "--json"]
    assert main([*words, "-"]) == EXIT_PARTIAL
    printed = json.loads(capsys.readouterr().out)
    file = tmp_path / "report.json"
    assert main([*words, str(file)]) == EXIT_PARTIAL
    assert json.loads(file.read_text()) == printed
    assert printed["summary"]["outside-video"]["count"] == 1
    before = file.read_bytes()
    assert main([*words, str(file)]) == EXIT_USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert main([*words, str(file), "--overwrite"]) == EXIT_PARTIAL


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["casme_sq", "."], "Did you mean 'casme-sq'"),
        (["own", "nowhere"], "nowhere does not exist"),
        (["own", ".", "--policy", "overlap"], "--policy must be FAULT=POLICY"),
        (["own", ".", "--policy", "overlp=accept"], "Did you mean 'overlap'"),
        (["megc-unseen", ".", "--table", "x.csv"], "has no option 'table'"),
        (["own", ".", "--table", "x.xlsx"], "cannot read a table from x.xlsx: No such file"),
    ],
)
def test_what_is_refused(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", *words]) == EXIT_USAGE
    assert message in capsys.readouterr().err
