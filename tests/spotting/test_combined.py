"""Rules and network together, and the network that ships."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import aumer
from aumer.config import load_settings
from aumer.errors import UsageError
from aumer.evaluation.matching import count
from aumer.graph import AUGraph
from aumer.registry import resolve
from aumer.simulate.features import SimulatedVideo
from aumer.simulate.population import Population
from aumer.spotting.channels import CHANNELS
from aumer.spotting.combined import CombinedSpotter, apart, confirmed, proposing
from aumer.spotting.network import SHIPPED, NetSpotter
from aumer.spotting.rules import RuleSpotter
from aumer.training.samples import truth_intervals
from aumer.training.videos import from_simulation
from aumer.types import KINDS, Counts, Expression, Scores


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


def an(onset: int, offset: int) -> Expression:
    return Expression("macro", onset, onset, offset, onset / 30, onset / 30, offset / 30, 0.5)


def test_apart_leaves_what_shares_a_frame() -> None:
    sure = [an(10, 20), an(40, 50)]
    free = [an(0, 9), an(21, 39), an(51, 60)]
    taken = [an(0, 10), an(20, 30), an(12, 15), an(5, 60)]
    assert apart([*free, *taken], sure) == free
    assert apart(taken, []) == taken


def test_an_expression_needs_action_at_some_time_of_it() -> None:
    values = np.zeros((100, len(CHANNELS)), np.float32)
    values[30, CHANNELS.index("micro_action")] = values[60, CHANNELS.index("macro_action")] = 0.9
    values[:, CHANNELS.index("macro_apex")] = 1
    values[80:] = np.nan
    frames = np.arange(100)
    scores = Scores(values, frames / 30, frames, ~np.isnan(values[:, 0]), CHANNELS)
    seen = [an(20, 30), an(30, 35), an(55, 70)]
    unseen = [an(0, 29), an(31, 59), an(61, 79), an(85, 99)]
    assert confirmed([*seen, *unseen], scores) == seen


def test_the_network_confirms_the_rules_and_adds_elsewhere() -> None:
    settings = load_settings()
    rules, network = RuleSpotter.from_settings(settings), NetSpotter.from_settings(settings)
    both = CombinedSpotter(rules, network)
    proposer = RuleSpotter(proposing(rules.settings))
    added = left_out = 0
    for video in unseen()[:6]:
        scores, found = both(video.features)
        own, proposed = network(video.features)
        proposals = proposer(video.features)[1]
        assert len(proposals) >= len(rules(video.features)[1])  # they look lower
        sure = confirmed(proposals, own)
        left_out += len(proposals) - len(sure)
        assert set(sure) <= set(found)
        own_ones = [p for p in proposed if p.score >= 0.65]
        assert set(found) - set(sure) == set(apart(own_ones, sure))
        assert list(found) == sorted(found, key=lambda e: (e.onset, e.offset))
        assert scores.channels == ("brow", "mouth", "expression", *CHANNELS)
        assert scores.values.shape == (len(video.features), 13)
        added += len(found) - len(sure)
    assert added > 0
    assert left_out > 0


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
    with pytest.raises(UsageError, match=r"the features' rate is 25: .*model='rules'"):
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


@pytest.mark.parametrize("model", ["network", "combined"])
def test_another_graph_in_the_network_that_ships(model: str) -> None:
    features = unseen()[0].features
    graph = AUGraph.load("samm-lv-facs")
    with pytest.warns(UserWarning, match="trained"):
        changed = aumer.spot(features, model=model, graph=graph)
    assert changed.digests["graph"] == graph.digest
    usual = aumer.spot(features, model=model)
    assert usual.digests["graph"] != graph.digest
    np.testing.assert_equal(changed.scores.values.shape, usual.scores.values.shape)
    assert not np.array_equal(changed.scores.values, usual.scores.values, equal_nan=True)


@pytest.mark.parametrize("model", ["network", "combined"])
def test_settings_that_it_cannot_read_are_refused_at_once(model: str) -> None:
    with pytest.raises(UsageError, match=r"motion\.rate = 30"):
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
