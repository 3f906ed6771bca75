"""Rules and network together, and the network that ships."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import aumer
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.evaluation.matching import count
from aumer.graph import AUGraph
from aumer.registry import resolve
from aumer.simulate.features import SimulatedVideo
from aumer.simulate.population import Population
from aumer.spotting.channels import CHANNELS
from aumer.spotting.combined import CombinedSpotter, proposing
from aumer.spotting.judge import READS, chosen, shipped
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.spotting.noise import with_peaks
from aumer.spotting.rules import RuleSpotter
from aumer.training.samples import truth_intervals
from aumer.training.videos import from_simulation
from aumer.types import KINDS, Counts


@cache
def card() -> dict[str, object]:
    return NetSpotter.load(SHIPPED).net.card


@cache
def unseen() -> tuple[SimulatedVideo, ...]:
    """The subjects on which the card states figures."""
    stated = card()["unseen_subjects"]
    assert isinstance(stated, dict)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in stated["population"].items()}
    return tuple(Population(**values).draw())


def test_both_propose_and_the_judge_decides() -> None:
    settings = load_settings()
    combined, network = CombinedSpotter.from_settings(settings), NetSpotter.from_settings(settings)
    by_rules = RuleSpotter(proposing(settings.rules))
    threshold, others = shipped().threshold("normal"), set()
    for video in unseen()[:4]:
        tracks, found = combined(video.features)
        same, proposals, read = combined.proposals(video.features)
        np.testing.assert_array_equal(tracks.values, same.values)
        assert read.shape == (len(proposals), len(READS))
        spans = [(e.kind, e.onset, e.apex, e.offset) for e in proposals]
        first = by_rules(video.features)[1]
        assert spans[: len(first)] == [(e.kind, e.onset, e.apex, e.offset) for e in first]
        assert all(e.peak is not None and e.peak >= 2 for e in proposals[len(first) :])
        # What the network is sure of is among what it proposes, if it stands out of the noise.
        sure = with_peaks(network(video.features)[1], video.features, settings.rules)
        high = {(e.kind, e.onset, e.apex, e.offset) for e in sure if e.peak and e.peak >= 2}
        assert high and high <= set(spans[len(first) :])
        assert found == chosen(proposals, shipped().probabilities(read), threshold)
        assert all(e.score >= threshold and e.peak is not None for e in found)
        assert tracks.channels == ("brow", "mouth", "expression", *CHANNELS)
        assert tracks.values.shape == (len(video.features), 13)
        kept = {(e.kind, e.onset, e.apex, e.offset) for e in found}
        others |= {"rules"} if kept & set(spans[: len(first)]) else set()
        others |= {"network"} if kept & set(spans[len(first) :]) else set()
        assert len(found) < len(proposals)
    assert others == {"rules", "network"}


def test_the_sensitivity_is_the_judges_threshold_alone() -> None:
    features = unseen()[0].features
    found = {how: aumer.spot(features, sensitivity=how) for how in ("low", "normal", "high", 1.0)}
    spans = {how: {(e.onset, e.offset) for e in r.expressions} for how, r in found.items()}
    assert spans["low"] <= spans["normal"] <= spans["high"]
    assert len(spans["low"]) < len(spans["high"])
    assert len({r.limit for r in found.values()}) == 1
    assert len({r.digests["threshold"] for r in found.values()}) == 4
    assert all(e.score >= shipped().threshold("1") for e in found[1.0].expressions)
    with pytest.raises(UsageError, match=r"from .* false alarms a minute of rest, .*found 1000"):
        aumer.spot(features, sensitivity=1000)


@pytest.mark.parametrize("name", ["rules", "network", "combined"])
def test_the_card_says_what_the_weights_do(name: str) -> None:
    """Pooled F1 on subjects that the training has not seen, to the four digits of the card."""
    spot = resolve("spotter", name).from_settings(load_settings())
    total = Counts()
    for video in from_simulation(unseen()):
        found, truth = spot(video.features)[1], truth_intervals(video)
        for kind in KINDS:
            total += count([e.interval for e in found if e.kind == kind], truth[kind])
    stated = card()["unseen_subjects"]
    assert isinstance(stated, dict)
    assert total.f1 == pytest.approx(stated["f1"][name], abs=2e-3)  # rounding differs by machine


def test_the_card_names_data_licence_and_what_was_never_seen() -> None:
    about = card()
    assert {"licence", "data", "never_seen", "has_seen", "training", "made_by"} <= set(about)
    assert "CAS(ME)^2" in str(about["never_seen"])
    figures = about["unseen_subjects"]["f1"]  # type: ignore[index]
    assert figures["network"] > figures["rules"] + 0.1
    assert figures["combined"] > figures["rules"] + 0.1
    assert SHIPPED.stat().st_size < 2e6


def test_combined_is_the_default() -> None:
    features = unseen()[0].features
    assert aumer.spot(features) == aumer.spot(features, model="combined")


def test_features_at_another_rate_are_the_rules_alone() -> None:
    features = replace(unseen()[0].features, rate=25.0)
    with pytest.raises(UsageError, match=r"the features' rate is 25; .*rules"):
        aumer.spot(features)
    aumer.spot(features, model="rules")


def test_by_name_from_python() -> None:
    features = unseen()[0].features
    network = aumer.spot(features, model="network")
    combined = aumer.spot(features, model="combined")
    assert (network.spotter, combined.spotter) == ("network", "combined")
    assert network.digests["weights"] == combined.digests["weights"]
    stricter = aumer.spot(features, model="combined", settings={"rules": {"min_height": 0.05}})
    assert stricter.digests["rules"] != combined.digests["rules"]


def test_a_network_that_the_judge_does_not_know_is_told(caplog: pytest.LogCaptureFixture) -> None:
    network = NetSpotter.from_settings(load_settings())
    CombinedSpotter(load_settings().rules, network)
    assert not caplog.records
    with torch.no_grad():
        next(network.net.parameters()).mul_(1.01)
    CombinedSpotter(load_settings().rules, network)
    assert "fitted with another network" in caplog.text


@pytest.mark.parametrize("model", ["network", "combined"])
def test_another_graph_in_the_network_that_ships(model: str) -> None:
    features = unseen()[0].features
    graph = AUGraph.load("samm-lv-facs")
    changed = aumer.spot(features, model=model, graph=graph)
    assert any("may mean little" in note for note in changed.notes)
    assert changed.digests["graph"] == graph.digest
    usual = aumer.spot(features, model=model)
    assert usual.digests["graph"] != graph.digest
    np.testing.assert_equal(changed.scores.values.shape, usual.scores.values.shape)
    assert not np.array_equal(changed.scores.values, usual.scores.values, equal_nan=True)


@pytest.mark.parametrize("model", ["network", "combined"])
def test_settings_that_it_cannot_read_are_refused_at_once(model: str) -> None:
    with pytest.raises(UsageError, match=r"motion\.rate=30"):
        aumer.Spotter(model=model, settings={"motion": {"rate": 60.0}})


def test_gaps_are_no_expressions() -> None:
    video = unseen()[0].features
    valid = video.valid.copy()
    valid[200:400] = False
    found = CombinedSpotter.from_settings(load_settings())(replace(video, valid=valid))[1]
    gone = set(video.frames[200:400].tolist())
    for e in found:
        assert not gone & {e.onset, e.apex, e.offset}
    nothing = replace(video, valid=np.zeros(len(video), bool))
    assert CombinedSpotter.from_settings(load_settings())(nothing)[1] == ()
