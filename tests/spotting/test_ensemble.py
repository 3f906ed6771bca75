"""Ensembles: their logits are a mean, and they are trained, stored and used as one network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training.conftest import simulated, small

from aumer.errors import ConfigError, UsageError
from aumer.graph import AUGraph
from aumer.graph.rois import DEFAULT_ROIS
from aumer.spotting.ensemble import Ensemble, EnsembleNetwork
from aumer.spotting.net import SpottingNetwork, parameter_count
from aumer.spotting.net_config import NetConfig
from aumer.spotting.network import NetSpotter
from aumer.spotting.parts import Architecture
from aumer.training.loop import checkpoint_of, train


def networks(count: int, **changes: Any) -> list[SpottingNetwork]:
    """Untrained, with weights and input statistics of their own."""
    config = replace(small().net_config(), **changes)
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(config.network().eval())
        made[-1].set_input_statistics([0.001 * seed, 0.0], [0.01, 0.02 + 0.01 * seed])
    return made


def test_its_logits_are_the_mean_of_its_members() -> None:
    members = networks(3)
    ensemble = EnsembleNetwork.of(members)
    x, valid = 0.02 * torch.randn(2, 60, 12, 2), torch.ones(2, 60, dtype=torch.bool)
    valid[1, 20:30] = False
    with torch.no_grad():
        wanted = sum(net(x, valid) for net in members) / 3
        torch.testing.assert_close(ensemble(x, valid), wanted)
    assert ensemble.half_width == members[0].half_width
    assert parameter_count(ensemble) == 3 * parameter_count(members[0])


def test_one_member_is_that_member() -> None:
    (net,) = networks(1)
    features = simulated()[0].features
    ours, its = EnsembleNetwork.of([net]).scores(features), net.scores(features)
    np.testing.assert_array_equal(ours.values, its.values)


def test_a_file_holds_all_members(tmp_path: Path) -> None:
    """With their graph layer, the nodes beside the ROIs, and a digest of all weights."""
    members = networks(2, layer="dense-self", signs=True)
    spotter = NetSpotter(EnsembleNetwork.of(members))
    spotter.save(tmp_path / "two.safetensors", {"made": "by a test"})
    again = NetSpotter.load(tmp_path / "two.safetensors")
    assert isinstance(again.net, EnsembleNetwork) and again.card["made"] == "by a test"
    assert again.net.config == Ensemble.of(members[0].config, 2)
    assert again.net.config.extra_nodes == members[0].config.extra_nodes
    assert again.digests == spotter.digests
    features = simulated()[0].features
    np.testing.assert_array_equal(again.scores(features).values, spotter.scores(features).values)
    swapped = NetSpotter(EnsembleNetwork.of(members[::-1]))
    assert swapped.digests != spotter.digests


def test_what_does_not_fit_together_is_refused() -> None:
    one, two = networks(2)
    (other,) = networks(1, graph_width=3)
    identity = NetConfig.preset("aumer").network(AUGraph.identity(DEFAULT_ROIS.names))
    for members in ([one, other], [NetConfig.preset("aumer").network(), identity]):
        with pytest.raises(UsageError, match="of one architecture and graph"):
            EnsembleNetwork.of(members)
    with pytest.raises(UsageError, match="at least one"):
        EnsembleNetwork.of([])
    with pytest.raises(UsageError, match="found 2 networks"):
        EnsembleNetwork(Ensemble.of(one.config, 3), [one, two])
    for members_ in (0, 101):
        with pytest.raises(ConfigError, match="members"):
            Ensemble.of(one.config, members_)
    for change in ({"rate": 60.0}, {"graph": "facs"}):
        with pytest.raises(ConfigError, match=f"{next(iter(change))} must be"):
            replace(Ensemble.of(one.config, 2), **change).network()
    with pytest.raises(ConfigError, match="width"):
        Architecture.from_dict(
            {**Ensemble.of(one.config, 2).to_dict(), "member": {"widths": "many"}}
        ).network()


def test_it_is_trained_member_by_member(tmp_path: Path) -> None:
    settings = small(members=3, epochs=2, inner_share=0.3)
    epochs: list[tuple[int, int]] = []
    trained = train(
        simulated(),
        settings,
        seed=2,
        callbacks=[lambda r: epochs.append((r["member"], r["epoch"]))],
    )
    assert epochs == [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)]
    assert [r["epoch"] for r in trained.log] == [1, 2, 3, 4, 5, 6]
    assert isinstance(trained.net, EnsembleNetwork) and "motion" in trained.net.card
    states = [net.state_dict() for net in trained.net.members]
    assert not torch.equal(states[0]["head.weight"], states[1]["head.weight"])

    class Killed(Exception):
        pass

    def kill(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            raise Killed

    checkpoint = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        train(simulated(), settings, seed=2, checkpoint=checkpoint, callbacks=[kill])
    assert checkpoint_of(checkpoint, 1).name == "run-1.safetensors"
    seen: list[int] = []
    resumed = train(
        simulated(),
        settings,
        seed=2,
        checkpoint=checkpoint,
        callbacks=[lambda r: seen.append(r["epoch"])],
    )
    assert seen == [5, 6]
    for ours, theirs in zip(
        resumed.net.state_dict().values(), trained.net.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert resumed.decoder == trained.decoder


def test_a_member_is_what_a_training_alone_gives() -> None:
    """By its seed; other seeds of the whole share none."""
    settings = small(members=2, epochs=1, inner_share=0.0)
    both = train(simulated(), settings, seed=1).net
    assert isinstance(both, EnsembleNetwork)
    for net, seed in zip(both.members, (2, 3), strict=True):
        alone = train(simulated(), replace(settings, members=1), seed=seed).net.state_dict()
        assert all(torch.equal(value, alone[name]) for name, value in net.state_dict().items())
