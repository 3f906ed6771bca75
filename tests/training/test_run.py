"""`aumer train`: from a TOML file to weights that `aumer spot` uses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training.conftest import simulated

import aumer
from aumer import cli
from aumer.config import Settings, load_settings
from aumer.data.report import DataReport
from aumer.errors import ConfigError, UsageError
from aumer.simulate.features import IMITATED, simulate_features, write_features
from aumer.spotting.network import NetSpotter
from aumer.training.run import _extraction, read_config, read_videos, run
from aumer.training.videos import LabeledVideo, extract, read_folder
from aumer.types import VideoRecord

CONFIG = """
output = "out"
graph = "from-data"
[data]
source = "features"
root = "features"
exclude_subjects = ["s003"]
[train]
epochs = 2
window_s = 10.0
[train.net_overrides]
widths = [16, 16]
kernels = [1, 3]
dilations = [1, 2]
graph_width = 4
[card]
licence = "CC0-1.0"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = simulate_features(3, minutes=1.0, seed=5, level="easy")
    write_features(tmp_path / "features", made)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "config.toml"


def test_what_is_written_is_read_with_its_aus(project: Path) -> None:
    videos = read_folder(project.parent / "features")
    made = simulated(3)
    assert [(v.subject, v.name) for v in videos] == [(v.subject, v.name) for v in made]
    for ours, theirs in zip(videos, made, strict=True):
        assert [a.aus for a in ours.annotations] == [a.aus for a in theirs.annotations]
        assert [a.interval for a in ours.annotations] == [a.interval for a in theirs.annotations]
        np.testing.assert_array_equal(ours.features.values, theirs.features.values)


def test_a_run_leaves_weights_log_and_curve(project: Path) -> None:
    weights = run(read_config(project))
    folder = project.parent / "out"
    assert sorted(p.name for p in folder.glob("*.*")) == [
        "log.jsonl",
        "loss.png",
        "model.safetensors",
    ]
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    spotter = NetSpotter.load(weights)
    card = spotter.net.card
    assert card["data"]["subjects"] == 2 and card["data"]["excluded_subjects"] == ["s003"]
    assert card["licence"] == "CC0-1.0" and card["training"]["epochs"] == 2
    assert spotter.motion == card["motion"] == IMITATED
    scores, _ = spotter(simulated(3)[0].features)
    assert scores.values.shape[1] == 10


def test_keys_with_dots_reach_into_tables_and_keep_their_paths(project: Path) -> None:
    config = read_config(project, {"train.epochs": 1, "data.root": "elsewhere", "seed": 3})
    assert config.train_settings().epochs == 1 and config.seed == 3
    assert config.train["window_s"] == 10.0  # the file's, as all that no key names
    assert config.data.root == "elsewhere"  # as it was typed, not beside the file
    assert Path(config.output) == project.parent / "out"
    assert config.data.exclude_subjects == read_config(project).data.exclude_subjects


def test_settings_of_features_are_changed_by_path(project: Path) -> None:
    """Those of the published network are published ones all the same."""
    for preset in ("aumer", "published"):
        keys = {"preset": preset, "train": {}, "overrides.motion.rate": 25}
        settings = _extraction(read_config(project, keys))
        usual = _extraction(read_config(project, {"preset": preset, "train": {}}))
        assert settings == replace(usual, motion=replace(usual.motion, rate=25.0))
    with pytest.raises(ConfigError, match=r"unknown key motion\.rte\. Did you mean 'rate'"):
        read_config(project, {"overrides.motion.rte": 25})


def test_weights_are_not_replaced_unasked(project: Path) -> None:
    config = read_config(project)
    weights = run(config)
    before = weights.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        run(config)
    assert weights.read_bytes() == before
    run(config, overwrite=True)


def test_an_excluded_subject_changes_nothing(project: Path) -> None:
    """Neither prior, statistics, threshold nor a single weight."""
    first = NetSpotter.load(run(read_config(project)))
    truth = project.parent / "features" / "truth.csv"
    rows = list(csv.reader(truth.open(newline="")))
    kept = [row for row in rows if row[0] != "s003"]
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    video = next((project.parent / "features" / "s003").glob("*.npz"))
    arrays = dict(np.load(video))
    arrays["values"] = arrays["values"] * 100
    np.savez(video, **arrays)
    second = NetSpotter.load(run(read_config(project, {"output": str(project.parent / "again")})))
    assert first.digests == second.digests
    assert first.decoder == second.decoder


def test_the_command_trains_and_spot_uses_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", str(project), "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    path = Path(out.strip())
    assert path == project.parent / "out" / "model.safetensors"
    assert "epoch 2/2: loss" in err
    spotter = aumer.Spotter(model=path, settings={"motion": IMITATED})
    assert spotter._model.name == "network model.safetensors"


def test_nothing_is_read_before_the_settings_are_right(project: Path) -> None:
    text = project.read_text()
    for bad, part in (
        ("epochs = 0\n", "epochs"),
        ("epoch = 3\n", "Did you mean 'epochs'"),
        ('schedule = "linear"\n', "exponential"),
    ):
        project.write_text(text.replace("epochs = 2\n", bad))
        with pytest.raises(ConfigError, match=part):
            read_config(project)
    project.write_text(text.replace("widths", "width"))
    with pytest.raises(ConfigError, match="widths"):
        read_config(project)
    project.write_text(text.replace("s003", "s9"))
    with pytest.raises(ConfigError, match=r"s9.*s001, s002, s003"):
        run(read_config(project))
    assert not (project.parent / "out" / "model.safetensors").exists()


def test_a_graph_for_rules_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rules.*no graph.*safetensors"):
        aumer.Spotter(model="rules", graph="casme-sq-published")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"motion": {"rate": 25.0}}, "motion.rate=30"), ({"motion": {"rois": "18 48"}}, "12 ROIs")],
)
def test_settings_that_the_network_cannot_read_are_refused_before_the_work(
    project: Path, settings: dict[str, Any], said: str
) -> None:
    weights = run(read_config(project))
    with pytest.raises(UsageError, match=said):
        aumer.Spotter(model=weights, settings=settings)


def say(project: Path, settings: str) -> None:
    """Have every file of features say what it was measured with."""
    for path in (project.parent / "features").glob("*/*.npz"):
        np.savez(path, **{**dict(np.load(path)), "settings": np.array(settings)})


def test_files_may_say_what_their_motion_was_measured_with(project: Path) -> None:
    say(project, json.dumps({"motion": {"flow": "dis", "crop": 96}}))
    weights = run(read_config(project))
    assert NetSpotter.load(weights).motion == {"preset": "flow", "flow": "dis"}
    aumer.Spotter(model=weights, settings={"motion": {"flow": "dis"}})
    with pytest.raises(
        UsageError, match=r'motion\.flow = "dis", and these settings measure it.*windows'
    ):
        aumer.Spotter(model=weights, settings={"motion": {"preset": "windows"}})


@pytest.mark.parametrize(
    "settings", ["{", "[]", "{}", '{"motion": []}', '{"motion": {"preset": "window"}}']
)
def test_files_that_say_it_wrongly_are_named(project: Path, settings: str) -> None:
    say(project, settings)
    with pytest.raises(UsageError, match=r"measured with from .*s001_1\.npz"):
        read_folder(project.parent / "features")


@pytest.mark.parametrize(
    ("lines", "preset", "flow"),
    [
        ("", load_settings().motion.preset, "tvl1"),
        ('preset = "published"\n', "published", "tvl1"),
        ('settings = "mine.toml"\n', "flow", "dis"),
        ('preset = "published"\nsettings = "mine.toml"\n', "flow", "dis"),
    ],
)
def test_a_published_network_is_one_on_published_motion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, preset: str, flow: str
) -> None:
    """Of videos, where no settings say otherwise."""
    asked: list[Settings] = []

    class Films:
        comes_as = "videos"
        report = DataReport()

        def records(self) -> tuple[VideoRecord, ...]:
            return (VideoRecord("own", "s1", "v1", 30.0),)

    def measure(records: Any, settings: Settings, **options: Any) -> tuple[LabeledVideo, ...]:
        asked.append(settings)
        return (LabeledVideo("s1", "v1", simulated(1)[0].features, (), settings.motion),)

    monkeypatch.setattr("aumer.training.run.load_data_set", lambda *a, **k: Films())
    monkeypatch.setattr("aumer.training.run.extract", measure)
    (tmp_path / "mine.toml").write_text('[motion]\nflow = "dis"\n')
    (tmp_path / "c.toml").write_text(
        f'output = "out"\n{lines}[data]\nsource = "own"\nroot = "films"\n'
    )
    read_videos(read_config(tmp_path / "c.toml"))
    assert [(s.motion.preset, s.motion.flow) for s in asked] == [(preset, flow)]


def test_features_that_come_without_films_are_what_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Features:
        comes_as = "features"
        report = DataReport()

        def records(self) -> tuple[VideoRecord, ...]:
            return (VideoRecord("theirs", "s1", "v1", 30.0),)

        def features(self, record: VideoRecord) -> Any:
            return simulated(1)[0].features

    monkeypatch.setattr("aumer.training.run.load_data_set", lambda *a, **k: Features())
    text = 'output = "out"\n{}[data]\nsource = "theirs"\nroot = "."\n'
    (tmp_path / "mine.toml").write_text("[motion]\npublished_8bit = true\n")
    (tmp_path / "c.toml").write_text(text.format('settings = "mine.toml"\n'))
    (video,) = read_videos(read_config(tmp_path / "c.toml"))
    assert video.motion is not None and video.motion.published_8bit
    (tmp_path / "c.toml").write_text(text.format(""))
    (video,) = read_videos(read_config(tmp_path / "c.toml"))
    assert video.motion is None


def test_extracted_features_say_what_they_were_measured_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = simulated(1)[0].features
    found = SimpleNamespace(features=features, track=SimpleNamespace(coverage=1.0))
    monkeypatch.setattr("aumer.training.videos.analyze", lambda *a, **k: found)
    settings = load_settings(overrides={"motion": {"preset": "windows"}})
    film = VideoRecord("own", "s1", "v1", 30.0, tmp_path / "film.mp4")
    (video,) = extract([film], settings)
    assert video.features is features and video.motion == settings.motion


def test_of_files_that_say_nothing_nobody_knows_the_motion(project: Path) -> None:
    for path in (project.parent / "features").glob("*/*.npz"):
        np.savez(path, **{k: v for k, v in np.load(path).items() if k != "settings"})
    assert {video.motion for video in read_folder(project.parent / "features")} == {None}
    assert NetSpotter.load(run(read_config(project))).motion is None
