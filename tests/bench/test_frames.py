"""CASME II, SAMM and SMIC-HS from the frames of their owners' layouts to recognized clips."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import trees
from recognition.test_conformance import NearestMean

import aumer
from aumer import registry
from aumer.bench import protocol as protocols
from aumer.bench.clips import ClipSet, clip_set
from aumer.bench.protocol import Protocol
from aumer.bench.recognizers import factory
from aumer.bench.report import draw, read
from aumer.bench.run import run
from aumer.bench.store import read_fold
from aumer.bench.tasks.recognition import loso
from aumer.bench.tasks.recognition_result import RecognitionFold, RecognitionResult
from aumer.cli import main
from aumer.config import load_settings
from aumer.data import read_table_report
from aumer.data.smic_hs import clip
from aumer.errors import ConfigError, NoFaceError, UsageError
from aumer.learning import engine
from aumer.recognition import interface
from aumer.recognition.face_position import BY_LANDMARKS
from aumer.recognition.interface import Clips
from aumer.recognition.sequences.clips import SequenceClips
from aumer.recognition.sequences.simulated import Simulation, simulated_clips
from aumer.recognition.systems.mfem_mffm import MfemMffmRecognizer
from aumer.report.runs import RecognitionRun
from aumer.tables.cells import read as read_cells
from aumer.training import clips as clips_module
from aumer.training.clips import ClipReading, StoredClips, sequence_settings
from aumer.training.listing import listed
from aumer.video.writer import VideoFile
from aumer.workers import Workers

#: Networks that learn in a second; frames as published but for the size of the crop.
SMALL: dict[str, dict[str, Any]] = {
    "mfem-mffm": {
        "config": {"steps": 3, "width": 8, "blocks": (1, 1, 1, 1), "hidden": 16},
        "learning": {"epochs": 2, "batch": 8},
        "inputs": {"size": 48},
    },
    "cnn-lstm": {
        "config": {"length": 8, "windows": 0, "channels": (4, 8)},
        "learning": {"epochs": 2},
        "inputs": {"size": 48, "margin": 0},
    },
    "mobilevit-v3": {"learning": {"epochs": 1}, "inputs": {"size": 48}},
    "se-resnext50": {
        "config": {"layers": (1, 1, 1, 1), "groups": 4, "reduction": 4},
        "learning": {"epochs": 2},
        "inputs": {"size": 48},
    },
    "ststnet": {"epochs": 2, "inputs": {"crop": 64}},
    "svm-cells": {"inputs": {"crop": 64}},
    "graph": {"inputs": {"crop": 64}},
}
#: Its face cannot be seen.
HIDDEN = ("sub02", "EP05_01")


def small(name: str, model: str, **changes: Any) -> Protocol:
    found = protocols.load(name).changed({f"recognition.{model}": SMALL[model]})
    return replace(found, **changes)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def acts() -> list[trees.Act]:
    return trees.acted(3, list(trees.ACTS), hidden=(2, "others"))


@pytest.fixture(scope="module")
def casme2(acts: list[trees.Act], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.casme2_acted(tmp_path_factory.mktemp("CASME2"), acts)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def check_whole(result: RecognitionResult, clips: int) -> None:
    """Every clip once, the one without a face too; and what a reader must know."""
    told = [
        pair for fold in result.folds for pair in zip(fold.clip_subjects, fold.clips, strict=True)
    ]
    assert len(set(told)) == len(told) == clips
    (report,) = result.reports.values()
    assert int(report.table.sum()) == clips
    (unseen,) = result.unseen
    assert (unseen.subject, unseen.name) == HIDDEN and "no face" in unseen.reason
    text = result.to_markdown()
    assert "1 clip without a face" in text and "sub02/EP05_01 (no face in any" in text
    assert "no test subject chooses any" in text and "| all | 0." in text
    assert "happiness 3, disgust 3, surprise 3, repression 3, others 3" in text
    # The workbook has / where the first clip of each subject has its apex.
    assert "the apex of 3 clips, which the table does not give" in text


@pytest.mark.parametrize("model", ["mfem-mffm", "cnn-lstm", "mobilevit-v3", "se-resnext50"])
def test_systems_of_sequences_on_casme2(
    casme2: Path, cache: Path, tmp_path: Path, model: str
) -> None:
    """TV-L1, and magnification where the publication has it, from raw frames to the table."""
    result = run(small("casme2-5class", model), casme2, model, folder=tmp_path, cache=cache)
    check_whole(result, 15)
    for fold in result.folds:
        assert len(fold.log) == SMALL[model]["learning"]["epochs"] and fold.log[0]["loss"] > 0
        assert len(fold.embeddings) == len(fold.attribution) == len(fold.clips) == 5
        assert len(fold.rois) == 12 and any(fold.attribution[0])
        assert {len(row) for row in fold.space} == {49} and {len(row) for row in fold.time} == {8}
        assert len(fold.space) == len(fold.time) == 5 and any(fold.space[0]) and any(fold.time[0])
    (hidden,) = [f for f in result.folds if f.unseen]
    assert hidden.subject == "sub02" and hidden.clips[-1] == "EP05_01"
    # No system saw it: the classes' shares in training, 2 of 10 clips each.
    assert hidden.probabilities[-1] == (0.2,) * 5 and not any(hidden.attribution[-1])


def test_faces_beside_the_mistakes(
    casme2: Path, acts: list[trees.Act], cache: Path, tmp_path: Path
) -> None:
    """The frames that the run read of clips that it mistook, apexes that were found among them."""
    # Two epochs are too few to learn anything.
    protocol = small("casme2-5class", "ststnet")
    found = run(protocol, casme2, "ststnet", folder=tmp_path, cache=cache)
    assert isinstance(found, RecognitionResult)
    wrong = {(r.subject, r.clip) for f in found.folds for r in f.rows() if r.truth != r.predicted}
    drawn = read(tmp_path, data=casme2)
    assert isinstance(drawn, RecognitionRun) and drawn.faces.keys() == wrong != set()
    seen = [faces for key, faces in drawn.faces.items() if key != HIDDEN]
    assert all(face is not None and face.shape == (128, 128, 3) for three in seen for face in three)
    for onset, apex, _ in seen:  # another moment is another picture
        assert onset is not None and apex is not None and (onset != apex).any()
    kept = json.loads((tmp_path / "data.json").read_text())["clips"]
    assert all(a <= b <= c for row in kept for a, b, c in [row["frames"]])
    assert {row["frames"][0] for row in kept} == {trees.ONSET}
    page = draw(tmp_path, data=casme2).html
    subject, name = sorted(wrong - {HIDDEN})[0]
    assert f'alt="{subject} {name} at the apex"' in page and "at offset" in page
    (tmp_path / "other").mkdir()
    other = trees.casme2_acted(tmp_path / "other", acts[:-1])
    with pytest.raises(UsageError, match="not the data of this run: clip"):
        read(tmp_path, data=other)


@pytest.mark.parametrize("model", ["svm-cells", "graph", "ststnet"])
def test_recognizers_of_flow_maps_on_casme2(
    casme2: Path, cache: Path, tmp_path: Path, model: str
) -> None:
    result = run(small("casme2-5class", model), casme2, model, folder=tmp_path, cache=cache)
    check_whole(result, 15)
    if model == "graph":  # which need not find out where a map shows the face
        assert result.folds[0].chosen["place"] == asdict(BY_LANDMARKS)
    if model != "ststnet":  # which learned for two epochs
        assert result.mean("accuracy") >= 12 / 15


def test_a_recognizer_of_motion_of_one_s_own_on_casme2(
    casme2: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._parts["recognizer"], "nearest-mean", NearestMean)
    two = replace(protocols.load("casme2-5class"), seeds=(0, 1))
    result = run(two, casme2, "nearest-mean", folder=tmp_path, cache=cache)
    check_whole(result, 15)
    assert result.mean("accuracy") >= 10 / 15
    assert not any(fold.attribution or fold.embeddings or fold.log for fold in result.folds)
    assert len(result.reports) == 1  # it draws nothing at random


def test_a_killed_run_goes_on_and_its_folder_is_enough(
    casme2: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small("casme2-5class", "mfem-mffm")

    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        assert total == (3 if what == "folds" else 15)
        if what == "folds" and done == 2:
            raise Killed

    with pytest.raises(Killed):
        run(made, casme2, "mfem-mffm", folder=tmp_path, cache=cache, progress=kill)
    kept = sorted(tmp_path.glob("seed-0/*.json"))
    assert [path.name for path in kept] == ["sub01.json", "sub02.json"]
    before = [path.read_text() for path in kept]
    with pytest.raises(UsageError, match="there is no fold of sub03 with seed 0"):
        run(made, None, "mfem-mffm", folder=tmp_path, score_only=True)
    # Of what was seen nothing is made of frames again.
    asked = []

    def inputs(example: clips_module.Example, *rest: Any) -> Any:
        asked.append((example.subject, example.name))
        raise NoFaceError("no face in any of its frames")

    monkeypatch.setattr(clips_module, "_inputs", inputs)
    # Where a network is trained is not what it is.
    there = made.changed({"recognition.mfem-mffm.device": "cpu"})
    whole = run(there, casme2, "mfem-mffm", folder=tmp_path, cache=cache)
    assert [path.read_text() for path in kept] == before
    assert asked == [HIDDEN]
    check_whole(whole, 15)
    assert not list(tmp_path.glob("**/*.checkpoint"))
    again = run(made, None, "mfem-mffm", folder=tmp_path, score_only=True)
    assert again.figures() == whole.figures() and again.folds == whole.folds
    assert read_fold(kept[0], RecognitionFold.of) == whole.folds[0]
    other = made.changed({"recognition.mfem-mffm.learning.epochs": 3})
    with pytest.raises(UsageError, match=r"which differs in model\.options\.learning\.epochs"):
        run(other, casme2, "mfem-mffm", folder=tmp_path, cache=cache)


@pytest.mark.parametrize(("model", "fps"), [("svm-cells", 200), ("cnn-lstm", 90)])
def test_kept_weights_say_of_their_fold_what_the_bench_said(
    acts: list[trees.Act], cache: Path, tmp_path: Path, model: str, fps: int
) -> None:
    """By `aumer.classify`, from the film, whatever it is asked to measure other motion with, and
    however fast it is: 30 frames a second are looked at by default."""
    lines = ["file,subject,onset,apex,offset,label"]
    for act in acts:
        if act.emotion in ("happiness", "surprise"):
            path = tmp_path / f"{act.subject}-{act.emotion}.avi"
            with VideoFile(path, fps=fps, size=act.frames.shape[2:0:-1], codec="FFV1") as file:
                for image in act.frames:
                    file.write(image)
            lines.append(f"{path.name},{act.subject},2,6,10,{act.emotion}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    made = Protocol(
        name="ours",
        title="",
        kind="recognition",
        datasets=("own",),
        split="loso",
        classes=("happiness", "surprise"),
        recognition={model: SMALL.get(model, {})},
    )
    folder = tmp_path / "run"
    result = run(made, tmp_path, model, folder=folder, cache=cache, keep_weights=True)
    other = {"motion": {"crop": 96}} if model == "svm-cells" else {}
    for fold in result.folds[1:]:
        weights = folder / "seed-0" / f"{fold.subject}.safetensors"
        card = interface.load(weights).card
        assert card["data"]["excluded_subjects"] == [fold.subject]
        assert card["data"]["protocol"] == "ours" and card["data"]["subjects"] == 2
        for name, shares in zip(fold.clips, fold.probabilities, strict=True):
            frames = {"onset": 2, "apex": 6, "offset": 10}
            said = aumer.classify(tmp_path / name, model=weights, settings=other, **frames)
            assert list(said.probs.values()) == pytest.approx(shares, abs=2e-6)
    before = [path.read_bytes() for path in sorted(folder.glob("seed-0/*"))]
    run(made, tmp_path, model, folder=folder, cache=cache, keep_weights=True)
    assert [path.read_bytes() for path in sorted(folder.glob("seed-0/*"))] == before
    (folder / "seed-0" / "1.safetensors").unlink()
    run(made, tmp_path, model, folder=folder, cache=cache)  # which needs none
    assert not (folder / "seed-0" / "1.safetensors").exists()
    run(made, tmp_path, model, folder=folder, cache=cache, keep_weights=True)
    assert (folder / "seed-0" / "1.safetensors").exists()


def test_weights_that_cannot_be_kept(
    casme2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._parts["recognizer"], "nearest-mean", NearestMean)
    with pytest.raises(UsageError, match="of 'nearest-mean' cannot be kept"):
        run("casme2-5class", casme2, "nearest-mean", folder=tmp_path, keep_weights=True)
    with pytest.raises(UsageError, match="trains nothing"):
        run("casme2-5class", None, folder=tmp_path, score_only=True, keep_weights=True)


def test_a_fold_that_is_killed_goes_on_from_its_last_epoch(
    casme2: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small("casme2-5class", "se-resnext50", split="k-fold", folds=2)
    whole = run(made, casme2, "se-resnext50", folder=tmp_path / "whole", cache=cache)
    epoch, begun = engine._Run._epoch, []

    def once(self: Any, number: int) -> None:
        begun.append(number)
        if begun == [0, 1]:
            raise KeyboardInterrupt
        epoch(self, number)

    monkeypatch.setattr(engine._Run, "_epoch", once)
    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run(made, casme2, "se-resnext50", folder=folder, cache=cache)
    (state,) = folder.glob("seed-0/*")
    assert re.fullmatch(r"1 of 2\.[0-9a-f]{12}\.checkpoint", state.name)
    resumed = run(made, casme2, "se-resnext50", folder=folder, cache=cache)
    assert begun == [0, 1, 1, 0, 1] and not list(folder.glob("**/*.checkpoint"))
    assert [f.probabilities for f in resumed.folds] == [f.probabilities for f in whole.folds]
    assert "2 groups of subjects over 3 subjects" in whole.to_markdown()


@pytest.mark.slow
def test_processes_change_nothing(casme2: Path, cache: Path, tmp_path: Path) -> None:
    """Clips are made and folds run in two processes; one fold again, in this one."""
    made, model = small("casme2-5class", "svm-cells"), "svm-cells"
    two = run(made, casme2, model, folder=tmp_path, cache=cache / "new", workers=Workers(2))
    check_whole(two, 15)
    (tmp_path / "seed-0" / "sub01.json").unlink()
    one = run(made, casme2, model, folder=tmp_path, cache=cache)
    assert [f.probabilities for f in one.folds] == [f.probabilities for f in two.folds]


def sequences(root: Path, cache: Path, changes: Mapping[str, Any]) -> ClipSet:
    settings = load_settings()
    made = sequence_settings(MfemMffmRecognizer.default_inputs, changes, settings)
    listing = listed({"casme2": root}, protocols.load("casme2-5class").classes)
    few = replace(listing, examples=listing.examples[1:3])
    return clip_set(few, ClipReading(settings, made, "apex"), cache=cache, workers=Workers())


def load(found: ClipSet) -> Clips | SequenceClips:
    assert isinstance(found.clips, StoredClips)
    return found.clips.load()


def test_magnification_is_of_the_gray_frames_and_tvl1_of_the_frames_as_filmed(
    casme2: Path, cache: Path
) -> None:
    found = [
        load(sequences(casme2, cache, {"size": 48, **changes}))
        for changes in ({}, {"magnification": False}, {"flow": "farneback"})
    ]
    published, plain, other = (one.inputs[0] for one in found)
    assert len(published) == 5 and published.apex == published.offset == 4  # as far as is read
    np.testing.assert_array_equal(published.gray[0], plain.gray[0])
    moved = [np.abs(c.gray[4].astype(int) - c.gray[0]).mean() for c in (published, plain)]
    assert moved[0] > 1.3 * moved[1]
    np.testing.assert_array_equal(published.flow, plain.flow)
    assert published.flow.any() and not np.allclose(published.flow, other.flow, atol=1e-3)
    for wrong, said in (
        ({"sizes": 48}, "unknown key sizes"),
        ({"magnification": {"alfa": 3.0}}, "unknown key alfa"),
        ({"magnification": True}, "a table or false"),
        ({"detector": "retinaface"}, "inputs.detector cannot be set here; set face.detector"),
    ):
        with pytest.raises(ConfigError, match=said):
            sequences(casme2, cache, wrong)
    with pytest.raises(UsageError, match="no flow is called 'tvl2'"):
        sequences(casme2, cache, {"flow": "tvl2"})


def test_smic_has_no_apex_and_samm_counts_from_the_recording(
    acts: list[trees.Act], cache: Path, tmp_path: Path
) -> None:
    shown = ("happiness", "surprise", "disgust")
    few = [a for a in acts if a.subject != 2 and a.emotion in shown]
    smic = trees.smic_acted(tmp_path, few)
    for apex in ("rise-and-fall", "roi-difference:3", "midpoint"):
        made = small("smic-3class", "svm-cells")
        made = made.changed({"recognition.svm-cells.apex": apex})
        result = run(made, smic, "svm-cells", folder=tmp_path / apex, cache=cache)
        assert (
            f"the apex of 6 clips, which the table does not give within the expression, was "
            f"found by {apex}" in result.to_markdown()
        )
        assert result.mean("accuracy") >= 0.8, apex
    with pytest.raises(ConfigError, match="apex must be one of"):
        run(
            made.changed({"recognition.svm-cells.apex": "peak"}),
            smic,
            "svm-cells",
            folder=tmp_path / "x",
        )
    (tmp_path / "SAMM").mkdir()
    samm = trees.samm_acted(tmp_path / "SAMM", [a for a in acts if a.subject != 2])
    result = run(
        small("samm-5class", "svm-cells"), samm, "svm-cells", folder=tmp_path / "s", cache=cache
    )
    assert result.mean("accuracy") >= 0.8 and not result.unseen
    assert "anger 2, happiness 2, contempt 2, surprise 2, other 2" in result.to_markdown()
    assert "the apex of" not in result.to_markdown()
    found = small("samm-5class", "svm-cells").changed({"recognition.svm-cells.apexes": "found"})
    result = run(found, samm, "svm-cells", folder=tmp_path / "f", cache=cache)
    assert (
        "the apex of every clip was found by rise-and-fall, also where the table gives one"
        in result.to_markdown()
    )
    with pytest.raises(ConfigError, match="apexes must be one of coded, found"):
        run(
            small("samm-5class", "svm-cells").changed({"recognition.svm-cells.apexes": "guessed"}),
            samm,
            "svm-cells",
            folder=tmp_path / "g",
        )
    # The three of the composite together: subjects of all sets, and a line for each.
    both = small("megc2019-frames", "svm-cells", datasets=("smic-hs", "samm"))
    result = run(
        both,
        {"smic-hs": smic, "samm": samm},
        "svm-cells",
        folder=tmp_path / "both",
        cache=cache,
    )
    assert [f.subject for f in result.folds] == ["s01", "s03", "006", "008"]
    assert re.search(r"\| smic-hs \|", result.to_markdown())
    crossed = run(
        replace(both, split="cross-data-set"),
        {"smic-hs": smic, "samm": samm},
        "svm-cells",
        folder=tmp_path / "crossed",
        cache=cache,
    )
    assert [f.subject for f in crossed.folds] == ["smic-hs", "samm"]
    assert [set(f.clip_subjects) for f in crossed.folds] == [{"s01", "s03"}, {"006", "008"}]
    # "Other" is no class of MEGC 2019's.
    assert "left out, as of no class of the protocol: samm Other 2" in result.to_markdown()


def test_clips_without_frames_are_an_error(casme2: Path, tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(next(casme2.glob("*.xlsx")).read_bytes())
    with pytest.raises(UsageError, match="15 of 15 clips of casme2 have no frames below"):
        listed({"casme2": tmp_path}, ("others", "disgust"))
    with pytest.raises(UsageError, match="no clip is of the classes joy, grief"):
        listed({"casme2": casme2}, ("joy", "grief"))


@pytest.fixture
def shortened(acts: list[trees.Act], tmp_path: Path) -> Path:
    """One clip ends before its offset, one begins after its onset, one before its onset ends."""
    root = trees.casme2_acted(tmp_path / "short", acts)
    clips = root / "CASME2_RAW_selected"
    for number in (70, 71):
        (clips / "sub01" / "EP02_01" / f"img{number}.jpg").unlink()
    for number in range(50, 55):
        (clips / "sub02" / "EP01_01" / f"img{number}.jpg").unlink()
    for number in range(91, 102):
        (clips / "sub03" / "EP05_01" / f"img{number}.jpg").unlink()
    return root


def test_rows_whose_frames_are_not_in_their_clips_are_left_out(shortened: Path) -> None:
    roots = {"casme2": shortened}
    classes = protocols.load("casme2-5class").classes
    listing = listed(roots, classes)
    assert len(listing.examples) == 12
    assert [(m["subject"], m["video"], m["row"]) for m in listing.mismatched] == [
        ("sub01", "EP02_01", 3),
        ("sub02", "EP01_01", 7),
        ("sub03", "EP05_01", 16),
    ]
    (note,) = [n for n in listing.notes if "`mismatch`" in n]
    assert note.startswith("casme2: 3 rows left out, with frames that the video does not have")
    assert "sub01/EP02_01 (row 3): the offset is frame 10, and the last of 10 is 9" in note
    assert "sub02/EP01_01 (row 7): image 52 lies before the first, 55" in note
    # What of them is there; of the last nothing is.
    clamped = listed(roots, classes, mismatch="clamp")
    found = {(e.subject, e.name): (e.onset, e.apex, e.offset) for e in clamped.examples}
    assert len(found) == 14
    assert found["sub01", "EP02_01"] == (2, 6, 9)
    assert found["sub02", "EP01_01"][0] == 0
    assert "2 rows taken as far as the video has the frames" in str(clamped.notes)
    assert [m["video"] for m in clamped.mismatched] == ["EP05_01"]
    with pytest.raises(UsageError, match=r"3 rows with frames that the .*leave-out or clamp"):
        listed(roots, classes, mismatch="refuse")
    # Of other classes nothing need be said.
    assert listed(roots, ("disgust", "surprise")).mismatched[0]["video"] == "EP02_01"
    assert len(listed(roots, ("disgust", "repression")).mismatched) == 0


def test_a_run_says_what_it_left_out(
    shortened: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default a run goes on, and its output, its result and its data name the rows."""
    svm = small("casme2-5class", "svm-cells", classes=("happiness", "disgust", "surprise"))
    result = run(svm, shortened, "svm-cells", folder=tmp_path / "run", cache=cache)
    (report,) = result.reports.values()
    assert int(report.table.sum()) == 7
    said = "2 rows left out, with frames that the video does not have (`mismatch`): sub01/EP02_01"
    assert said in result.to_markdown()
    assert said in str(json.loads((tmp_path / "run" / "result.json").read_text())["notes"])
    rows = json.loads((tmp_path / "run" / "data.json").read_text())["left_out"]
    assert [(r["dataset"], r["subject"], r["video"]) for r in rows] == [
        ("casme2", "sub01", "EP02_01"),
        ("casme2", "sub02", "EP01_01"),
    ]
    assert said in aumer.bench.run.stored(tmp_path / "run").to_markdown()
    clamp = replace(svm, mismatch="clamp")
    again = run(clamp, shortened, "svm-cells", folder=tmp_path / "run", cache=cache)
    assert int(next(iter(again.reports.values())).table.sum()) == 9
    with pytest.raises(UsageError, match="3 rows with frames"):
        run(replace(svm, mismatch="refuse"), shortened, "svm-cells", folder=tmp_path / "x")
    base = ["bench", "casme2-5class", "--score-only", "--mismatch", "clamp"]
    assert main(base) == 2
    assert "--mismatch changes which rows are scored" in capsys.readouterr().err


def test_nothing_is_to_be_seen(tmp_path: Path, cache: Path) -> None:
    gray = [a for a in trees.acted(2, ["others"], hidden=(2, "others")) if a.subject == 2]
    with pytest.raises(UsageError, match=r"none of 1 clips can be used.*sub02/EP01_01: no face"):
        run(
            small("casme2-5class", "svm-cells"),
            trees.casme2_acted(tmp_path, gray),
            "svm-cells",
            folder=tmp_path / "run",
            cache=cache,
        )


def test_the_owners_tables_give_the_field_s_denominators(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    """246 and 136 clips of five classes, 164 of SMIC-HS, and the composite's 442 of 68 subjects."""
    roots = {name: tmp_path / name for name in ("smic-hs", "casme2", "samm")}
    for root in roots.values():
        root.mkdir()
    tables = {
        name: read_table_report(name, shared_data(f"annotations/{file}"))
        for name, file in (
            ("casme2", "casme2_coding.xlsx"),
            ("samm", "samm_micro_facs_codes.xlsx"),
            ("smic-hs", "smic_hs_e_annotation.xlsx"),
        )
    }
    firsts = {
        clip(row.text("Filename")): row.whole("FirstF")
        for row in read_cells(tables["smic-hs"].path, ("Filename", "FirstF"), sheet="HS")
    }
    trees.casme2(roots["casme2"], tables["casme2"])
    trees.samm(roots["samm"], tables["samm"])
    trees.smic_hs(roots["smic-hs"], tables["smic-hs"], firsts, extended=False)
    counts = {}
    for name in ("casme2-5class", "samm-5class", "smic-3class", "megc2019-frames"):
        found = protocols.load(name)
        listing = listed({d: roots[d] for d in found.datasets}, found.classes)
        labels = Counter(found.classes[e.label] for e in listing.examples)
        subjects = len({e.subject for e in listing.examples})
        counts[name] = (len(listing.examples), subjects, [labels[c] for c in found.classes])
    assert counts["casme2-5class"] == (246, 26, [32, 63, 25, 27, 99])
    assert counts["samm-5class"] == (136, 27, [57, 26, 12, 15, 26])
    assert counts["smic-3class"] == (164, 16, [70, 51, 43])
    assert counts["megc2019-frames"] == (442, 68, [250, 109, 83])


def test_held_out_frames_are_in_nothing_that_a_fold_learns() -> None:
    """Other pictures, flow and labels of the tested subject: the same training, to the last bit."""
    plan = Simulation(3, 1, size=32, fps=50.0, margin_s=0.0)
    clips = simulated_clips(plan)
    mask = clips.of_subject("s02")
    other = simulated_clips(plan, seed=7)
    mixed = tuple(b if m else a for a, b, m in zip(clips.inputs, other.inputs, mask, strict=True))
    changed = replace(clips, inputs=mixed, labels=np.where(mask, 0, clips.labels))
    options = {k: v for k, v in SMALL["mobilevit-v3"].items() if k != "inputs"}
    ours, theirs = (
        loso(one, factory("mobilevit-v3", options), subjects=["s02"])[0] for one in (clips, changed)
    )
    assert ours.log[0]["loss"] == theirs.log[0]["loss"]
    assert ours.truths != theirs.truths and ours.probabilities != theirs.probabilities


@pytest.mark.parametrize("model", ["cnn-lstm", "svm-cells"])
def test_folds_of_too_few_subjects_to_choose_on_are_refused_before_a_frame_is_read(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of three subjects are tested together, so that one is left, whom `cnn-lstm` needs for
    its gradient and to stop by.
    """
    rows = [f"{s}{k}.avi,{s},2,6,10,{c}" for s in "abc" for k, c in enumerate("xy")]
    for row in rows:
        with VideoFile(tmp_path / row.partition(",")[0], fps=30, size=(32, 32)) as film:
            for _ in range(12):
                film.write(np.zeros((32, 32, 3), np.uint8))
    table = "\n".join(["file,subject,onset,apex,offset,label", *rows])
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    protocol = tmp_path / "two.toml"
    protocol.write_text(
        'title = "two"\nkind = "recognition"\ndatasets = ["own"]\nsplit = "k-fold"\nfolds = 2\n'
        'classes = ["x", "y"]\n',
        encoding="utf-8",
    )
    command = ["bench", str(protocol), "--data", str(tmp_path), "--model", model, "-o"]
    assert main([*command, str(tmp_path / "run")]) != 0
    said = capsys.readouterr().err
    refused = "and cnn-lstm needs those of 2 subjects or more, for it leaves some out" in said
    assert refused == (model == "cnn-lstm"), said
    assert ("--set learning.inner_share=0 --set learning.patience=0" in said) == refused
