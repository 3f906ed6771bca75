"""What is told of growing features, against what is said of the whole."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import aumer
from aumer.errors import UsageError
from aumer.pipeline import Spotter
from aumer.spotting.interface import SETTLES_S, SpotterModel
from aumer.streaming.decisions import _ROWS, TELLS_S, Decisions, Told
from aumer.types import Expression, Features, Moment, Scores

#: Rows that are forgotten together, as chunks are.
CHUNK_S = 10


def rows(features: Features, first: int, after: int) -> Features:
    return replace(features, **{name: getattr(features, name)[first:after] for name in _ROWS})


def performed(minutes: float, seed: int) -> Features:
    """A simulated face that is not seen for some moments."""
    (video,) = aumer.simulate_features(1, minutes=minutes, seed=seed)
    features, rng = video.features, np.random.default_rng(seed)
    valid = features.valid.copy()
    for first in rng.integers(0, len(features), 2):
        valid[first : first + rng.integers(5, 60)] = False
    return without(features, valid)


def without(features: Features, valid: Any) -> Features:
    values, confidence = features.values.copy(), features.confidence.copy()
    values[~valid], confidence[~valid] = np.nan, 0
    return replace(features, values=values, confidence=confidence, valid=valid)


def played(decisions: Decisions, features: Features, every_s: float) -> list[tuple[float, Told]]:
    """All that is told, and when, with no more kept than is asked for."""
    found, rate = [], features.rate
    step = round(every_s * rate)
    for after in (*range(step, len(features), step), len(features)):
        now = after / rate
        first = int(max(0, (now - decisions.keeps_s) // CHUNK_S * CHUNK_S) * rate)
        over = after == len(features)
        told = decisions.step(rows(features, first, after), over=over)
        found += [(now, one) for one in told]
    return found


def final(told: list[tuple[float, Told]]) -> list[tuple[str, Moment]]:
    return sorted(
        (one.expression.kind, one.expression.moment) for _, one in told if one.event == "final"
    )


@pytest.mark.parametrize(("model", "minutes", "seed"), [("rules", 2.5, 5), ("network", 2.5, 1)])
def test_what_is_final_is_what_is_said_of_the_whole(model: str, minutes: float, seed: int) -> None:
    """But for a frame here and there: how a movement ends depends a little on when the next one
    comes, however late (benchmarks/speed/live.py counts how often)."""
    features = performed(minutes, seed)
    with Spotter(model=model) as spotter:
        batch = sorted((e.kind, e.moment) for e in spotter.decide(features)[1])
        decisions = Decisions(spotter)
        told = played(decisions, features, 1.5)
    assert decisions.keeps_s < 0.6 * 60 * minutes, "else nothing was forgotten"
    assert len(batch) > 3
    known = final(told)
    off = [
        min(abs(m.onset - o.onset) + abs(m.offset - o.offset) for k, o in known if k == kind)
        for kind, m in batch
    ]
    assert sum(frames <= 1 for frames in off) >= 0.9 * len(batch)
    assert len(set(known) & set(batch)) >= 0.75 * len(batch)
    assert len(known) <= len(batch) + 1
    early = [one for now, one in told if one.event == "final" and now < 60 * minutes - 1]
    assert len(early) > 2, "they were not told at the end alone"
    for now, one in told:
        if one.event == "final" and now < 60 * minutes:
            assert now >= one.expression.offset_s + decisions.settles_s - 1e-6


def test_each_is_told_once_and_stays_told() -> None:
    features = performed(1.5, seed=2)
    with Spotter(model="rules") as spotter:
        told = played(Decisions(spotter), features, 0.25)
    by_number = defaultdict(list)
    for now, one in told:
        by_number[one.id].append((now, one))
    assert sorted(by_number) == list(range(1, len(by_number) + 1))
    assert {one.event for _, one in told} >= {"provisional", "final"}
    for story in by_number.values():
        names = [one.event for _, one in story]
        assert names[0] in ("provisional", "final")
        assert names[-1] in ("withdrawn", "final")
        assert all(name == "revised" for name in names[1:-1])
        for now, one in story[:1]:
            assert now >= one.expression.offset_s + TELLS_S - 1e-6


class Scripted(SpotterModel):
    """Says what is written for each time."""

    name = "scripted"

    def __init__(self, **said: tuple[Expression, ...]) -> None:
        self.said = said

    def __call__(self, features: Features) -> tuple[Scores, tuple[Expression, ...]]:
        values = np.zeros((len(features), 1), np.float32)
        scores = Scores(values, features.times, features.frames, features.valid, ("any",))
        return scores, self.said.get(f"at{len(features)}", ())


def still(count: int) -> Features:
    (video,) = aumer.simulate_features(1, minutes=1, seed=1)
    return rows(video.features, 0, count)


def seen(onset: int, offset: int, kind: Any = "macro") -> Expression:
    apex = (onset + offset) // 2
    return Expression(kind, onset, apex, offset, onset / 30, apex / 30, offset / 30, score=0.8)


def test_told_revised_withdrawn() -> None:
    model = Scripted(
        at60=(seen(20, 50),),
        at65=(seen(20, 50),),
        at70=(seen(18, 52),),
        at80=(seen(18, 52), seen(60, 77)),  # the second may be falling still
        at90=(seen(60, 80),),
        at100=(seen(60, 80, "micro"), seen(18, 40)),
    )
    with Spotter(model=model) as spotter:
        decisions = Decisions(spotter)
        assert decisions.settles_s == SETTLES_S == 10
        found = {
            count: [(one.event, one.id) for one in decisions.step(still(count))]
            for count in (60, 65, 70, 80, 90, 100)
        }
        assert found == {
            60: [("provisional", 1)],
            65: [],
            70: [("revised", 1)],
            80: [],
            90: [("withdrawn", 1), ("provisional", 2)],
            100: [("revised", 2), ("provisional", 3)],
        }
        model.said = {"at110": (seen(60, 80),)}
        told = decisions.step(still(110), over=True)
        assert [(one.event, one.id) for one in told] == [("withdrawn", 3), ("final", 2)]


def test_what_is_final_is_not_told_again() -> None:
    model = Scripted(at600=(seen(20, 50),), at610=(seen(20, 60),), at620=(seen(10, 40),))
    with Spotter(model=model) as spotter:
        decisions = Decisions(spotter)
        assert [one.event for one in decisions.step(still(600))] == ["final"]
        assert decisions.step(still(610)) == ()
        assert decisions.step(still(620), over=True) == ()


def test_the_noise_of_the_whole_is_not_known_live() -> None:
    with (
        Spotter(model="rules", settings={"rules": {"noise_window_s": 0.0}}) as spotter,
        pytest.raises(UsageError, match=r"rules\.noise_window_s=0.*not known"),
    ):
        Decisions(spotter)


def test_a_face_that_is_never_seen() -> None:
    features = without(still(200), np.zeros(200, np.bool_))
    with Spotter(model="rules") as spotter:
        decisions = Decisions(spotter)
        assert decisions.step(features) == ()
        assert decisions.scores is None
        assert decisions.step(rows(features, 0, 0)) == ()


def test_nothing_grows() -> None:
    """Over 400 s of the same half minute again and again: what is remembered stays as it is."""
    (video,) = aumer.simulate_features(1, minutes=1, seed=4)
    piece = rows(video.features, 0, 900)
    count = 13
    number = count * len(piece)
    again = {name: np.concatenate([getattr(piece, name)] * count) for name in _ROWS}
    again |= {"times": np.arange(number) / piece.rate, "frames": np.arange(number, dtype=np.int64)}
    features = replace(piece, **again)
    sizes = []
    with Spotter(model="rules") as spotter:
        decisions = Decisions(spotter)
        for after in range(900, number, 300):
            now = after / piece.rate
            first = int(max(0, (now - decisions.keeps_s) // CHUNK_S * CHUNK_S) * piece.rate)
            decisions.step(rows(features, first, after))
            kept = {k: v for k, v in vars(decisions).items() if k != "_spotter"}
            sizes.append((now, len(pickle.dumps(kept))))
    half = len(sizes) // 2
    early, late = (max(size for _, size in part) for part in (sizes[:half], sizes[half:]))
    assert decisions._count > 10, "much was told"
    assert late <= 1.02 * early


def test_a_network_sees_few_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's library keeps code for each, so that hundreds of them are hundreds of megabytes."""
    (video,) = aumer.simulate_features(1, minutes=2, seed=4)
    features, lengths = video.features, set()

    def noted(self: Spotter, cut: Features) -> Any:
        lengths.add(len(cut))
        raise StopIteration

    monkeypatch.setattr(Spotter, "decide", noted)
    with Spotter(model="rules") as spotter:
        decisions = Decisions(spotter)
        rate, keeps_s = features.rate, decisions.keeps_s
        for after in range(round((keeps_s + 1) * rate), len(features), 4):
            first = int(max(0, (after / rate - keeps_s) // CHUNK_S * CHUNK_S) * rate)
            with pytest.raises(StopIteration):
                decisions.step(rows(features, first, after))
    assert len(lengths) <= 2 * rate
    assert (keeps_s - 1) * rate <= min(lengths) <= max(lengths) <= (keeps_s + 1) * rate + 1
