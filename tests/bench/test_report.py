"""A run's folder becomes a page, without training; and a folder that does not add up does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.conftest import TINY, recognize, rewritten, small, to_old_layout
from results.pages import Page

from aumer.bench import report as reports
from aumer.bench.convert import convert
from aumer.bench.report import draw, read
from aumer.bench.run import run, stored
from aumer.bench.tasks.recognition_result import DESIGNED_ON
from aumer.errors import UsageError
from aumer.report import page as html
from aumer.report.runs import RecognitionRun, SpottingRun
from aumer.testing.clips import CLASSES, clips


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "figure_bytes", lambda figure, kind: b"<svg/>")


# Recognition


@pytest.fixture(scope="module")
def recognized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `aumer bench` leaves of a recognizer of flow maps."""
    return recognize(tmp_path_factory.mktemp("recognized") / "run").folder


@pytest.fixture
def copied(recognized: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recognized, tmp_path / "run"))


def test_nothing_that_can_be_mailed_says_where_it_lies(copied: Path) -> None:
    document = json.loads((copied / "result.json").read_text())
    model = str(copied / "mine.safetensors")
    command = f"aumer bench run --data own={copied}/clips --model {model} -o '{copied}'"
    rewritten(copied / "result.json", command=command)
    assert document["command"] == "aumer bench <x>"
    page = draw(copied).html
    assert str(copied.parent) not in page
    assert "aumer bench run --data own=clips --model mine.safetensors -o run" in page


def test_a_recognition_run(recognized: Path) -> None:
    data = clips(0, subjects=4, each=2)
    before = {p.name: p.stat().st_mtime_ns for p in recognized.iterdir()}
    drawn = read(recognized)
    assert isinstance(drawn, RecognitionRun) and drawn.classes == CLASSES
    at = dict(
        zip(data.names, zip(data.subjects, data.labels, data.sources, strict=True), strict=True)
    )
    assert {c.name for c in drawn.clips} == set(data.names)
    for c in drawn.clips:
        subject, label, source = at[c.name]
        assert (c.subject, c.truth, c.source) == (subject, CLASSES[label], source)
        assert sum(c.probabilities) == pytest.approx(1, abs=1e-5)
        assert len(c.attribution) == len(drawn.rois) > 1
    found = Page(draw(recognized).html)
    result = json.loads((recognized / "result.json").read_text())
    assert found.table("", "value")[0][1] == f"{result['uf1']['value']:.4f}"
    for row in found.table("data set", "clips"):
        assert row[3].startswith(f"{result['parts'][row[0]]['uf1']:.4f} [")
    assert "aumer bench <x>" in found.text and "STSTNet" in found.text
    assert "SIMULATED" not in found.text
    assert {p.name: p.stat().st_mtime_ns for p in recognized.iterdir()} == before


def test_losses_embeddings_and_unseen_clips_of_a_network(copied: Path) -> None:
    """As folds of recognizers of sequences keep them."""
    for path in copied.glob("seed-0/*.json"):
        n = len(json.loads(path.read_text())["clips"])
        rewritten(
            path,
            log=[{"epoch": k, "loss": 1.0 / (k + 1), "inner_loss": 1.0} for k in range(3)],
            embeddings=[[float(k), k % 3, 1.0] for k in range(n)],
            unseen=1,
            chosen={"gamma": 0.3},
        )
    drawn = read(copied)
    assert isinstance(drawn, RecognitionRun)
    assert [len(t.log) for t in drawn.training] == [3] * 4 and drawn.chosen[0] == {"gamma": 0.3}
    assert sum(not c.seen for c in drawn.clips) == 4
    done = draw(copied)
    shown = ["confusion", "roc", "calibration", "embeddings", "attribution", "losses"]
    assert list(done.figures) == shown
    assert ["gamma", "0.3 (4)"] in Page(done.html).table("of each fold")


def test_a_run_of_before_data_sets_were_kept(copied: Path) -> None:
    """With the files of then; converted, it says what it lacks."""
    to_old_layout(copied)
    (copied / "data.json").unlink()
    for path in copied.glob("seed0-*.json"):
        fold = json.loads(path.read_text())
        for key in ("log", "embeddings", "attribution", "rois", "subjects", "unseen"):
            fold.pop(key, None)
        path.write_text(json.dumps(fold))
    with pytest.raises(UsageError, match="aumer bench convert"):
        draw(copied)
    found = Page(draw(convert(copied)).html)
    for why in ("By data set: left out", "no attribution", "no embeddings", "no losses"):
        assert why in found.text


def test_what_a_run_says_of_its_scores_is_said(tmp_path: Path) -> None:
    """As `aumer bench` does of a design that was made with the test subjects in view."""
    fixed = {"target": "none", "gamma": 0.3, "ridge": 0.2, "balance": 0.75}
    recognize(tmp_path / "run", "graph", recognition={"graph": {"choice": fixed}})
    assert next(iter(DESIGNED_ON.values())) in Page(draw(tmp_path / "run").html).text


@pytest.mark.parametrize(
    "how", ["gone", "altered", "relabeled", "another class", "damaged", "no result"]
)
def test_folds_that_are_not_those_of_the_result(copied: Path, how: str) -> None:
    path = copied / "seed-0" / "s1.json"
    fold = json.loads(path.read_text())
    wanted = "are not those from which its result.json"
    if how == "gone":
        path.unlink()
        wanted = "there is no fold of s1"
    elif how == "damaged":
        path.write_text("{")
        wanted = "cannot read a fold of aumer.s from .*s1.json"
    elif how == "no result":
        (copied / "result.json").unlink()
        wanted = "holds no finished run"
    else:
        new = CLASSES[CLASSES.index(fold["predicted"][0]) - 1]
        predicted = [new, *fold["predicted"][1:]]
        if how == "altered":
            path.write_text(json.dumps({**fold, "predicted": predicted}))
            wanted = r"fold of aumer.s from .*s1.json: it is not as it was written"
        elif how == "another class":
            rewritten(path, predicted=["fear", *predicted[1:]])
            wanted = "'fear' is none of the classes"
        else:
            rewritten(path, predicted=predicted)
    with pytest.raises(UsageError, match=wanted):
        draw(copied)


def test_flow_images_beside_the_mistakes(
    recognized: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clips(0, subjects=4, each=2)
    scaled = replace(data, inputs=(data.inputs - data.inputs.min()) / np.ptp(data.inputs))
    monkeypatch.setattr(reports, "composite", lambda root: scaled)
    drawn = read(recognized, data="root")
    assert isinstance(drawn, RecognitionRun) and len(drawn.images) == len(data)
    assert drawn.images["s0", data.names[0]].shape == (28, 28, 3)
    monkeypatch.setattr(
        reports, "composite", lambda root: replace(data, labels=(data.labels + 1) % 3)
    )
    with pytest.raises(UsageError, match="root is not the data of this run: clip"):
        read(recognized, data="root")
    result = json.loads((copied / "result.json").read_text())
    protocol = {**result["protocol"], "datasets": ["casme2", "samm"]}
    rewritten(copied / "result.json", protocol=protocol)
    with pytest.raises(UsageError, match="the folder of samm, too, or leave `data` out"):
        read(copied, data={"casme2": "root"})


# Spotting


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    """A tiny network on simulated faces, its epoch chosen on the test subject, too."""
    folder = tmp_path_factory.mktemp("spotted") / "run"
    protocol = small(selection="oracle")
    run(protocol, {"sim-casme-sq": tables}, "aumer", folder=folder, overrides=TINY)
    return folder


def test_a_spotting_run(spotted: Path, tables: Path) -> None:
    kept = stored(spotted)
    drawn = read(spotted)
    assert isinstance(drawn, SpottingRun)
    assert [s.honest for s in drawn.spotted] == [True, False]
    found = Page(draw(spotted).html)
    assert "SIMULATED DATA (sim-casme-sq)" in found.text and "ORACLE" in found.text
    assert "upper bounds and no results" in found.text and "easy" in found.text
    assert "by a model of the others" in found.text
    first = next(t for t in found.tables if t[0][:2] == ["kind", "TP"])
    counts = kept.reports()[0].counts()
    assert first[3][1:4] == [str(counts.tp), str(counts.fp), str(counts.fn)]
    assert {row[0] for row in found.table("of each fold")} >= {"epochs", "threshold", "loss"}


def test_a_model_that_learns_nothing_is_not_called_one_of_the_others(
    tmp_path: Path, tables: Path
) -> None:
    run(small(), {"sim-casme-sq": tables}, "rules", folder=tmp_path / "run")
    text = Page(draw(tmp_path / "run").html).text
    assert "rules and no weights" in text and "trained never" in text
    assert "by a model of the others" not in text and "last epoch" not in text


def test_versions_are_the_run_s_and_not_those_of_today(spotted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(spotted, tmp_path / "run"))
    for path in (folder / "seed-0").glob("*.json"):
        rewritten(path, versions={"torch": "0.1"})
    assert Page(draw(folder).html).table("package") == [["torch", "0.1"]]
    rewritten(path, versions={"torch": "0.2"})
    assert Page(draw(folder).html).table("package") in (
        [["torch", "0.1 and 0.2"]],
        [["torch", "0.2 and 0.1"]],
    )
    # Runs of before said it in their result alone.
    for path in (folder / "seed-0").glob("*.json"):
        fold = json.loads(path.read_text())
        del fold["versions"], fold["sha256"]
        path.write_text(json.dumps(fold))
    rewritten(folder / "result.json", versions={"torch": "0.3"})
    assert Page(draw(folder).html).table("package") == [["torch", "0.3"]]
    next((folder / "seed-0").glob("*.json")).unlink()
    with pytest.raises(UsageError, match="there is no fold of"):
        draw(folder)


def test_what_is_no_run(tmp_path: Path, spotted: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished run"):
        draw(tmp_path)
    with pytest.raises(UsageError, match="leave `data` out"):
        draw(spotted, data=tmp_path)
