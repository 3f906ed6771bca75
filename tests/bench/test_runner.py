"""The runner: from tables to a score, killed and resumed, and what a fold may know."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.conftest import SUBJECTS, TINY, small, write_tables

from aumer import registry
from aumer.bench import folds as folds_module
from aumer.bench.folds import job, run_fold
from aumer.bench.protocol import Protocol, load
from aumer.bench.result import comparison_notes
from aumer.bench.run import run, stored
from aumer.bench.sources import open_source
from aumer.bench.split import plan
from aumer.bench.store import read_fold
from aumer.bench.task import Options
from aumer.bench.tasks import spotting
from aumer.bench.tasks.spot_then_recognize import DisplacementSvm, displacement
from aumer.bench.tasks.spotting import Entries, Entry, Spotting, predictions_of
from aumer.bench.tasks.spotting_result import SpottingResult
from aumer.config import load_settings
from aumer.errors import ConfigError, UsageError
from aumer.evaluation.rows import PredictedInterval, rows_of
from aumer.evaluation.spotting import evaluate
from aumer.evaluation.tables import as_dicts, read_predictions
from aumer.spotting.network import NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.spotting.spotnet import SpotNet
from aumer.training.videos import LabeledVideo
from aumer.types import Counts, Expression, Scores, VideoRecord
from aumer.workers import Workers


def bench(
    folder: Path,
    tables: Path,
    model: str = "aumer",
    protocol: Protocol | None = None,
    *,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> SpottingResult:
    overrides = TINY if model == "aumer" else None
    made = {"folder": folder, "overrides": overrides, **(options or {})}
    roots = {} if more.get("score_only") else {"sim-casme-sq": tables}
    found = run(protocol or small(), roots, model, **made, **more)
    assert isinstance(found, SpottingResult)
    return found


def folds_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Every fold's result by file, without the times that it took."""
    found = {}
    for path in sorted(folder.glob("seed-*/*.json")):
        fold = read_fold(path, dict)
        del fold["seconds"], fold["sha256"]
        fold["model"].pop("training_seconds", None)
        found[f"{path.parent.name}/{path.name}"] = fold
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    bench(folder, tables).save()
    return folder


def test_the_score_is_that_of_the_spotter_on_every_video(tmp_path: Path, tables: Path) -> None:
    result = bench(tmp_path / "run", tables, "rules")
    source = open_source("sim-casme-sq", tables, level="easy", seed=0)
    videos, truths = rows_of(source.records())
    rules = RuleSpotter(load_settings().rules)
    found = [
        PredictedInterval.of(v.subject, v.name, e)
        for v in source.videos(load_settings(), Workers(), None, None)
        for e in rules(v.features)[1]
    ]
    (report,) = result.reports()
    assert report.counts() == evaluate(found, truths, videos, small().scoring).counts()
    assert report.truths == {"macro": 8, "micro": 4, "overall": 12}
    # Easy faces: the rules find most of it, so that the frames of both sides are the same ones.
    assert result.f1() > 0.6


def test_a_run_that_was_killed_goes_on_to_the_same_predictions(
    tmp_path: Path, tables: Path, unbroken: Path
) -> None:
    """Killed for good, by SIGKILL, once two of the four folds are there."""
    folder = tmp_path / "run"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom bench.test_runner import bench\n"
        "bench(Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    here = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", code, here, str(folder), str(tables)])
    deadline = time.monotonic() + 120
    while len(list(folder.glob("seed-0/*.json"))) < 2 and time.monotonic() < deadline:
        assert process.poll() in (None, 0)
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {p: p.stat().st_mtime_ns for p in folder.glob("seed-0/*.json")}
    assert len(before) >= 2

    seen: list[tuple[str, int, int]] = []
    bench(folder, tables, progress=lambda *step: seen.append(step))
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())
    if len(before) < 4:
        assert next(s for s in seen if s[0] == "folds") == ("folds", len(before), 4)
    assert folds_of(folder) == folds_of(unbroken)
    assert not list(folder.glob("**/*.checkpoint"))


def test_the_state_of_a_fold_that_was_written_is_not_left(
    tmp_path: Path, tables: Path, unbroken: Path
) -> None:
    """Killed after the result was written, before its training state was deleted."""
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    done = min(folder.glob("seed-0/*.json"))
    state = done.with_name(f"{done.stem}.0123456789ab.checkpoint")
    state.write_bytes(b"left")
    bench(folder, tables)
    assert not state.exists()


def test_workers_change_no_number(tmp_path: Path, tables: Path, unbroken: Path) -> None:
    bench(tmp_path / "run", tables, workers=Workers(2))
    assert folds_of(tmp_path / "run") == folds_of(unbroken)


def entries(tables: Path) -> list[Entry]:
    source = open_source("sim-casme-sq", tables, level="easy", seed=0)
    videos = source.videos(load_settings(), Workers(), None, None)
    return [Entry.of("sim-casme-sq", v) for v in videos]


def changed(entry: Entry, how: str) -> Entry:
    video = entry.video
    if how == "labels":
        first, *others = video.annotations
        new = replace(first, onset=first.onset + 5, aus="26")
        return Entry.of(entry.dataset, replace(video, annotations=(new, *others[:1])))
    features = replace(video.features, values=video.features.values * 3)
    return Entry.of(entry.dataset, replace(video, features=features))


@pytest.mark.parametrize("preset", ["aumer", "published"])
def test_a_held_out_subject_changes_nothing_in_the_model_of_its_fold(
    preset: str, tables: Path
) -> None:
    """Its labels and its features perturbed: weights, prior and threshold stay, bit for bit."""
    protocol = small()
    inner = {**TINY, "inner_share": 0.3}
    options = Options(overrides=inner if preset == "aumer" else {"epochs": 2})
    task = Spotting(protocol, preset, options)
    made = entries(tables)
    folds = plan(protocol, Entries(made).subject_keys)

    def result(which: int, data: Sequence[Entry]) -> dict[str, Any]:
        found = run_fold(job(task, folds[which], Entries(data), 0))
        del found["seconds"], found["model"]["training_seconds"]
        return found

    own, other = result(0, made), result(1, made)
    for how in ("labels", "features"):
        perturbed = [changed(made[0], how), *made[1:]]
        mine, others = result(0, perturbed), result(1, perturbed)
        assert mine["model"] == own["model"]
        assert others["model"]["weights"] != other["model"]["weights"]
        if how == "labels":
            assert mine == own  # nor was it kept from being seen by luck
            assert others["model"]["graph"] != other["model"]["graph"]


def test_a_missing_fold_is_an_error_that_names_it(
    tmp_path: Path, tables: Path, unbroken: Path
) -> None:
    folder = tmp_path / "run"
    bench(folder, tables, "rules")
    (folder / "seed-0" / f"{SUBJECTS[2]}.json").unlink()
    with pytest.raises(UsageError, match=rf"no fold.*{SUBJECTS[2]}"):
        bench(folder, tables, "rules", score_only=True)
    (folder / "seed-0" / f"{SUBJECTS[1]}.json").write_text("{")
    with pytest.raises(UsageError, match=rf"fold of aumer.s from .*{SUBJECTS[1]}.json"):
        bench(folder, tables, "rules", score_only=True)
    text = (folder / "seed-0" / f"{SUBJECTS[0]}.json").read_text()
    (folder / "seed-0" / f"{SUBJECTS[1]}.json").write_text(text)
    with pytest.raises(UsageError, match=rf"{SUBJECTS[1]}.json belongs to another run or fold"):
        bench(folder, tables, "rules", score_only=True)


def test_a_training_that_was_killed_goes_on_within_its_fold(
    tmp_path: Path, tables: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aumer.learning import engine

    saved: list[int] = []

    def save(path: Any, state: Any, *, upto: int) -> None:
        kept(path, state)
        saved.append(state.epoch)
        if len(saved) == upto:
            raise KeyboardInterrupt

    kept = engine.save_state
    # Two epochs of the first fold and one of the second.
    monkeypatch.setattr(engine, "save_state", partial(save, upto=3))
    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "run", tables)
    assert saved == [1, 2, 1]
    assert len(list(tmp_path.glob("run/**/*.checkpoint"))) == 1
    monkeypatch.setattr(engine, "save_state", partial(save, upto=-1))
    bench(tmp_path / "run", tables)
    assert saved == [1, 2, 1, 2, 1, 2, 1, 2]
    assert folds_of(tmp_path / "run") == folds_of(unbroken)
    assert not list(tmp_path.glob("run/**/*.checkpoint"))


def test_scoring_again_needs_no_data_and_runs_nothing(
    tables: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("a fold was run")

    monkeypatch.setattr(folds_module, "run_fold", never)
    before = json.loads((unbroken / "result.json").read_text())
    again = bench(unbroken, tables, score_only=True).to_dict()
    assert again["scores"] == before["scores"]
    assert again["summary"] == before["summary"]
    assert stored(unbroken).to_dict()["scores"] == before["scores"]
    lower = bench(unbroken, tables, protocol=small(**{"scoring.iou": 0.1}), score_only=True)
    assert lower.f1() >= again["summary"][0]["overall"]["f1_mean"]
    assert "IoU >= 0.1" in lower.to_markdown()


def test_a_folder_holds_one_run(tmp_path: Path, tables: Path, unbroken: Path) -> None:
    with pytest.raises(UsageError, match=r"differs in model\.training\.epochs"):
        bench(unbroken, tables, options={"overrides": {**TINY, "epochs": 3}})
    with pytest.raises(UsageError, match=r"differs in protocol\.level"):
        bench(unbroken, tables, protocol=small(level="hard"))
    with pytest.raises(UsageError, match="another run"):
        bench(unbroken, tables, score_only=True, options={"overrides": {**TINY, "lr": 0.1}})
    with pytest.raises(UsageError, match="nothing to score"):
        bench(tmp_path / "none", tables, score_only=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="other files"):
        bench(tmp_path / "full", tables)


def test_folds_of_changed_data_are_made_again_with_a_word(
    tmp_path: Path, tables: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    bench(folder, tables, "rules")
    kept = (folder / "seed-0" / f"{SUBJECTS[0]}.json").stat().st_mtime_ns
    moved = write_tables(tmp_path / "moved", {SUBJECTS[1]: 20})
    assert not caplog.text
    bench(folder, moved, "rules")
    assert (
        f"1 of 4 folds in {folder} do not fit and are computed again: 1 made of other tested data"
        in caplog.text
    )
    assert (folder / "seed-0" / f"{SUBJECTS[0]}.json").stat().st_mtime_ns == kept
    fresh = tmp_path / "fresh"
    bench(fresh, moved, "rules")
    assert folds_of(folder) == folds_of(fresh)


def test_more_seeds_may_be_asked_for_later(tmp_path: Path, tables: Path, unbroken: Path) -> None:
    two = bench(unbroken, tables, protocol=small(seeds=[0, 1]))
    assert [s.seed for s in two.scored] == [0, 1]
    one, other = (r.f1() for r in two.reports())
    (summary,) = two.to_dict()["summary"]
    assert summary["overall"]["f1_mean"] == pytest.approx((one + other) / 2)
    assert summary["overall"]["f1_sd"] == pytest.approx(abs(one - other) / 2**0.5)
    assert "±" in two.to_markdown() or one == other
    weights = {f["model"]["weights"] for f in two.folds}
    assert len(weights) == 8  # four subjects, two seeds
    assert len(bench(tmp_path / "r", tables, "rules", small(seeds=[0, 1])).scored) == 1


def test_the_oracle_is_printed_beside_the_honest_figure(tmp_path: Path, tables: Path) -> None:
    settings = {**TINY, "epochs": 6, "lr": 0.02}
    run = small(selection="oracle", split="k-fold", folds=2)
    result = bench(tmp_path / "run", tables, protocol=run, options={"overrides": settings})
    assert [s.selection for s in result.scored] == ["fixed", "oracle"]
    for fold in result.folds:
        f1 = fold["oracle"]["f1"]
        assert list(f1) == [str(k) for k in range(1, 7)]
        best = max(f1.values())
        assert f1[str(fold["oracle"]["epoch"])] == best
        assert all(v < best for k, v in f1.items() if int(k) < fold["oracle"]["epoch"])
    text = result.to_markdown()
    assert "| sim-casme-sq | 0 | fixed |" in text and "| sim-casme-sq | 0 | oracle |" in text
    assert "ORACLE: best epoch on the test subject" in text
    # What the choice adds is a difference over the same resamples, and stands under the table.
    gain = result.selection_gain()
    fixed, oracle = result.reports(selection="fixed")[0], result.reports(selection="oracle")[0]
    assert gain.value == pytest.approx(oracle.f1() - fixed.f1())
    assert "adds to F1: " in text and f"overall {gain.value:+.4f} [{gain.low:+.4f}" in text
    (told,) = result.figures()["selection_gain"]
    assert told["overall"]["value"] == gain.value
    # Wherever a figure that saw the test subject stands, it is said.
    assert told["selection_means"].startswith("ORACLE")
    honest, best = result.to_dict()["summary"]
    assert best["selection"] == "oracle" and best["selection_means"].startswith("ORACLE")
    assert "selection_means" not in honest
    for fold in result.to_dict()["folds"]:
        assert fold["oracle"]["selection_means"].startswith("ORACLE")
    assert any("ORACLE" in remark for remark in result.remarks())
    # What is compared is the honest figure, and that there is another is said.
    assert result.compared_figures()["sim-casme-sq", "overall"].value == fixed.f1()
    notes = comparison_notes(result, result)
    assert "saw the test subject, are not among these" in notes[0]
    # The honest half is what a run without the oracle gives.
    plain = small(split="k-fold", folds=2)
    other = bench(tmp_path / "p", tables, protocol=plain, options={"overrides": settings})
    assert other.scored[0].predictions == result.scored[0].predictions
    assert not other.remarks() and "ORACLE" not in json.dumps(other.to_dict())
    # The last of the candidates is the network that is used.
    _, truths = rows_of(open_source("sim-casme-sq", tables, level="easy", seed=0).records())
    for fold in result.folds:
        own = [t for t in truths if t.subject in fold["tested"]]
        assert evaluate(predictions_of(fold), own).f1() == fold["oracle"]["f1"]["6"]


def test_the_inner_epoch_is_chosen_on_other_subjects(tmp_path: Path, tables: Path) -> None:
    """And the network of each fold is kept, if it is asked for."""
    with pytest.raises(UsageError, match="of 'rules' cannot be kept"):
        bench(tmp_path / "rules", tables, "rules", keep_weights=True)
    result = bench(tmp_path / "run", tables, protocol=small(selection="inner"), keep_weights=True)
    for fold in result.folds:
        (who,) = fold["tested"]
        spotter = NetSpotter.load(tmp_path / "run" / "seed-0" / fold["weights"]["file"])
        assert spotter.digests["weights"] == fold["model"]["weights"]
        assert spotter.threshold == fold["model"]["threshold"]
        assert spotter.card["data"]["excluded_subjects"] == [who]
    assert [s.selection for s in result.scored] == ["inner"]
    for fold in result.folds:
        inner = fold["model"]["inner_subjects"]
        assert inner and set(inner) < set(fold["trained"])
    assert "ORACLE" not in result.to_markdown()


def test_a_file_of_weights_is_tested_as_it_is(tmp_path: Path, tables: Path) -> None:
    """Known by its content: elsewhere it is the same model, and other weights are another."""
    for seed, name in ((0, "one"), (1, "two")):
        torch.manual_seed(seed)
        net = SpotNet.from_preset("published")
        NetSpotter(net).save(tmp_path / f"{name}.safetensors", {"made": "here"})
    result = bench(tmp_path / "run", tables, str(tmp_path / "one.safetensors"))
    assert {f["model"]["graph"] for f in result.folds} == {net.graph.digest}
    assert result.about["model"]["card"]["made"] == "here"
    (tmp_path / "moved").mkdir()
    (tmp_path / "one.safetensors").rename(tmp_path / "moved" / "one.safetensors")
    bench(tmp_path / "run", tables, str(tmp_path / "moved" / "one.safetensors"))
    (tmp_path / "two.safetensors").rename(tmp_path / "one.safetensors")
    with pytest.raises(UsageError, match=r"digests\.weights"):
        bench(tmp_path / "run", tables, str(tmp_path / "one.safetensors"))


def test_a_spotter_of_ones_own(
    tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine:
        """Finds one macro-expression in every video, at the first annotated one of casme_015."""

        name = "mine"

        def __call__(self, features: Any) -> Any:
            t = (2.0, 2.5, 100 / 30)
            f, none = features, np.zeros((len(features), 1), np.float32)
            scores = Scores(none, f.times, f.frames, f.valid, ("mine",))
            return scores, (Expression("macro", 60, 75, 100, *t, score=1.0),)

    monkeypatch.setitem(registry._parts["spotter"], "mine", Mine())
    result = bench(tmp_path / "run", tables, "mine")
    # Others' expressions lie 7, 14 and 21 frames later: IoU 34/48, 27/55, 20/62 of 41 frames.
    assert result.reports()[0].counts("macro") == Counts(tp=2, fp=2, fn=6)
    assert result.reports()[0].counts("micro") == Counts(tp=0, fp=0, fn=4)


def test_a_title_says_the_split_in_force(tmp_path: Path, tables: Path) -> None:
    """Not the protocol's own, where it was changed."""
    groups = bench(tmp_path / "a", tables, "rules", small(split="k-fold", folds=2)).to_markdown()
    assert groups.startswith(
        "## Simulated: the timelines of CAS(ME)^2, 2 groups of subjects left out in turn\n"
    )
    assert "leave one subject out" not in groups
    text = bench(tmp_path / "b", tables, "rules").to_markdown()
    assert text.startswith("## Simulated: the timelines of CAS(ME)^2, leave one subject out\n")


def test_a_difference_is_between_the_same_subjects(tmp_path: Path, tables: Path) -> None:
    rules = bench(tmp_path / "a", tables, "rules")
    tiny = bench(tmp_path / "b", tables)
    d = rules.compare(tiny)
    assert d.value == pytest.approx(rules.f1() - tiny.f1())
    assert d.low <= d.value <= d.high
    assert rules.compare(rules).value == 0


def test_the_result_says_how_it_was_made(unbroken: Path) -> None:
    result = json.loads((unbroken / "result.json").read_text())
    assert {"aumer", "torch", "numpy"} <= set(result["versions"])
    assert result["run"]["model"]["prior"] == "train"
    digests = {f["model"]["graph"] for f in result["folds"]}
    assert len(digests) >= 1 and all(len(d) == 64 for d in digests)
    text = (unbroken / "result.md").read_text()
    assert all(d[:12] in text for d in digests)
    assert "maximum one-to-one" in text and "command:" in text
    assert "no figure here is one of real faces" in text


def test_published_rows_stand_beside_ours_of_the_same_benchmark(
    tmp_path: Path, tables: Path
) -> None:
    text = bench(tmp_path / "a", tables, "rules", small(published="casme-sq")).to_markdown()
    assert "| AUW-GCN 2023 | 0.4235 | 0.1538 | 0.3834 | test subject |" in text
    assert "AUW-GCN" not in bench(tmp_path / "b", tables, "rules").to_markdown()


def test_a_prior_by_name_and_the_training_one_differ(tmp_path: Path, tables: Path) -> None:
    named = small(prior="casme-sq-facs", split="k-fold", folds=2)
    result = bench(tmp_path / "a", tables, protocol=named)
    from aumer.graph import AUGraph

    assert {f["model"]["graph"] for f in result.folds} == {AUGraph.load("casme-sq-facs").digest}
    identity = bench(tmp_path / "b", tables, protocol=named.changed({"prior": "identity"}))
    assert {f["model"]["graph"] for f in identity.folds} == {AUGraph.identity().digest}


class Fixed:
    """A data set that is at hand."""

    def __init__(self, videos: Sequence[LabeledVideo], fps: float = 30.0) -> None:
        self._videos, self._fps = tuple(videos), fps

    def records(self) -> tuple[VideoRecord, ...]:
        return tuple(
            VideoRecord("x", v.subject, v.name, self._fps, annotations=v.annotations)
            for v in self._videos
        )

    def videos(self, *_: Any) -> tuple[LabeledVideo, ...]:
        return self._videos

    def notes(self) -> tuple[str, ...]:
        return ()

    def left_out(self) -> tuple[dict[str, Any], ...]:
        return ()


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch, tables: Path) -> dict[str, Fixed]:
    """Data sets by name, instead of those that are opened."""
    held: dict[str, Fixed] = {}
    monkeypatch.setattr(spotting, "open_source", lambda name, *_, **__: held[name])
    return held


def test_unseen_videos_give_a_submission_and_no_score(
    tmp_path: Path, tables: Path, at_hand: dict[str, Fixed]
) -> None:
    videos = [e.video for e in entries(tables)]
    unseen = [replace(v, subject="SAMM", annotations=()) for v in videos[:2]]
    at_hand |= {"megc-unseen": Fixed(unseen), "casme-sq": Fixed(videos[2:]), "samm-lv": Fixed([])}
    protocol = load("megc-unseen")
    roots = dict.fromkeys(at_hand, tables)
    result = run(protocol, {"megc-unseen": tables}, "rules", folder=tmp_path / "run")
    result.save()
    with pytest.raises(UsageError, match="truth"):
        result.bootstrap()
    assert "no truth" in result.to_markdown()
    path = tmp_path / "run" / "submission-SAMM-seed-0.csv"
    assert path.read_text().startswith("vid,pred_onset,pred_offset,type\n")
    ours = {(p.video, p.kind, p.onset, p.offset) for p in result.scored[0].predictions}
    read = {(p.video, p.kind, p.onset, p.offset) for p in read_predictions(path, first_frame=1)}
    assert read == ours and ours
    trained = run(protocol, roots, "aumer", folder=tmp_path / "net", overrides=TINY)
    assert trained.folds[0]["trained"] == sorted(SUBJECTS[2:])


def test_spot_then_recognize(tmp_path: Path, tables: Path, at_hand: dict[str, Fixed]) -> None:
    words = {"12": "positive", "1+2": "surprise", "25+4": "negative", "4+25": "negative"}
    videos = [e.video for e in entries(tables)]
    named = [
        replace(
            v,
            annotations=tuple(replace(a, emotion=words[a.aus]) for a in v.annotations),
        )
        for v in videos
    ]
    at_hand["casme-sq"] = Fixed(named)
    protocol = load("strs-casme-sq").changed({"scoring.expect_macro": 8, "scoring.expect_micro": 4})
    result = run(protocol, {"casme-sq": tables}, "rules", folder=tmp_path / "run")
    (scored,) = result.scored
    assert {p.label for p in scored.predictions} <= set(protocol.classes)
    assert scored.strs is not None and scored.strs.strs <= scored.strs.spotting_f1
    assert f"{scored.strs.strs:.4f}" in result.to_markdown()
    # Two movements as large and as different as the macros' are told apart.
    recognizer = DisplacementSvm.fit(named[1:], protocol.classes)
    for a in named[0].annotations:
        if a.kind == "macro":
            p = PredictedInterval(a.subject, a.video, a.kind, a.onset, a.offset or 0, a.apex)
            assert recognizer(named[0].features, p) == a.emotion
    with pytest.raises(UsageError, match="two classes"):
        DisplacementSvm.fit(videos, protocol.classes)


def test_displacement_is_the_sum_of_motion_in_eye_distances(tables: Path) -> None:
    features = entries(tables)[0].video.features
    values = np.zeros_like(features.values)
    values[10:20, 3] = (2.0, -1.0)
    valid = features.valid.copy()
    valid[12] = False
    values[12] = np.nan
    # Frames at 60 a second: row k begins at frame 2 k.
    made = replace(features, values=values, valid=valid, frames=2 * features.frames)
    found = displacement(made, 2 * 11, 2 * 15).reshape(-1, 2)
    assert found[3] * made.eye_distance == pytest.approx([6.0, -3.0])  # rows 11, 13, 14
    assert not np.delete(found, 3, axis=0).any()


def test_what_cannot_be_run_is_said(tmp_path: Path, tables: Path) -> None:
    with pytest.raises(UsageError, match="needs the data set sim-casme-sq"):
        run(small(), {"samm-lv": tables}, "rules", folder=tmp_path / "a")
    with pytest.raises(UsageError, match="8 macro truths where 9"):
        bench(tmp_path / "b", tables, "rules", small(**{"scoring.expect_macro": 9}))
    with pytest.raises(UsageError, match="no data set is called"):
        open_source("casme-sqq", tables, level="easy", seed=0)
    for wrong in ({"number": 0}, {"backend": "dask"}, {"scheduler": "tcp://a:1"}):
        with pytest.raises(ConfigError):
            Workers(**wrong)  # type: ignore[arg-type]


def test_rows_come_back_from_a_folds_file(unbroken: Path) -> None:
    for fold in folds_of(unbroken).values():
        assert as_dicts(predictions_of(fold)) == fold["predictions"]
