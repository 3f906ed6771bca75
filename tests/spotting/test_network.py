"""A network's file as a spotter, from pixels to expressions."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_face import brow_raise, film, smile

import aumer
from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.graph import AUGraph
from aumer.results import SpotResult
from aumer.simulate.features import simulate_features
from aumer.spotting.channels import CHANNELS
from aumer.spotting.decode import Decoder, PublishedDecoder
from aumer.spotting.net import SpotNet
from aumer.spotting.network import NetSpotter
from aumer.types import Features


def untrained(seed: int = 0, rois: str | None = None) -> SpotNet:
    torch.manual_seed(seed)
    net = SpotNet.from_preset("aumer", None if rois is None else AUGraph.identity(rois))
    net.set_input_statistics((0.0, 0.0), (0.002, 0.002))
    return net.eval()


@lru_cache(maxsize=1)
def features() -> Features:
    (video,) = simulate_features(1, minutes=0.5, seed=3)
    return video.features


def test_a_file_gives_the_same_spotter_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    first = NetSpotter(untrained(), Decoder(threshold=0.3))
    first.save(path, {"licence": "CC0-1.0"})
    second = NetSpotter.load(path)
    assert second.name == "network mine.safetensors"
    assert second.decoder == first.decoder
    assert second.digests == first.digests
    scores, found = first(features())
    again, same = second(features())
    np.testing.assert_array_equal(scores.values, again.values)
    assert found == same
    with pytest.raises(UsageError, match="exists already"):
        first.save(path)


def test_a_published_decoder_is_not_kept_silently_as_another(tmp_path: Path) -> None:
    spotter = NetSpotter(untrained(), PublishedDecoder.preset("casme-sq"))
    with pytest.raises(ConfigError, match="published preset"):
        spotter.save(tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_card_with_a_decoder_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    untrained().save(path, {"decoder": {"treshold": 0.4}})
    with pytest.raises(WeightsError, match=r"x\.safetensors.*treshold"):
        NetSpotter.load(path)


def test_weights_and_graph_have_digests_of_their_own() -> None:
    first, second = NetSpotter(untrained(0)), NetSpotter(untrained(1))
    assert first.digests["weights"] != second.digests["weights"]
    assert first.digests["graph"] == second.digests["graph"]


def test_from_pixels_to_expressions_with_a_network_and_a_graph(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    NetSpotter(untrained(), Decoder(threshold=0.2)).save(path)
    times = np.arange(60) / 30
    bumps = smile(0.3, 0.7, 1.2) + brow_raise(1.3, 1.5, 1.7)
    frames = film(times, bumps=bumps, scale=1.5, window=(130, 20, 320, 210))
    result = aumer.spot(frames, fps=30, model=path)
    assert result.spotter == "network mine.safetensors"
    assert result.scores.channels == CHANNELS
    assert np.isfinite(result.scores.values).all()
    assert {"graph", "weights", "settings"} <= set(result.digests)

    result.save(tmp_path / "out.json")
    again = SpotResult.load(tmp_path / "out.json")
    assert again.digests == result.digests and again.expressions == result.expressions

    graph = AUGraph.from_edges({("mouth_r", "mouth_l"): 1.0}, name="mine")
    with pytest.warns(UserWarning, match=r"trained with the graph.*aumer train"):
        other = aumer.spot(frames, fps=30, model=str(path), graph=graph)
    assert other.digests["graph"] == graph.digest
    assert np.abs(other.scores.values - result.scores.values).max() > 1e-3


def test_a_graph_of_other_rois_is_refused_before_the_video_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    NetSpotter(untrained()).save(path)
    with pytest.raises(WeightsError, match=r"12 ROIs.*2"):
        aumer.spot("no such film.mp4", model=path, graph=AUGraph.identity("48 54"))


def test_a_network_of_other_rois_works_on_features_of_them(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    NetSpotter(untrained(rois="48 54"), Decoder(threshold=0.2)).save(path)
    with pytest.raises(UsageError, match=r"motion\.rois"):
        aumer.Spotter(model=path)
    spotter = aumer.Spotter(model=path, settings={"motion": {"rois": "48 54"}})
    frames = film(np.arange(30) / 30, scale=1.5, window=(130, 20, 320, 210))
    result = spotter(frames, fps=30)
    assert result.features is not None
    assert result.features.rois == ("mouth_r", "mouth_l")
    assert result.scores.channels == CHANNELS


def test_missing_weights_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors.*aumer train"):
        aumer.spot("film.mp4", model=tmp_path / "none.safetensors")
