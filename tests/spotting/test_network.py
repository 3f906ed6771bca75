"""A network's file as a spotter, from pixels to expressions."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import aumer
from aumer.config import load_settings
from aumer.errors import UsageError, WeightsError
from aumer.graph import AUGraph
from aumer.results import SpotResult
from aumer.simulate.features import simulate_features
from aumer.spotting.auwgcn.decoder import CasmeSqDecoder, PublishedDecoder
from aumer.spotting.channels import CHANNELS
from aumer.spotting.decode import Decoder
from aumer.spotting.network import SHIPPED, NetSpotter, motion_record
from aumer.spotting.spotnet import SpotNet
from aumer.testing.moving_face import brow_raise, film, smile
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


def test_a_decoder_is_kept_by_its_name_or_not_at_all(tmp_path: Path) -> None:
    known, own = (
        CasmeSqDecoder(),
        PublishedDecoder(30.0, CasmeSqDecoder.micro, CasmeSqDecoder.macro),
    )
    NetSpotter(untrained(), known).save(tmp_path / "x.safetensors")
    assert NetSpotter.load(tmp_path / "x.safetensors").decoder == known
    with pytest.raises(UsageError, match="PublishedDecoder is not registered as a decoder"):
        NetSpotter(untrained(), own).save(tmp_path / "y.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_card_with_a_decoder_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    untrained().save(path, {"decoder": {"treshold": 0.4}})
    with pytest.raises(WeightsError, match=r"x\.safetensors.*treshold"):
        NetSpotter.load(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "broken.safetensors"
    net = untrained()
    name, first = next(iter(net.named_parameters()))
    with torch.no_grad():
        first.view(-1)[0] = bad
    NetSpotter(net).save(path)
    with pytest.raises(WeightsError, match=rf"broken\.safetensors: 1 of .* numbers of {name} are"):
        NetSpotter.load(path)


def test_finite_weights_whose_scores_are_not_are_refused() -> None:
    net = untrained()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(3e38)
    with pytest.raises(WeightsError, match="scores that are NaN or infinite"):
        NetSpotter(net)(features())


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
    other = aumer.spot(frames, fps=30, model=str(path), graph=graph)
    assert any("trained with the graph" in note for note in other.notes)
    assert other.notes == SpotResult.from_json(other.to_json()).notes
    mine = NetSpotter.load(path, graph=graph)  # and one that was made before the run
    assert set(aumer.spot(frames, fps=30, model=mine).notes) == set(other.notes)
    assert not any("trained with" in note for note in result.notes)
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


# What motion it was trained on

WINDOWS: dict[str, Any] = {"preset": "windows"}
DENSE: dict[str, Any] = {"preset": "flow", "flow": "tvl1"}
PUBLISHED: dict[str, Any] = {"preset": "published", "flow": "tvl1", "published_8bit": True}


def weights(path: Path, **card: Any) -> Path:
    """A file of weights whose card says what is given."""
    untrained().save(path, card)
    return path


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (WINDOWS, DENSE),
        (DENSE, {"preset": "flow", "flow": "dis"}),
        (DENSE, {"preset": "published", "flow": "tvl1"}),
        (PUBLISHED, {**PUBLISHED, "published_8bit": False}),
        (PUBLISHED, {**PUBLISHED, "flow": "farneback"}),
    ],
)
def test_the_record_tells_features_apart(same: dict[str, Any], other: dict[str, Any]) -> None:
    def record(motion: dict[str, Any]) -> dict[str, Any]:
        return motion_record(load_settings(overrides={"motion": motion}).motion)

    assert record(same) == same == record({**same, "crop": 96, "max_gap_s": 0.3, "rate": 50.0})
    assert record(other) != record(same)


def test_the_record_takes_back_ends_of_the_same_for_the_same() -> None:
    for name in ("tvl1", "tvl1-opencv", "tvl1-torch"):
        assert motion_record(load_settings(overrides={"motion": {"flow": name}}).motion) == DENSE
    for preset in ("windows", "windows-torch"):
        settings = load_settings(overrides={"motion": {"preset": preset, "flow": "dis"}})
        assert motion_record(settings.motion) == WINDOWS


@pytest.mark.parametrize("trained", [WINDOWS, DENSE, PUBLISHED])
@pytest.mark.parametrize("found", [WINDOWS, DENSE, PUBLISHED])
def test_motion_it_was_not_trained_on_is_refused_before_the_work(
    trained: dict[str, Any], found: dict[str, Any], tmp_path: Path
) -> None:
    path = weights(tmp_path / "mine.safetensors", motion=trained)
    if trained == found:
        assert aumer.Spotter(model=path, settings={"motion": found}).settings.motion
        return
    with pytest.raises(UsageError) as caught:
        aumer.Spotter(model=path, settings={"motion": found})
    said = str(caught.value)
    assert said.startswith("network mine.safetensors was trained on motion measured with ")
    needed, there = said.split(", and these settings measure it with ")
    assert f'motion.preset = "{trained["preset"]}"' in needed
    assert there.startswith(f'motion.preset = "{found["preset"]}"')
    assert f'`motion.preset="{trained["preset"]}"' in there and "aumer train" in there
    if trained == PUBLISHED:
        assert "`motion.published_8bit=true" in there


def test_the_options_it_names_are_those_that_help(tmp_path: Path) -> None:
    from aumer import cli

    path = weights(tmp_path / "mine.safetensors", motion=PUBLISHED)
    with pytest.raises(UsageError) as caught:
        NetSpotter.load(path).check(load_settings())
    named = re.findall(
        r"`(motion\.[^`]*)`", str(caught.value).split("settings of its training (")[1]
    )
    words = [word for one in named for word in ("--set", one.replace('"', ""))]  # as a shell does
    # The video is what is missing, no longer the settings.
    assert cli.main(["spot", str(tmp_path / "no.mp4"), "--model", str(path), *words]) == 3
    assert cli.main(["spot", str(tmp_path / "no.mp4"), "--model", str(path)]) == 2


def test_what_it_was_trained_on_goes_with_it(tmp_path: Path) -> None:
    first = NetSpotter.load(weights(tmp_path / "a.safetensors", motion=WINDOWS))
    assert first.motion == WINDOWS
    # Whatever a user's card says beside it.
    first.save(tmp_path / "b.safetensors", {"motion": DENSE, "licence": "CC0-1.0"})
    second = NetSpotter.load(tmp_path / "b.safetensors")
    assert second.motion == WINDOWS
    assert second.net.card["licence"] == "CC0-1.0"


def test_a_card_whose_motion_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a\.safetensors.*'windows', which is not a table"):
        NetSpotter.load(weights(tmp_path / "a.safetensors", motion="windows"))


def noted(caplog: pytest.LogCaptureFixture, model: NetSpotter, motion: dict[str, Any]) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="aumer"):
        model.check(load_settings(overrides={"motion": motion}))
    return [record.getMessage() for record in caplog.records]


def test_weights_that_do_not_say_are_noted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Older ones where motion is not measured as it was then, newer ones in any case."""
    path = weights(tmp_path / "older.safetensors", made="2025")
    assert noted(caplog, NetSpotter.load(path), {"flow": "dis"}) == []
    older = NetSpotter.load(path)
    (said,) = noted(caplog, older, WINDOWS)
    assert "older.safetensors does not say" in said and "`aumer train CONFIG`" in said
    assert 'that of motion.preset = "flow"' in said and 'say motion.preset = "windows"' in said
    assert noted(caplog, older, WINDOWS) == []
    newer = NetSpotter.load(weights(tmp_path / "newer.safetensors", motion=None))
    (said,) = noted(caplog, newer, DENSE)
    assert "newer.safetensors does not say" in said and "older weights" not in said


def test_a_network_made_in_memory_is_asked_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert noted(caplog, NetSpotter(untrained()), WINDOWS) == []


def test_the_network_that_ships_fits_the_default_settings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or names the command that makes it anew."""
    settings = load_settings()
    with caplog.at_level(logging.WARNING, logger="aumer"):
        made = NetSpotter.from_settings(settings)
    assert made.motion is None or made.motion == motion_record(settings.motion)
    if made.motion is None and settings.motion.preset != "flow":
        (record,) = caplog.records
        assert f"{SHIPPED.stem} does not say" in record.getMessage()
        assert "`python -m benchmarks.accuracy.spotters --train PATH`" in record.getMessage()
