"""One layout for the runs of every task, written by the library; and the one of before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.conftest import recognize, small, to_old_layout

from aumer.bench import folds
from aumer.bench.convert import convert
from aumer.bench.protocol import load
from aumer.bench.report import draw
from aumer.bench.run import run, stored
from aumer.errors import UsageError


def files(folder: Path) -> set[str]:
    """By their names, the folds' as one."""
    found = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    return {str(p.with_name("FOLD.json")) if p.parts[0] == "seed-0" else str(p) for p in found}


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    folder = tmp_path_factory.mktemp("spotted") / "run"
    run(small(), tables, "rules", folder=folder)
    return folder


def test_runs_of_both_tasks_have_the_same_files(spotted: Path, tmp_path: Path) -> None:
    recognized = recognize(tmp_path / "run").folder
    expected = {"run.json", "data.json", "seed-0/FOLD.json", "result.json", "result.md"}
    assert files(spotted) == files(recognized) == expected
    keys: list[dict[str, set[str]]] = []
    for folder in (spotted, recognized):
        fold = next(folder.glob("seed-0/*.json"))
        named = {name: folder / f"{name}.json" for name in ("run", "data", "result")}
        keys.append({k: set(json.loads(p.read_text())) for k, p in {**named, "fold": fold}.items()})
    both = {name: keys[0][name] & keys[1][name] for name in keys[0]}
    assert both["run"] >= {"format", "protocol", "model"} and "format" in both["data"]
    about = {"format", "fold", "dataset", "seed", "depends", "tested", "trained", "seconds"}
    assert both["fold"] >= about
    made_of = {"protocol", "model", "command", "versions", "run", "folds", "published", "notes"}
    assert both["result"] >= made_of


def test_a_recognition_run_made_in_python_is_opened_again(tmp_path: Path) -> None:
    """With its figures, its table and its page; no command line wrote any of it."""
    made = recognize(tmp_path / "run")
    again = stored(tmp_path / "run")
    assert again.to_dict() == made.to_dict() and again.to_markdown() == made.to_markdown()
    assert (tmp_path / "run" / "result.md").read_text() == made.to_markdown()
    assert again.folds == made.folds and made.bootstrap("uar") == again.bootstrap("uar")
    assert "aumer bench &lt;x&gt;" in draw(tmp_path / "run").html


def test_runs_of_two_tasks_do_not_compare(spotted: Path, tmp_path: Path) -> None:
    recognize(tmp_path / "run")
    with pytest.raises(UsageError, match="no figure in common"):
        stored(spotted).compared(stored(tmp_path / "run"))


# The layout of before


def test_a_run_of_before_is_refused_with_the_way_to_convert_it(
    tmp_path: Path, tables: Path
) -> None:
    folder = to_old_layout(recognize(tmp_path / "run").folder)
    said = rf"aumer bench convert {folder}"
    for open_it in (
        lambda: stored(folder),
        lambda: draw(folder),
        lambda: recognize(folder),
        lambda: run(small(), tables, "rules", folder=folder),
        lambda: run(load("megc2019-recognition"), None, "graph", folder=folder, score_only=True),
    ):
        with pytest.raises(UsageError, match=said):
            open_it()
    assert (folder / "about.json").exists()


@pytest.mark.parametrize("split", ["loso", "k-fold"])
def test_a_converted_run_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    """Its folds are as they were; what made them is not known, so that a run makes them again."""
    folder = tmp_path / "run"
    made = recognize(folder, split=split, folds=2)
    kept = {name: (folder / f"{name}.json").read_text() for name in ("run", "data")}
    before = files(folder)
    to_old_layout(folder)
    (folder / "seed0-s9.checkpoint").touch()  # as of a training that was killed
    assert convert(folder) == folder
    assert files(folder) == before
    for name, text in kept.items():
        assert json.loads((folder / f"{name}.json").read_text()) == json.loads(text)
    again = stored(folder)
    assert again.folds == made.folds and again.figures() == made.figures()
    assert again.run.command == "aumer bench <x>"

    ran: list[str] = []
    once = folds.run_fold
    monkeypatch.setattr(folds, "run_fold", lambda job: ran.append(job.fold) or once(job))
    anew = recognize(folder, split=split, folds=2)
    assert len(ran) == len(made.folds) and anew.figures()["seeds"] == made.figures()["seeds"]
    with pytest.raises(UsageError, match="nothing to convert"):
        convert(folder)


def test_a_run_that_was_not_finished_is_converted_by_its_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    made = recognize(folder)
    to_old_layout(folder)
    for name in ("result.json", "seed0-s2.json"):
        (folder / name).unlink()
    with pytest.raises(UsageError, match="give `protocol`"):
        convert(folder)
    protocol = replace(load("megc2019-recognition"), seeds=(0,))
    other = protocol.changed({"recognition.svm-cells.cells": 3})
    for wrong in (other, replace(protocol, split="k-fold", folds=2)):
        with pytest.raises(UsageError, match="that it was run with as `protocol`"):
            convert(folder, wrong)
    convert(folder, protocol)
    ran: list[str] = []
    once = folds.run_fold
    monkeypatch.setattr(folds, "run_fold", lambda job: ran.append(job.fold) or once(job))
    again = recognize(folder)
    assert ran == ["s0", "s1", "s2", "s3"] and again.figures()["seeds"] == made.figures()["seeds"]


def test_a_conversion_that_was_killed_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    made = recognize(folder)
    to_old_layout(folder)
    text = (folder / "about.json").read_text()
    gone = next(folder.glob("seed0-*.json"))
    fold = gone.read_text()
    convert(folder)
    # Before it had removed the files of before.
    (folder / "about.json").write_text(text)
    gone.write_text(fold)
    (folder / "seed0-s0.json").write_text("{")
    with pytest.raises(UsageError, match=r"seed0-s0\.json"):
        convert(folder)
    (folder / "seed0-s0.json").write_text(fold)
    convert(folder)
    assert stored(folder).folds == made.folds


def test_a_run_without_a_fold_and_a_damaged_one_are_not_converted(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no JSON object"):
        convert(tmp_path)
    (tmp_path / "about.json").write_text('{"model": "svm-cells"}')
    with pytest.raises(UsageError, match="stopped before its first fold"):
        convert(tmp_path, "megc2019-recognition")


def test_names_that_moved_say_where_to() -> None:
    with pytest.raises(ImportError, match=r"Options is no more: see aumer\.bench\.run\.run"):
        from aumer.bench.runner import Options  # noqa: F401
    with pytest.raises(ImportError, match=r"composite is no more: see aumer\.training\.composite"):
        from aumer.bench.recognition import composite  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name"):
        from aumer.bench.runner import nothing  # noqa: F401
