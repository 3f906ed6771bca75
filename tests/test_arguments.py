"""What is given where a path or an object is taken, and is neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aumer
from aumer import data, plugins, registry
from aumer.bench import convert, report
from aumer.bench.protocol import load as load_protocol
from aumer.bench.run import run, stored
from aumer.errors import AumerError
from aumer.evaluation import tables
from aumer.files import atomic_write
from aumer.graph.rois import roi_set
from aumer.recognition import interface
from aumer.results.formats import check_suffix
from aumer.simulate.features import read_features, write_features
from aumer.spotting import SpotNet
from aumer.spotting.auwgcn.checkpoint import load_checkpoint
from aumer.training.settings import TrainSettings
from aumer.training.videos import read_folder
from aumer.video.writer import codec_for

Taking = Callable[[Any], object]

TAKING: dict[str, Taking] = {
    "load_settings": aumer.load_settings,
    "load_settings overrides": lambda x: aumer.load_settings(None, x),
    "load_features": aumer.load_features,
    "SpotResult.load": aumer.SpotResult.load,
    "Prediction.load": aumer.Prediction.load,
    "AUGraph.load": aumer.AUGraph.load,
    "AUGraph.from_annotations": aumer.AUGraph.from_annotations,
    "spot graph": lambda x: aumer.spot("x.avi", graph=x),
    "spot settings": lambda x: aumer.spot("x.avi", settings=x),
    "spot recognizer": lambda x: aumer.spot("x.avi", recognizer=x),
    "spot model": lambda x: aumer.spot("x.avi", model=x),
    "classify model": lambda x: aumer.classify("x.avi", model=x),
    "evaluate": lambda x: aumer.evaluate(x, x),
    "train": aumer.train,
    "simulate_films": aumer.simulate_films,
    "register": lambda x: registry.register(x, "mine"),
    "resolve": lambda x: registry.resolve(x, "mine"),
    "roi_set": roi_set,
    "plugins.load": plugins.load,
    "data.load": lambda x: data.load("casme2", x),
    "data.load name": lambda x: data.load(x, "."),
    "data.read_table": lambda x: data.read_table("casme2", x),
    "read_predictions": tables.read_predictions,
    "read_labels": tables.read_labels,
    "read_videos": tables.read_videos,
    "atomic_write": lambda x: atomic_write(x, ""),
    "check_suffix": check_suffix,
    "read_features": read_features,
    "write_features": lambda x: write_features(x, []),
    "read_folder": read_folder,
    "codec_for": codec_for,
    "SpotNet.load": SpotNet.load,
    "SpotNet.from_preset": SpotNet.from_preset,
    "load_checkpoint": load_checkpoint,
    "recognizer": interface.load,
    "TrainSettings.preset": TrainSettings.preset,
    "TrainSettings.preset overrides": lambda x: TrainSettings.preset("aumer", x),
    "protocol": load_protocol,
    "run": lambda x: run(x, "x"),
    "run roots": lambda x: run("sim-casme-sq", x, folder="out"),
    "run model": lambda x: run("sim-casme-sq", "x", x),
    "run settings": lambda x: run("sim-casme-sq", "x", settings=x),
    "run folder": lambda x: run("sim-casme-sq", "x", folder=x),
    "stored": stored,
    "convert": convert.convert,
    "report.draw": report.draw,
}


class Stranger:
    """Nothing that aumer takes."""

    def __repr__(self) -> str:
        return "a stranger"


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING)
@pytest.mark.parametrize("given", [3, [3.5], Stranger()], ids=["number", "list", "object"])
def test_what_is_neither_path_nor_object_is_told(
    taking: Taking, given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words: with what was found, and never as Python's own TypeError."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AumerError) as told:
        taking(given)
    said = str(told.value)
    assert repr(given).strip("[]") in said or type(given).__name__ in said
    assert "expected str, bytes or os.PathLike" not in said
    assert not list(tmp_path.iterdir())


def test_a_table_in_place_of_a_file_of_settings_is_told_where_it_goes() -> None:
    with pytest.raises(aumer.ConfigError, match="a table is given as `overrides`"):
        aumer.load_settings({"motion": {"rate": 20}})  # type: ignore[arg-type]
