"""Networks, targets and decoders of one's own, and what every network keeps to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.conftest import small as protocol
from bench.conftest import write_tables
from spotting.own_network import OwnArchitecture, OwnNetwork
from spotting.own_objective import OwnDecoder, OwnObjective
from spotting.rivals import RIVALS
from training.conftest import simulated

import aumer
from aumer import registry
from aumer.bench.run import run
from aumer.errors import ConfigError, UsageError, WeightsError
from aumer.spotting.combined import CombinedSpotter
from aumer.spotting.decode import Decoder
from aumer.spotting.net import SpottingNetwork
from aumer.spotting.net_config import NetConfig
from aumer.spotting.network import NetSpotter
from aumer.spotting.parts import Architecture, TrackDecoder
from aumer.spotting.spotnet import SpotNet
from aumer.training.loop import TrainedNetwork, train
from aumer.training.settings import TrainSettings
from aumer.types import Features

OWN = Path(__file__).with_name("own_network.toml")
#: What a training preset says of our own parts.
CHANGES: dict[str, Any] = {"net": str(OWN), "targets": "own", "decoder": "own"}
FEW: dict[str, Any] = {"epochs": 8, "window_s": 10.0, "lr": 0.03}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained() -> TrainedNetwork:
    return train(simulated(), TrainSettings.preset("aumer", {**FEW, **CHANGES}), seed=1)


@pytest.fixture
def weights(trained: TrainedNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    NetSpotter(trained.net, trained.decoder).save(path, {"licence": "CC0-1.0"})
    return path


def forget(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As in a process that does not import the module that registers our own part."""
    others = {k: v for k, v in registry._parts[kind].items() if k != "own"}
    monkeypatch.setattr(registry, "_parts", {**registry._parts, kind: others})


def test_it_is_trained(trained: TrainedNetwork) -> None:
    assert isinstance(trained.net, OwnNetwork)
    assert trained.net.config == OwnArchitecture("casme-sq-facs", 30.0, width=8)
    assert isinstance(trained.decoder, OwnDecoder)
    losses = [record["loss_total"] for record in trained.log]
    assert len(losses) == 8 and losses[-1] < losses[0]
    again = train(simulated(), TrainSettings.preset("aumer", {**FEW, **CHANGES}), seed=1)
    for name, value in trained.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)


def test_a_file_gives_it_back(weights: Path, trained: TrainedNetwork) -> None:
    loaded = NetSpotter.load(weights)
    assert isinstance(loaded.net, OwnNetwork) and loaded.net.config == trained.net.config
    assert loaded.decoder == trained.decoder
    features = simulated()[0].features
    scores, expressions = loaded(features)
    np.testing.assert_array_equal(scores.values, trained.net.scores(features).values)
    assert expressions == trained.decoder(scores)


def test_it_spots(weights: Path) -> None:
    features = simulated()[0].features
    result = aumer.spot(features, model=weights)
    assert result.spotter == "network own.safetensors"
    assert result.expressions
    scores, expressions = NetSpotter.load(weights)(features)
    np.testing.assert_array_equal(result.scores.values, scores.values)
    spans = [(e.kind, e.onset, e.offset) for e in expressions]
    assert [(e.kind, e.onset, e.offset) for e in result.expressions] == spans


def test_it_proposes_beside_the_rules(weights: Path) -> None:
    spotter = CombinedSpotter(aumer.config.load_settings().rules, NetSpotter.load(weights))
    assert spotter(simulated()[0].features)[0].channels[-1] == "macro_action"


def test_the_bench_trains_it_or_takes_its_weights(weights: Path, tmp_path: Path) -> None:
    roots = {"sim-casme-sq": write_tables(tmp_path / "tables")}
    changes = {**FEW, "epochs": 1, **CHANGES}
    result = run(protocol(), roots, "aumer", folder=tmp_path / "a", overrides=changes)
    about = result.about["model"]
    assert about["network"]["network"] == about["decoder"] == about["training"]["targets"] == "own"
    run(protocol(), roots, "aumer", folder=tmp_path / "a", overrides=changes)  # the same still
    result = run(protocol(), roots, str(weights), folder=tmp_path / "b")
    assert result.about["model"]["card"]["decoder"]["decoder"] == "own"


def test_unregistered_parts_are_missed_by_name(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        forget(patched, "network")
        with pytest.raises(WeightsError, match=r"no network is called 'own'.*`--plugin`"):
            NetSpotter.load(weights)
    with monkeypatch.context() as patched:
        forget(patched, "decoder")
        with pytest.raises(WeightsError, match=r"no decoder is called 'own'.*`--plugin`"):
            NetSpotter.load(weights)
        with pytest.raises(ConfigError, match="decoder must be one of aumer, casme-sq"):
            TrainSettings.preset("aumer", CHANGES)
    forget(monkeypatch, "network")
    net = SpottingNetwork.from_preset("published")
    with pytest.raises(UsageError, match="OwnArchitecture is not registered as a network"):
        OwnArchitecture("casme-sq-facs", 30.0, width=8).to_dict()
    assert isinstance(net, SpotNet)


def test_other_classes_do_not_take_it(weights: Path) -> None:
    with pytest.raises(WeightsError, match="it must hold a SpotNet; found a OwnNetwork"):
        SpotNet.load(weights)
    with pytest.raises(UsageError, match="makes a OwnNetwork and not a SpotNet"):
        SpotNet.from_preset(OWN)
    with pytest.raises(ConfigError, match="registered NetConfig"):
        NetConfig.preset(OWN)
    with pytest.raises(ConfigError, match="registered Decoder"):
        Decoder.from_dict(OwnDecoder().to_dict())


def test_the_usual_names_are_left_unsaid() -> None:
    """So that digests and files of before there was a choice hold."""
    assert "network" not in NetConfig.preset("aumer").to_dict()
    assert "decoder" not in Decoder().to_dict()
    assert "decoder" not in TrainSettings.preset("aumer").to_dict()
    assert Architecture.from_dict(NetConfig.preset("aumer").to_dict()) == NetConfig.preset("aumer")
    assert TrackDecoder.from_dict({}) == Decoder()
    own = Architecture.preset(OWN, {"width": 4})
    assert own.to_dict()["network"] == "own" and Architecture.from_dict(own.to_dict()) == own
    said = TrainSettings.preset("aumer", CHANGES)
    assert said.to_dict()["decoder"] == "own"
    assert said.objective() == OwnObjective(said.macro_weight)


# What every network keeps to


PRESETS = ("aumer", "published", *RIVALS)


@pytest.fixture(params=[OWN, *PRESETS], ids=["own", *PRESETS])
def net(request: pytest.FixtureRequest) -> SpottingNetwork:
    torch.manual_seed(0)
    made = SpottingNetwork.from_preset(request.param)
    made.set_input_statistics((0.001, 0.0), (0.01, 0.02))
    return made.eval()


def test_chunks_are_the_whole(net: SpottingNetwork) -> None:
    features = simulated()[0].features
    whole, chunks = (net.scores(features, chunk_s=s).values for s in (None, 7.0))
    np.testing.assert_allclose(chunks, whole, atol=1e-6)


def test_invalid_rows_tell_nothing(net: SpottingNetwork) -> None:
    features = simulated()[0].features
    values, valid = features.values.copy(), features.valid.copy()
    valid[300:330] = False
    values[300:330] = np.nan
    gap = net.scores(replace(features, values=values, valid=valid)).values
    assert np.isnan(gap[300:330]).all() and np.isfinite(gap[valid]).all()
    x = torch.randn(1, 60, len(net.graph.rois) + len(net.config.extra_nodes), 2)
    mask = torch.ones(1, 60, dtype=torch.bool)
    mask[:, 20:30] = False
    other = torch.where(mask[..., None, None], x, torch.nan)
    with torch.no_grad():
        assert torch.equal(net(x, mask)[mask], net(other, mask)[mask])


def test_half_width_bounds_what_is_seen(net: SpottingNetwork) -> None:
    reach, nodes = net.half_width, len(net.graph.rois) + len(net.config.extra_nodes)
    x = torch.randn(1, 2 * reach + 41, nodes, 2)
    moved = x.clone()
    moved[:, 0] += 5
    with torch.no_grad():
        change = (net(x) - net(moved)).abs().amax(dim=(0, 2))
    assert change[reach + 1 :].max() < 1e-4
    assert change[: reach + 1].max() > 1e-3


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_shortest_videos_have_scores(net: SpottingNetwork, rows: int) -> None:
    whole = simulated()[0].features
    own = (whole.values, whole.times, whole.frames, whole.valid)
    few = Features(*(one[:rows] for one in own), whole.rois, whole.rate)
    for decoder in ("aumer", "growing", "peaks"):
        scores, found = NetSpotter(net, TrackDecoder.named(decoder))(few)
        assert scores.values.shape == (rows, 10) and np.isfinite(scores.values).all()
        assert all(0 <= e.onset <= e.apex <= e.offset < rows for e in found)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("name", RIVALS)
def test_a_killed_training_goes_on_to_the_same_weights(name: str, tmp_path: Path) -> None:
    videos, path = simulated(2, 0.3), tmp_path / "run.safetensors"
    few = {"epochs": 2, "window_s": 10.0, "inner_share": 0.0}
    settings = TrainSettings.preset(name, few)

    def kill(record: Any) -> None:
        raise _Killed

    with pytest.raises(_Killed):
        train(videos, settings, seed=3, checkpoint=path, callbacks=[kill])
    again = train(videos, settings, seed=3, checkpoint=path).net.state_dict()
    unbroken = train(videos, settings, seed=3).net.state_dict()
    assert all(torch.equal(one, again[key]) for key, one in unbroken.items())
