"""`aumer.train`: what is asked for, from a folder, a file or a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aumer
from aumer.errors import ConfigError, UsageError
from aumer.spotting.network import NetSpotter
from aumer.training.entry import configured, epochs
from aumer.training.recognizers import RecognizerConfig
from aumer.training.run import RunConfig

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
    with pytest.raises(UsageError, match="`graph` is of spotting networks"):
        aumer.train(config, graph="casme-sq-facs")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, UsageError, "give out="),
        ({"out": "o", "source": "casme-sqq"}, UsageError, "Did you mean 'casme-sq'"),
        ({"out": "o", "recognizer": "cnn-lst"}, UsageError, "Did you mean 'cnn-lstm'"),
        ({"out": "o", "changes": {"train.epoch": 1}}, ConfigError, "epochs"),
        ({"out": "o", "changes": {"preset": "aumr"}}, ConfigError, "Did you mean 'aumer'"),
    ],
)
def test_what_cannot_be_trained_is_named(
    arguments: dict[str, Any], error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        aumer.train(tmp_path, **arguments)
    with pytest.raises(UsageError, match="a folder of videos or a TOML file; found 3"):
        aumer.train(3)  # type: ignore[arg-type]
