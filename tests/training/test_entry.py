"""`aumer.train`: what is asked for, from a folder, a file or a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import aumer
from aumer.errors import ConfigError, UsageError, VideoError
from aumer.recognition import interface
from aumer.recognition.svm_cells import SvmCells
from aumer.spotting.network import NetSpotter
from aumer.testing.clips import clips
from aumer.training.entry import configured, epochs
from aumer.training.recognizers import RecognizerConfig
from aumer.training.run import RunConfig, read_videos
from aumer.training.videos import read_folder
from aumer.types import VideoRecord

SMALL = {
    "train.epochs": 1,
    "train.window_s": 10.0,
    "train.net_overrides": {
        "widths": [8, 8],
        "kernels": [1, 3],
        "dilations": [1, 2],
        "graph_width": 4,
    },
}


@pytest.fixture
def features(tmp_path: Path) -> Path:
    from aumer.simulate.features import write_features

    write_features(tmp_path / "features", aumer.simulate_features(2, minutes=0.5, level="easy"))
    return tmp_path / "features"


def test_a_folder_becomes_weights_with_a_graph_of_one_s_own(features: Path, tmp_path: Path) -> None:
    rois = aumer.AUGraph.load("casme-sq-facs").rois
    graph = aumer.AUGraph.from_edges({(rois[0], rois[1]): 1.0}, rois=rois, name="mine")
    records: list[dict[str, Any]] = []
    path = aumer.train(
        features,
        out=tmp_path / "out",
        source="features",
        graph=graph,
        seed=3,
        changes=SMALL,
        callbacks=[records.append],
    )
    assert path == tmp_path / "out" / "model.safetensors"
    made = NetSpotter.load(path)
    assert made.net.graph.digest == graph.digest
    assert made.net.card["seed"] == 3 and len(records) == 1
    with pytest.raises(UsageError, match="exists already"):
        aumer.train(features, out=tmp_path / "out", source="features", changes=SMALL)


def test_what_is_given_beside_a_file_replaces_what_it_says(features: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'output = "out"\nseed = 1\n[data]\nsource = "features"\nroot = "features"\n'
        "[train]\nepochs = 7\n"
    )
    config = configured(file, {"seed": 4, "train.epochs": 2})
    assert isinstance(config, RunConfig)
    assert (config.seed, epochs(config), config.data.root) == (4, 2, str(features))
    again = configured(config, {"output": "there", "train.epochs": 3})
    assert isinstance(again, RunConfig)
    assert (again.output, again.seed, epochs(again)) == ("there", 4, 3)
    assert configured(config) is config


def test_a_recognizer_is_asked_for_by_name(tmp_path: Path) -> None:
    changes = {"output": "out", "recognizer": "cnn-lstm", "options.learning.epochs": 5}
    config = configured(tmp_path, {**changes, "classes": ["a", "b"]})
    assert isinstance(config, RecognizerConfig)
    assert (config.data.source, config.classes, epochs(config)) == ("own", ("a", "b"), 5)
    with pytest.raises(UsageError, match="`graph` applies to spotting networks"):
        aumer.train(config, graph="casme-sq-facs")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, UsageError, "give out="),
        ({"out": "o", "source": "casme-sqq"}, UsageError, "Did you mean 'casme-sq'"),
        ({"out": "o", "recognizer": "cnn-lst"}, UsageError, "Did you mean 'cnn-lstm'"),
        ({"out": "o", "exclude_subjects": "12"}, UsageError, r"give \['12'\]"),
        ({"out": "o", "recognizer": "graph", "classes": "sad"}, UsageError, r"`classes` is a seq"),
        ({"out": "o", "changes": {"train.epoch": 1}}, ConfigError, "epochs"),
        ({"out": "o", "changes": {"preset": "aumr"}}, ConfigError, "Did you mean 'aumer'"),
    ],
)
def test_what_cannot_be_trained_is_named(
    arguments: dict[str, Any], error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        aumer.train(tmp_path, **arguments)
    for nothing in (3, [], ["videos"], [tmp_path, 3]):
        with pytest.raises(UsageError, match=r"a folder of videos or a TOML file; .*found"):
            aumer.train(nothing, out="o")  # type: ignore[arg-type]


# In memory


def test_videos_in_memory_are_learnt_from_as_those_of_files(features: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"changes": SMALL, "seed": 3, "device": "cpu"}
    one = aumer.train(features, out=tmp_path / "files", source="features", **common)
    videos = read_folder(features)
    other = aumer.train(videos, out=tmp_path / "memory", **common)
    nets = [NetSpotter.load(path).net.state_dict() for path in (one, other)]
    assert nets[0].keys() == nets[1].keys()
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert NetSpotter.load(other).net.card["data"]["source"] == "memory"


def test_simulated_videos_are_learnt_from_as_they_come(tmp_path: Path) -> None:
    made = list(aumer.simulate_features(2, minutes=0.3, level="easy"))
    net = NetSpotter.load(aumer.train(made, out=tmp_path / "out", changes=SMALL, device="cpu"))
    assert net.net.card["data"]["source"] == "memory"


def test_excluded_subjects_are_left_out_in_memory_too(features: Path, tmp_path: Path) -> None:
    videos = read_folder(features)
    config = configured(videos, {"output": str(tmp_path)})
    assert isinstance(config, RunConfig) and config.data.source == "memory"
    first = videos[0].subject
    few = replace(config, data=replace(config.data, exclude_subjects=(first,)))
    assert {v.subject for v in read_videos(few, videos)} == {v.subject for v in videos} - {first}
    with pytest.raises(ConfigError, match="names nobody; the subjects are"):
        aumer.train(videos, out=tmp_path, exclude_subjects=["nobody"], changes=SMALL)
    everybody = sorted({v.subject for v in videos})
    with pytest.raises(UsageError, match="no video is left"):
        aumer.train(videos, out=tmp_path, exclude_subjects=everybody, changes=SMALL)


def test_videos_of_records_are_measured(tmp_path: Path) -> None:
    """The record says whose a video is, and where; there is none at this place."""
    record = VideoRecord("mine", "s1", "v1", 30.0, tmp_path / "v1.avi")
    with pytest.raises(VideoError, match=r"v1\.avi"):
        aumer.train([record], out=tmp_path / "out", changes=SMALL)


def test_a_recognizer_learns_from_clips_in_memory(tmp_path: Path) -> None:
    few = clips(0, subjects=4, each=2)
    path = aumer.train(few, out=tmp_path, recognizer="svm-cells", exclude_subjects=["s3"])
    made = interface.load(path)
    assert made.classes == few.classes
    assert made.card["data"]["subjects"] == 3 and made.card["data"]["source"] == "memory"
    left = few.take(~few.of_subject("s3"))
    usual = SvmCells().fit(left)
    np.testing.assert_array_equal(made.predict_proba(few.inputs), usual.predict_proba(few.inputs))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, UsageError, "give its name, recognizer="),
        ({"recognizer": "cnn-lstm"}, UsageError, "of the kind 'sequence'; found Clips, .*'flow-"),
        (
            {"recognizer": "graph", "classes": ["a", "c"]},
            ConfigError,
            "the classes of the clips are negative, positive",
        ),
        ({"recognizer": "graph", "source": "own"}, UsageError, "`source` applies to data in files"),
    ],
)
def test_clips_that_cannot_be_learnt_from_are_named(
    arguments: dict[str, Any], error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        aumer.train(clips(0, 2, 1), out=tmp_path, **arguments)


def test_a_recognizer_does_not_learn_from_videos(features: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learns from clips"):
        aumer.train(read_folder(features), out=tmp_path, recognizer="graph")
